// Packs: one file per architecture with what an engine needs to start without a compiler: winners, what is
// known about them and their binaries. A pack is an ordinary cache database that nobody writes to, made so
// that equal contents are equal bytes, with a manifest and, if wanted, a signature. docs/packs.md is the page
// for users.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/contents.h"
#include "cache/signature.h"

namespace rtjit {

class Database;

// One problem of the pack, as its manifest lists it.
struct PackedProblem {
  std::string template_name, template_hash, problem;
  std::string label{};  // the preset's name, or ""
  int64_t winners = 0, measured = 0, binaries = 0;
  int64_t binary_bytes = 0;  // compressed; a binary that several problems share counts for each
};

struct PackManifest {
  std::string target, library_version;
  std::vector<std::string> compilers;  // ascending
  std::vector<PackedProblem> problems;
  std::string content_sha256;  // of the contents' text form
};

// What goes into a pack for one problem.
struct PackRequest {
  std::string template_name, template_hash, problem, label;
  std::vector<std::string> other_binaries;  // keys that no row names: the kernels that pack weights
};

struct PackContents {
  PackManifest manifest;
  Contents contents;
};

// Takes the winners of the requested problems on `target`, the rows that tell about them, the rows of stages
// that are not tuned, all failures when run, and the binaries. When it was written and how long it compiled
// is left out: the same knowledge gives the same pack. ErrorCode::not_found, with the problem's label, where
// a problem has no winner, or a binary that a launch needs is not there.
Result<PackContents> select_for_pack(const Contents& all, const std::string& target,
                                     const std::vector<PackRequest>& requests, bool with_ptx);

// The file appears complete or not at all; an existing one is replaced. `key`: signs the manifest.
Status write_pack(const PackContents& pack, const std::string& path, const std::optional<SecretKey>& key);

struct PackInfo {
  PackManifest manifest;
  std::optional<PublicKey> signer;  // nothing: not signed. The signature itself has been checked
};

// The manifest, after everything was compared with it: ErrorCode::corrupt for contents that do not fit their
// hash or a signature that does not fit the manifest, unsupported for a database that is no pack.
Result<PackInfo> read_pack(Database& database);
Result<PackInfo> read_pack(const std::string& path);

// What the manifest is about, for whoever goes on to use it: ErrorCode::corrupt where it is not that any
// more.
Result<Contents> read_pack_contents(const std::string& path, const PackManifest& manifest);

// With a list of trusted keys, a pack must be signed by one of them. The refusal says which key came.
Status check_trust(const PackInfo& pack, const std::vector<PublicKey>& trusted, const std::string& path);

// For the part of the manifest that people and scripts read.
std::string to_json(const PackManifest& manifest);

}  // namespace rtjit

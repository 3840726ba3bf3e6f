// Where a pack keeps its manifest, and what is hashed and signed. Private to cache/.
#pragma once

#include <string>
#include <string_view>

#include "base/hash.h"
#include "cache/text_form.h"

namespace rtjit {

// Rows of the table `meta`.
constexpr std::string_view kPackManifest = "pack";
constexpr std::string_view kPackSigner = "pack_signer";
constexpr std::string_view kPackSignature = "pack_signature";

inline std::string pack_content_hash(const Contents& contents) { return sha256_hex(to_text(contents)); }

// So that a signature can never be taken for one over something else.
inline std::string signed_text(std::string_view manifest) { return "rtjit pack 1\n" + std::string(manifest); }

}  // namespace rtjit

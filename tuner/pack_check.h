// What can be said about a pack without running it: whether every winner has its binary, and fits the target.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cache/pack.h"
#include "templates/registry.h"

namespace rtjit {

// The keys under which the kernels that pack weights are stored, one per compiler; none where the template
// packs nothing.
Result<std::vector<std::string>> packing_binary_keys(std::shared_ptr<const Template> tmpl,
                                                     const std::string& problem, const Target& target,
                                                     const std::vector<std::string>& compilers);

struct PackReport {
  int64_t winners = 0, binaries = 0;  // looked at
  int64_t unknown_winners = 0;        // of templates, or versions of them, that are not here
  std::vector<std::string> findings;  // one sentence for each thing that is bad
};

// Reads the file's structure and every row and binary again, compares what each cubin says with what is
// stored about it, passes each winner through the static and the load gate, and looks for the kernels that
// pack weights. pack_results.h runs what is in it.
Result<PackReport> check_pack(const std::string& path, const PackManifest& manifest,
                              const TemplateRegistry& registry);

}  // namespace rtjit

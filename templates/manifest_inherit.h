// Variants that are written as another one with differences: like = "gemm1.wgmma".
#pragma once

#include <string>

#include "base/result.h"
#include "templates/manifest_include.h"
#include "templates/toml_tree.h"

namespace rtjit {

// Completes each variant that has `like` from the variant it names, which stands before it in the tree:
// tables key by key, lists and values where it has none of its own; `more` appends to lists. The error has
// the file and the line.
Status inherit_variants(TomlNode* root, const ManifestFiles& files);

}  // namespace rtjit

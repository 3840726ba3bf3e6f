// Whether a file that a user named can be, or have been, a cache.
#pragma once

#include <string>

#include "base/result.h"

namespace rtjit {

// ErrorCode::invalid_argument, and nothing is touched, where `path` is a file with content that was never a
// database: neither SQLite's header nor our application id is in its place. A damaged cache, an empty file, a
// file of another SQLite program (Layer leaves that alone) and no file at all pass.
Status refuse_foreign_file(const std::string& path);

}  // namespace rtjit

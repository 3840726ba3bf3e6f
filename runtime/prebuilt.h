// The cache that comes with the library: made at build time from the texts in cache/prebuilt/.
#pragma once

#include <string_view>

namespace rtjit {

// The bytes of a database (a pack without binaries). Empty where RTJIT_PREBUILT=0 is set in the environment.
std::string_view prebuilt_database();

}  // namespace rtjit

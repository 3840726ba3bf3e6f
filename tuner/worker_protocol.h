// How binaries travel between the tuner and its worker.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "compiler/compile.h"

namespace rtjit {

// `with_ptx`: emulated devices run the PTX; real ones need the cubin alone.
nlohmann::json binary_to_json(const Binary& binary, bool with_ptx);
Result<Binary> binary_from_json(const nlohmann::json& message);

}  // namespace rtjit

// Writes what a config turns into: generated source, PTX, cubin and resource facts, one folder per config.
#pragma once

#include <string>

#include "base/result.h"
#include "tuner/explain.h"

namespace rtjit {

// Compiles each config of `report` that the static gate let through (NVRTC is opened by request.compiler)
// into FOLDER/<stage>.<variant>.<config>/{source.cu, kernel.ptx, kernel.cubin, facts.json, compiler.log}. A
// rejected one gets its source and the log. The number of configs written.
Result<int> dump_configs(const ExplainRequest& request, const ExplainReport& report,
                         const std::string& folder);

}  // namespace rtjit

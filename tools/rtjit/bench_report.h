// The result of `rtjit bench`, for programs, for people and as a picture.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tuner/bench.h"

namespace rtjit {

nlohmann::json bench_json(const BenchReport& report);

std::string bench_text(const BenchReport& report);

// What somebody who reads the figures should know: which of them are not of tuned kernels. `tune_command` is
// what would mend it.
std::vector<std::string> bench_notes(const BenchReport& report, const std::string& tune_command);

// Operations per byte against operations per second, beneath the device's ceilings: a complete SVG file.
std::string bench_roofline(const BenchReport& report);

}  // namespace rtjit

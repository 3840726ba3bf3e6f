// The result of `rtjit tune`, for programs and for people.
#pragma once

#include <nlohmann/json.hpp>

#include "tuner/session.h"

namespace rtjit {

nlohmann::json report_json(const TuneReport& report);

// `timings`: also where the time went.
void print_report(const TuneReport& report, bool timings);

}  // namespace rtjit

// What is stored about one problem as one HTML page that needs nothing beside itself.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "tuner/overview.h"

namespace rtjit {

// The numbers of the report as data; the page carries them too, in <script type="application/json"
// id="data">.
nlohmann::json report_json(const Overview& overview);

// `version` is that of the library.
std::string report_page(const Overview& overview, const std::string& version);

}  // namespace rtjit

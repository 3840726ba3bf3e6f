// Reading presets/*.toml. Internal to the registry.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "templates/problem.h"

namespace rtjit {

// `name`, `doc`, then one table [problem.TEMPLATE] per template with its keys. Whether the keys exist and the
// values are allowed is checked when a problem is made of them.
Result<Preset> parse_preset(std::string_view toml_text, const std::string& file_name);

}  // namespace rtjit

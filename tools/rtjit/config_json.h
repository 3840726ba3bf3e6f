// "block_m=64,store=plain" as a JSON object: numbers as numbers, names as strings.
#pragma once

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace rtjit {

inline nlohmann::json config_json(const std::string& config) {
  nlohmann::json out = nlohmann::json::object();
  const auto pairs = parse_key_values(config);
  if (!pairs) return out;
  for (const auto& [key, value] : *pairs) {
    const auto number = parse_int(value);
    if (number) {
      out[key] = *number;
    } else {
      out[key] = value;
    }
  }
  return out;
}

}  // namespace rtjit

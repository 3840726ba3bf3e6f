#include "cache/sku.h"

#include <fmt/format.h>

#include "base/text.h"

namespace rtjit {

std::string format_sku(const SkuFacts& facts) {
  return fmt::format("{},sm={},smem={},l2={},bus={},mclk={}", facts.target, facts.sm_count,
                     facts.smem_per_block, facts.l2_bytes, facts.memory_bus_bits, facts.memory_clock_mhz);
}

std::optional<SkuFacts> parse_sku(std::string_view text) {
  const size_t comma = text.find(',');
  if (comma == std::string_view::npos || !text.starts_with("sm_")) return std::nullopt;
  const Result<KeyValues> pairs = parse_key_values(text.substr(comma + 1));
  if (!pairs.ok()) return std::nullopt;
  SkuFacts facts;
  facts.target = std::string(text.substr(0, comma));
  for (const auto& [key, value] : *pairs) {
    const std::optional<int64_t> number = parse_int(value);
    if (!number) return std::nullopt;
    if (key == "sm") {
      facts.sm_count = *number;
    } else if (key == "smem") {
      facts.smem_per_block = *number;
    } else if (key == "l2") {
      facts.l2_bytes = *number;
    } else if (key == "bus") {
      facts.memory_bus_bits = *number;
    } else if (key == "mclk") {
      facts.memory_clock_mhz = *number;
    }  // what a later version adds makes it another SKU, but says nothing that is read here
  }
  if (facts.sm_count <= 0) return std::nullopt;
  return facts;
}

}  // namespace rtjit

// The identity of a GPU model in tuning rows: what makes its speed, not only its marketing name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rtjit {

struct SkuFacts {
  std::string target;  // "sm_90a"
  int64_t sm_count = 0;
  int64_t smem_per_block = 0, l2_bytes = 0;
  int64_t memory_bus_bits = 0, memory_clock_mhz = 0;
  bool operator==(const SkuFacts&) const = default;
};

// "sm_90a,sm=132,smem=232448,l2=52428800,bus=6144,mclk=3201"
std::string format_sku(const SkuFacts& facts);

// Nothing for a text of another form, "" among them.
std::optional<SkuFacts> parse_sku(std::string_view text);

}  // namespace rtjit

// Element types of matrix instructions and how their bits become numbers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace rtjit::emu {

enum class MmaElement : uint8_t {
  bf16,
  f16,
  tf32,
  e4m3,
  e5m2,
  e3m2,
  e2m3,
  e2m1,
  int8,
  uint8,
  int4,
  uint4,
  single,
  int32
};
std::optional<MmaElement> parse_mma_element(std::string_view name);
// Bits in memory; the formats below 8 bits have 4 or 6.
int bits_of(MmaElement element);
bool is_integer(MmaElement element);

// Values of every byte for the formats of 8 bits and less. `container`: the element sits in a byte as
// kind::f8f6f4 wants it (e2m1 in bits 5..2), not packed.
const std::array<float, 256>& byte_values(MmaElement element, bool container);

}  // namespace rtjit::emu

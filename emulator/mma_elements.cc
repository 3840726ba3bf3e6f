#include "emulator/mma_elements.h"

#include "emulator/numeric.h"

namespace rtjit::emu {
namespace {

constexpr std::string_view kNames[] = {"bf16", "f16", "tf32", "e4m3", "e5m2", "e3m2", "e2m3",
                                       "e2m1", "s8",  "u8",   "s4",   "u4",   "f32",  "s32"};

const FloatFormat& format_of(MmaElement element) {
  switch (element) {
    case MmaElement::e4m3:
      return kE4M3;
    case MmaElement::e5m2:
      return kE5M2;
    case MmaElement::e3m2:
      return kE3M2;
    case MmaElement::e2m3:
      return kE2M3;
    default:
      return kE2M1;
  }
}

std::array<float, 256> make_values(MmaElement element, bool container) {
  std::array<float, 256> values{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t bits = byte;
    if (element == MmaElement::e2m1) bits = (container ? byte >> 2 : byte) & 0xf;
    if (element == MmaElement::e3m2 || element == MmaElement::e2m3) bits = byte & 0x3f;
    values[byte] = static_cast<float>(decode_float(bits, format_of(element)));
  }
  return values;
}

}  // namespace

std::optional<MmaElement> parse_mma_element(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<MmaElement>(i);
  }
  return std::nullopt;
}

int bits_of(MmaElement element) {
  switch (element) {
    case MmaElement::bf16:
    case MmaElement::f16:
      return 16;
    case MmaElement::tf32:
    case MmaElement::single:
    case MmaElement::int32:
      return 32;
    case MmaElement::e3m2:
    case MmaElement::e2m3:
      return 6;
    case MmaElement::e2m1:
    case MmaElement::int4:
    case MmaElement::uint4:
      return 4;
    default:
      return 8;
  }
}

bool is_integer(MmaElement element) {
  return element == MmaElement::int8 || element == MmaElement::uint8 || element == MmaElement::int4 ||
         element == MmaElement::uint4 || element == MmaElement::int32;
}

const std::array<float, 256>& byte_values(MmaElement element, bool container) {
  static const std::array<std::array<float, 256>, 6> tables = {
      make_values(MmaElement::e4m3, false), make_values(MmaElement::e5m2, false),
      make_values(MmaElement::e3m2, false), make_values(MmaElement::e2m3, false),
      make_values(MmaElement::e2m1, false), make_values(MmaElement::e2m1, true)};
  if (element == MmaElement::e2m1) return tables[container ? 5 : 4];
  return tables[static_cast<size_t>(element) - static_cast<size_t>(MmaElement::e4m3)];
}

}  // namespace rtjit::emu

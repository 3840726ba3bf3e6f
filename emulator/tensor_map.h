// The emulator's own tensor map: 128 bytes that only the emulator reads.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "runtime/device.h"

namespace rtjit::emu {

struct TensorMap {
  uint64_t magic = 0;
  uint64_t base = 0;
  uint64_t strides[4] = {};  // bytes between neighbours along dimensions 1..4
  uint32_t dims[5] = {};
  uint16_t box[5] = {};
  uint8_t rank = 0, dtype = 0, swizzle = 0, element_bytes = 0;
};
static_assert(sizeof(TensorMap) <= sizeof(TensorMapBytes));
inline constexpr uint64_t kTensorMapMagic = 0x7274'6a69'7420'746dULL;

// Checks what the driver would check, and says which field is wrong.
Status encode(const TensorMapRequest& request, TensorMapBytes* out);

// A shared address with the map's swizzle applied (absolute addresses, as hardware does).
inline uint32_t swizzled(uint32_t address, int swizzle) {
  switch (swizzle) {
    case 32:
      return address ^ (address >> 7 & 1) << 4;
    case 64:
      return address ^ (address >> 7 & 3) << 4;
    case 128:
      return address ^ (address >> 7 & 7) << 4;
    default:
      return address;
  }
}

}  // namespace rtjit::emu

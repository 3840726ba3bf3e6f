// The emulator's own tensor map: 128 bytes that only the emulator reads.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "runtime/device.h"

namespace rtjit {

// What cuTensorMapEncodeIm2col takes: a tensor of channels, W (, H (, D)) and images.
struct Im2colMapRequest {
  DevicePtr base = 0;
  DType dtype = DType::bf16;
  int rank = 0;                               // 3 to 5
  std::array<uint64_t, 5> dims{}, strides{};  // as in TensorMapRequest
  // Corners of the bounding box along W, H, D: `lower` counts from the tensor's first pixel, `upper` from its
  // last.
  std::array<int, 3> lower{}, upper{};
  std::array<uint32_t, 3> pixel_strides{1, 1, 1};  // along W, H, D
  uint32_t channels = 0, pixels = 0;               // of one copy
  int swizzle = 0;
};

}  // namespace rtjit

namespace rtjit::emu {

struct TensorMap {
  uint64_t magic = 0;
  uint64_t base = 0;
  uint64_t strides[4] = {};  // bytes between neighbours along dimensions 1..4
  uint32_t dims[5] = {};
  uint16_t box[5] = {};
  uint8_t rank = 0, dtype = 0, swizzle = 0, element_bytes = 0;
  // im2col: the corners of the bounding box (W, H, D) and the steps along them, against the tensor's own;
  // pixels of a copy, and channels of a pixel.
  uint8_t im2col = 0, pixel_strides[3] = {1, 1, 1};
  int16_t lower[3] = {}, upper[3] = {};
  uint16_t channels = 0, pixels = 0;
};
static_assert(sizeof(TensorMap) <= sizeof(TensorMapBytes));
inline constexpr uint64_t kTensorMapMagic = 0x7274'6a69'7420'746dULL;

// Checks what the driver would check, and says which field is wrong.
Status encode(const TensorMapRequest& request, TensorMapBytes* out);
Status encode_im2col(const Im2colMapRequest& request, TensorMapBytes* out);

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

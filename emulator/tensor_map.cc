#include "emulator/tensor_map.h"

#include <cstring>

namespace rtjit::emu {

Status encode(const TensorMapRequest& r, TensorMapBytes* out) {
  auto wrong = [](std::string what) { return Error{ErrorCode::invalid_argument, "tensor map: " + what}; };
  if (r.rank < 1 || r.rank > 5) return wrong(fmt::format("rank {}; 1 to 5 are allowed", r.rank));
  if (r.base % 16 != 0) return wrong(fmt::format("base {:#x} is not a multiple of 16", r.base));
  TensorMap map;
  map.magic = kTensorMapMagic;
  map.base = r.base;
  map.rank = static_cast<uint8_t>(r.rank);
  map.dtype = static_cast<uint8_t>(r.dtype);
  map.element_bytes = static_cast<uint8_t>(bytes_of(r.dtype));
  if (r.swizzle != 0 && r.swizzle != 32 && r.swizzle != 64 && r.swizzle != 128)
    return wrong(fmt::format("swizzle {}; 0, 32, 64 and 128 are allowed", r.swizzle));
  map.swizzle = static_cast<uint8_t>(r.swizzle);
  for (int i = 0; i < r.rank; ++i) {
    auto k = static_cast<size_t>(i);
    if (r.dims[k] == 0 || r.dims[k] > (uint64_t(1) << 32))
      return wrong(fmt::format("dimension {} is {}; 1 to 2^32 are allowed", i, r.dims[k]));
    if (r.box[k] == 0 || r.box[k] > 256)
      return wrong(fmt::format("box {} is {}; 1 to 256 are allowed", i, r.box[k]));
    map.dims[k] = static_cast<uint32_t>(std::min<uint64_t>(r.dims[k], 0xffffffff));
    map.box[k] = static_cast<uint16_t>(r.box[k]);
    if (i > 0) {
      if (r.strides[k - 1] % 16 != 0 || r.strides[k - 1] >= (uint64_t(1) << 40))
        return wrong(
            fmt::format("stride {} is {} B; multiples of 16 below 2^40 are allowed", i, r.strides[k - 1]));
      map.strides[k - 1] = r.strides[k - 1];
    }
  }
  uint32_t inner = r.box[0] * map.element_bytes;
  if (inner % 16 != 0) return wrong(fmt::format("the inner box has {} B, not a multiple of 16", inner));
  if (r.swizzle && inner > static_cast<uint32_t>(r.swizzle))
    return wrong(fmt::format("the inner box has {} B, more than the swizzle's {}", inner, r.swizzle));
  std::memset(out->bytes, 0, sizeof(out->bytes));
  std::memcpy(out->bytes, &map, sizeof(map));
  return {};
}

}  // namespace rtjit::emu

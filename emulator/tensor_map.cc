#include "emulator/tensor_map.h"

#include <algorithm>
#include <cstring>

namespace rtjit::emu {

namespace {

Error wrong(std::string what) { return {ErrorCode::invalid_argument, "tensor map: " + what}; }

// The fields that both kinds of maps have.
template <class Request>
Status encode_tensor(const Request& r, int least_rank, TensorMap* map) {
  if (r.rank < least_rank || r.rank > 5)
    return wrong(fmt::format("rank {}; {} to 5 are allowed", r.rank, least_rank));
  if (r.base % 16 != 0) return wrong(fmt::format("base {:#x} is not a multiple of 16", r.base));
  map->magic = kTensorMapMagic;
  map->base = r.base;
  map->rank = static_cast<uint8_t>(r.rank);
  map->dtype = static_cast<uint8_t>(r.dtype);
  map->element_bytes = static_cast<uint8_t>(bytes_of(r.dtype));
  if (r.swizzle != 0 && r.swizzle != 32 && r.swizzle != 64 && r.swizzle != 128)
    return wrong(fmt::format("swizzle {}; 0, 32, 64 and 128 are allowed", r.swizzle));
  map->swizzle = static_cast<uint8_t>(r.swizzle);
  for (int i = 0; i < r.rank; ++i) {
    auto k = static_cast<size_t>(i);
    if (r.dims[k] == 0 || r.dims[k] > (uint64_t(1) << 32))
      return wrong(fmt::format("dimension {} is {}; 1 to 2^32 are allowed", i, r.dims[k]));
    map->dims[k] = static_cast<uint32_t>(std::min<uint64_t>(r.dims[k], 0xffffffff));
    if (i == 0) continue;
    if (r.strides[k - 1] % 16 != 0 || r.strides[k - 1] >= (uint64_t(1) << 40))
      return wrong(
          fmt::format("stride {} is {} B; multiples of 16 below 2^40 are allowed", i, r.strides[k - 1]));
    map->strides[k - 1] = r.strides[k - 1];
  }
  return {};
}

// `inner`: elements of a row in shared memory.
Status check_inner(uint32_t inner, const TensorMap& map) {
  uint32_t bytes = inner * map.element_bytes;
  if (bytes % 16 != 0) return wrong(fmt::format("the inner box has {} B, not a multiple of 16", bytes));
  if (map.swizzle && bytes > map.swizzle)
    return wrong(fmt::format("the inner box has {} B, more than the swizzle's {}", bytes, map.swizzle));
  return {};
}

void write(const TensorMap& map, TensorMapBytes* out) {
  std::memset(out->bytes, 0, sizeof(out->bytes));
  std::memcpy(out->bytes, &map, sizeof(map));
}

}  // namespace

Status encode(const TensorMapRequest& r, TensorMapBytes* out) {
  TensorMap map;
  if (Status status = encode_tensor(r, 1, &map); !status.ok()) return status;
  for (size_t k = 0; k < static_cast<size_t>(r.rank); ++k) {
    if (r.box[k] == 0 || r.box[k] > 256)
      return wrong(fmt::format("box {} is {}; 1 to 256 are allowed", k, r.box[k]));
    map.box[k] = static_cast<uint16_t>(r.box[k]);
  }
  if (Status status = check_inner(r.box[0], map); !status.ok()) return status;
  write(map, out);
  return {};
}

Status encode_im2col(const Im2colMapRequest& r, TensorMapBytes* out) {
  TensorMap map;
  if (Status status = encode_tensor(r, 3, &map); !status.ok()) return status;
  map.im2col = 1;
  int spatial = r.rank - 2, most = spatial == 1 ? 1 << 15 : spatial == 2 ? 1 << 7 : 1 << 4;
  for (size_t k = 0; k < static_cast<size_t>(spatial); ++k) {
    for (int corner : {r.lower[k], r.upper[k]}) {
      if (corner < -most || corner >= most)
        return wrong(fmt::format("corner {} of the bounding box; with rank {}, {} to {} are allowed", corner,
                                 r.rank, -most, most - 1));
    }
    if (int64_t(r.dims[k + 1]) - 1 + r.upper[k] < r.lower[k])
      return wrong(fmt::format("the bounding box is empty along dimension {}: from {} to {}", k + 1,
                               r.lower[k], int64_t(r.dims[k + 1]) - 1 + r.upper[k]));
    if (r.pixel_strides[k] < 1 || r.pixel_strides[k] > 8)
      return wrong(fmt::format("a step of {} pixels; 1 to 8 are allowed", r.pixel_strides[k]));
    map.lower[k] = static_cast<int16_t>(r.lower[k]);
    map.upper[k] = static_cast<int16_t>(r.upper[k]);
    map.pixel_strides[k] = static_cast<uint8_t>(r.pixel_strides[k]);
  }
  if (r.channels < 1 || r.channels > 256)
    return wrong(fmt::format("{} channels of a pixel; 1 to 256 are allowed", r.channels));
  if (r.pixels < 1 || r.pixels > 1024)
    return wrong(fmt::format("{} pixels; 1 to 1,024 are allowed", r.pixels));
  map.channels = static_cast<uint16_t>(r.channels);
  map.pixels = static_cast<uint16_t>(r.pixels);
  if (Status status = check_inner(r.channels, map); !status.ok()) return status;
  write(map, out);
  return {};
}

}  // namespace rtjit::emu

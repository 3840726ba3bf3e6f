#include "emulator/tensor_box.h"

namespace rtjit::emu {

std::string TensorBox::problem() const {
  if ((mode == Mode::im2col) != map.im2col)
    return map.im2col ? "the tensor map is one for im2col, the copy is not"
                      : "im2col needs a tensor map for im2col";
  if (mode != Mode::im2col) return {};
  for (int i = 0; i < spatial(); ++i) {
    if (coordinates[i + 1] < map.lower[i] || coordinates[i + 1] > last(i))
      return fmt::format("coordinate {} is {}; the bounding box reaches from {} to {}", i + 1,
                         coordinates[i + 1], map.lower[i], last(i));
  }
  return {};
}

TensorBox::Position TensorBox::start() const {
  Position position;
  for (int i = 1; i < map.rank; ++i) position.at[i - 1] = coordinates[i];
  return position;
}

void TensorBox::advance(Position* position) const {
  for (int i = 0; i < spatial(); ++i) {
    position->at[i] += map.pixel_strides[i];
    if (position->at[i] <= last(i)) return;
    position->at[i] = map.lower[i];
  }
  ++position->at[spatial()];
}

// Global address of a row of the box, or 0 when it lies outside the tensor.
u64 TensorBox::row_address(u32 row, const Position& position) const {
  u64 address = map.base;
  if (mode == Mode::gather4 || mode == Mode::scatter4) {
    int64_t r = coordinates[1 + row];
    if (r < 0 || r >= static_cast<int64_t>(map.dims[1])) return 0;
    return address + static_cast<u64>(r) * map.strides[0];
  }
  for (int i = 1; i < map.rank; ++i) {
    int64_t c = 0;
    if (mode == Mode::im2col) {
      c = position.at[i - 1] + (i <= spatial() ? offsets[i - 1] : 0);
    } else {
      c = int64_t(coordinates[i]) + row % map.box[i];
      row /= map.box[i];
    }
    if (c < 0 || c >= static_cast<int64_t>(map.dims[i])) return 0;
    address += static_cast<u64>(c) * map.strides[i - 1];
  }
  return address;
}

}  // namespace rtjit::emu

// What one tensor copy touches: the part of a tensor that its map, mode and coordinates name, row by row.
#pragma once

#include <algorithm>

#include "emulator/async_copy.h"
#include "emulator/tensor_map.h"

namespace rtjit::emu {

struct TensorBox {
  enum class Mode : u32 { tile, gather4, scatter4, im2col };
  TensorMap map;
  int32_t coordinates[5];
  int32_t offsets[3];  // im2col: of the filter, along W, H, D
  Mode mode;
  bool whole_pieces;  // rows end at a multiple of 16 bytes, whatever the tensor's width

  u32 rows() const {
    if (mode == Mode::im2col) return map.pixels;
    if (mode != Mode::tile) return 4;
    u32 n = 1;
    for (int i = 1; i < map.rank; ++i) n *= map.box[i];
    return n;
  }
  u32 row_bytes() const {
    return (mode == Mode::im2col ? map.channels : static_cast<u32>(map.box[0])) * map.element_bytes;
  }
  u32 bytes() const { return rows() * row_bytes(); }

  // What is wrong with the request, "" when nothing is.
  std::string problem() const;

  // Calls f(global address or 0 outside the tensor, offset in shared memory, bytes) for each element;
  // `shared` is where the box begins there.
  template <class F>
  void each_piece(u32 shared, F f) const {
    u32 element = map.element_bytes, width = row_bytes();
    auto columns = static_cast<int64_t>(map.dims[0]);
    if (whole_pieces) columns += static_cast<int64_t>((16 - map.dims[0] * element % 16) % 16 / element);
    Position position = start();
    for (u32 row = 0; row < rows(); ++row) {
      u64 address = row_address(row, position);
      for (u32 x = 0; x < width; x += element) {
        int64_t column = int64_t(coordinates[0]) + x / element;
        bool inside = address && column >= 0 && column < columns;
        f(inside ? address + static_cast<u64>(column) * element : 0,
          swizzled(shared + row * width + x, map.swizzle), element);
      }
      if (mode == Mode::im2col) advance(&position);
    }
  }

 private:
  // Coordinates 1 to 4 of a pixel, before the filter's offsets are added.
  struct Position {
    int64_t at[4] = {};
  };
  Position start() const;
  void advance(Position* position) const;  // to the next pixel within the bounding box
  u64 row_address(u32 row, const Position& position) const;
  int spatial() const { return map.rank - 2; }  // dimensions that im2col's bounding box has
  int64_t last(int i) const { return int64_t(map.dims[i + 1]) - 1 + map.upper[i]; }
};

}  // namespace rtjit::emu

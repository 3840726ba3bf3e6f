// What a thread block works on.
#pragma once

#include "moe_mxfp4/common.cuh"

namespace rtjit::moe_mxfp4 {

// The matrix that a block multiplies with: packed weights of one GEMM.
struct Weights {
  const u8* tiles;
  const u8* scales;
  int rows, k;
};

// The tile of this block: blocks are numbered with the weight rows running fastest, so that the tiles of one
// expert follow each other and its weights come from memory once. False: beyond the last tile.
__device__ inline bool find_tile(const TokenTile* tiles, const i32* tile_count, int row_blocks,
                                 TokenTile* tile, int* row_block) {
  const int index = int(blockIdx.x) / row_blocks;
  if (index >= *tile_count) return false;
  *tile = tiles[index];
  *row_block = int(blockIdx.x) - index * row_blocks;
  return true;
}

}  // namespace rtjit::moe_mxfp4

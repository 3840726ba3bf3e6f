// How the weights lie that the wgmma_fp8 variant widens to E5M2: tiles as in common.cuh, but 128 k of all
// strips of an expert after 128 k of all strips, so that any rows of a step are one piece.
#pragma once

#include "moe_mxfp4/common.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kE5m2StepK = 128;

__device__ inline i64 e5m2_expert_bytes(int rows, int k) { return i64(rows) * (k / 2); }
__device__ inline i64 e5m2_expert_distances(int rows, int k) { return i64(rows) * (k / 32); }

// Where a tile of 64 k starts within its expert's codes; those of its distances are a sixteenth of it.
__device__ inline i64 e5m2_tile_offset(int rows, int k, int strip, int tile_k) {
  const int step = tile_k / 2, step_k = min(kE5m2StepK, k - step * kE5m2StepK);
  return i64(step) * rows * (kE5m2StepK / 2) + strip * (step_k * (kStripRows / 2)) + tile_k % 2 * kTileBytes;
}

}  // namespace rtjit::moe_mxfp4

// out[token] = sum of weight * y over the token's slots in order, in fp32, rounded once. Skipped slots add
// nothing and their weight is not looked at.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/routing.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kCombineThreads = 128;

__device__ inline float routing_weight(const void* weights, int weight_bytes, i64 slot) {
  return weight_bytes == 4 ? static_cast<const float*>(weights)[slot]
                           : bf16_to_float(static_cast<const u16*>(weights)[slot]);
}

// A thread owns 8 columns of one token; blocks are numbered with the columns running fastest.
__global__ void __launch_bounds__(kCombineThreads)
    combine(const u16* y, const void* ids, const void* weights, const i32* valid_tokens, int id_bytes,
            int weight_bytes, int tokens, int top_k, int experts, int expert_offset, int hidden, u16* out) {
  wait_for_predecessor();
  let_successor_start();
  const int blocks = (hidden / 8 + kCombineThreads - 1) / kCombineThreads;
  const int token = int(blockIdx.x) / blocks;
  const int column = (int(blockIdx.x) - token * blocks) * kCombineThreads + int(threadIdx.x);
  if (column * 8 >= hidden) return;
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const int valid_slots = routed_tokens(routing) * top_k;
  float sums[8] = {};
#pragma unroll 4
  for (int s = 0; s < top_k; ++s) {
    const int slot = token * top_k + s;
    if (local_expert(routing, slot, valid_slots) < 0) continue;
    const float weight = routing_weight(weights, weight_bytes, slot);
    const uint4 row = *reinterpret_cast<const uint4*>(y + i64(slot) * hidden + column * 8);
    const u32 words[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      sums[2 * i] += weight * bits_float(words[i] << 16);
      sums[2 * i + 1] += weight * bits_float(words[i] & 0xffff0000u);
    }
  }
  u32 packed[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    packed[i] = u32(float_to_bf16(sums[2 * i])) | u32(float_to_bf16(sums[2 * i + 1])) << 16;
  *reinterpret_cast<uint4*>(out + i64(token) * hidden + column * 8) =
      make_uint4(packed[0], packed[1], packed[2], packed[3]);
}

}  // namespace rtjit::moe_mxfp4

// out[token] = sum of weight * y over the token's slots in order, in fp32, rounded once. Skipped slots add
// nothing and their weight is not looked at.
#pragma once

#include "device/pdl.cuh"
#include "moe_mxfp4/common.cuh"
#include "moe_mxfp4/routing.cuh"

namespace rtjit::moe_mxfp4 {

constexpr int kCombineThreads = 128;

// Some of a token's slots: whether they count and with which weight.
struct SlotWeights {
  static constexpr int kSlots = 4;
  bool take[kSlots];
  float weights[kSlots];

  __device__ SlotWeights(const Routing& routing, const void* all_weights, int weight_bytes, int token,
                         int first, int valid_slots) {
#pragma unroll
    for (int i = 0; i < kSlots; ++i) {
      const int slot = token * routing.top_k + first + i;
      take[i] = first + i < routing.top_k && local_expert(routing, slot, valid_slots) >= 0;
      weights[i] = take[i] ? routing_weight(all_weights, weight_bytes, slot) : 0.0f;
    }
  }
};

// A thread owns 8 columns of one token; blocks are numbered with the columns running fastest. The routing is
// no work of the predecessor, so the first slots' is read before waiting for it, and rows of y are asked for
// together.
__global__ void __launch_bounds__(kCombineThreads)
    combine(const u16* y, const void* ids, const void* weights, const i32* valid_tokens, int id_bytes,
            int weight_bytes, int tokens, int top_k, int experts, int expert_offset, int hidden, u16* out) {
  const int blocks = (hidden / 8 + kCombineThreads - 1) / kCombineThreads;
  const int token = int(blockIdx.x) / blocks;
  const int column = (int(blockIdx.x) - token * blocks) * kCombineThreads + int(threadIdx.x);
  const Routing routing{ids, valid_tokens, id_bytes, tokens, top_k, experts, expert_offset};
  const int valid_slots = routed_tokens(routing) * top_k;
  SlotWeights slots(routing, weights, weight_bytes, token, 0, valid_slots);
  wait_for_predecessor();
  let_successor_start();
  if (column * 8 >= hidden) return;
  const u16* rows = y + i64(token) * top_k * hidden + column * 8;
  float sums[8] = {};
  for (int first = 0;;) {
    uint4 values[SlotWeights::kSlots];
#pragma unroll
    for (int i = 0; i < SlotWeights::kSlots; ++i) {
      values[i] = slots.take[i] ? *reinterpret_cast<const uint4*>(rows + i64(first + i) * hidden)
                                : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < SlotWeights::kSlots; ++i) {
      const u32 words[4] = {values[i].x, values[i].y, values[i].z, values[i].w};
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        sums[2 * j] += slots.weights[i] * bits_float(words[j] << 16);
        sums[2 * j + 1] += slots.weights[i] * bits_float(words[j] & 0xffff0000u);
      }
    }
    first += SlotWeights::kSlots;
    if (first >= top_k) break;
    slots = SlotWeights(routing, weights, weight_bytes, token, first, valid_slots);
  }
  u32 packed[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    packed[i] = u32(float_to_bf16(sums[2 * i])) | u32(float_to_bf16(sums[2 * i + 1])) << 16;
  *reinterpret_cast<uint4*>(out + i64(token) * hidden + column * 8) =
      make_uint4(packed[0], packed[1], packed[2], packed[3]);
}

}  // namespace rtjit::moe_mxfp4

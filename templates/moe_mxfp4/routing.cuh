// Which slots count, and how much: reading ids and weights of any width, and the rule of what is skipped.
#pragma once

#include "device/types.cuh"

namespace rtjit::moe_mxfp4 {

using namespace rtjit::device;

// The routing as the caller gave it. Slot s is token s / top_k, choice s % top_k.
struct Routing {
  const void* ids;
  const i32* valid_tokens;  // may be null: all are
  int id_bytes, tokens, top_k, experts, expert_offset;
};

__device__ inline int routed_tokens(const Routing& routing) {
  if (routing.valid_tokens == nullptr) return routing.tokens;
  const int given = *routing.valid_tokens;
  return given < 0 ? 0 : given < routing.tokens ? given : routing.tokens;
}

// The local expert of a slot, or -1 for one that is skipped (negative, not on this rank, or beyond the valid
// tokens).
__device__ inline int local_expert(const Routing& routing, int slot, int valid_slots) {
  if (slot >= valid_slots) return -1;
  i64 id;
  if (routing.id_bytes == 4) {
    id = static_cast<const i32*>(routing.ids)[slot];
  } else if (routing.id_bytes == 8) {
    id = static_cast<const i64*>(routing.ids)[slot];
  } else {
    id = static_cast<const i16*>(routing.ids)[slot];
  }
  if (id < 0) return -1;
  id -= routing.expert_offset;
  return id >= 0 && id < routing.experts ? int(id) : -1;
}

// What y of a slot counts in out; 4 or 2 bytes each.
__device__ inline float routing_weight(const void* weights, int weight_bytes, i64 slot) {
  return weight_bytes == 4 ? static_cast<const float*>(weights)[slot]
                           : bf16_to_float(static_cast<const u16*>(weights)[slot]);
}

}  // namespace rtjit::moe_mxfp4

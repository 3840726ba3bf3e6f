// What the files of asynchronous copies share.
#pragma once

#include "emulator/cluster.h"
#include "emulator/lane_ops.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {

// A place in the shared memory of a block of the cluster.
struct SharedPlace {
  Block* block = nullptr;
  u32 offset = 0;
  u32 address() const { return block->window_base() + offset; }
  uint8_t* data() const { return block->shared(offset); }
  uint8_t* shadow() const { return block->shared_shadow(offset); }
};
// Where a shared address (its upper 32 bits do not count) leads; `own`: it must be this block's. The block is
// null after a fault, which includes `bytes` that are not all in the block's memory.
SharedPlace shared_place_anywhere(Warp& w, const Op& op, u32 address, int lane, u32 bytes, u32 align,
                                  bool own);
inline SharedPlace shared_place(Warp& w, const Op& op, u64 address, int lane, u32 bytes, u32 align,
                                bool own) {
  Block& block = w.block();
  u32 at = static_cast<u32>(address), offset = at - block.window_base();
  if ((at & (align - 1)) == 0 && u64(offset) + bytes <= block.shared_bytes()) [[likely]]
    return {&block, offset};
  return shared_place_anywhere(w, op, at, lane, bytes, align, own);
}

// Calls f(block) for the blocks of the cluster in a multicast's mask.
template <class F>
void for_destinations(Warp& w, const Op& op, int lane, u32 mask, F f) {
  Cluster& cluster = w.block().cluster();
  if (mask == 0 || mask >> cluster.size())
    return w.fault(op, FaultKind::out_of_bounds,
                   fmt::format("a multicast to blocks {:#x} of a cluster of {} blocks", mask, cluster.size()),
                   lane);
  for (u32 rank = 0; rank < cluster.size() && !w.stop; ++rank) {
    if (!(mask >> rank & 1)) continue;
    if (cluster.block(rank).exited()) {
      const auto& i = cluster.block(rank).index();
      return w.fault(op, FaultKind::use_after_free,
                     fmt::format("a multicast to block ({},{},{}), which has exited", i[0], i[1], i[2]),
                     lane);
    }
    f(cluster.block(rank));
  }
}

// Marks the destination of a copy through this proxy as in flight; false after a fault.
bool mark_pending(Warp& w, const Op& op, const SharedPlace& place, u32 bytes, int lane, Proxy proxy);
// The same for elements that asynchronous reductions will change. Several may be under way; before them the
// elements must have been written.
bool mark_reducing(Warp& w, const Op& op, const SharedPlace& place, u32 bytes, int lane, Proxy proxy);
// After a reduction has been applied: the elements are ordinary again unless another one is under way.
void finish_reduction(const SharedPlace& place, u32 bytes);
// For the race detector: who issues a copy into shared memory, and when; then that its data is there, visible
// to both proxies. Reductions commute: what they change counts as nobody's.
void note_issuer(Warp& w, PendingBulk* copy);
void note_arrival(const SharedPlace& place, u32 bytes, u32 who, u32 time, int32_t line);
void note_reduction(const SharedPlace& place, u32 bytes);
void copy_with_shadow(uint8_t* to, uint8_t* to_shadow, const uint8_t* from, const uint8_t* from_shadow,
                      u32 bytes);

// Everything that begins with cp.async.bulk or cp.reduce.async.bulk.
void decode_bulk_copy(Decoder& d);
void decode_tensor_copy(Decoder& d, bool reduce);
void decode_tensor_prefetch(Decoder& d);
void decode_store_async(Decoder& d);   // st.async
void decode_reduce_async(Decoder& d);  // red.async

enum class ReduceOperation : u32 { none, add, min, max, inc, dec, bit_and, bit_or, bit_xor };
// One element of a reduction into global memory.
enum class ReduceType : u32 { u32_, s32_, u64_, s64_, f16, bf16, f32, f64, b32, b64, u8_ };
u32 bytes_of(ReduceType type);
void reduce_element(uint8_t* to, const uint8_t* from, ReduceOperation operation, ReduceType type);

}  // namespace rtjit::emu

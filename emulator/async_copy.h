// What the files of asynchronous copies share.
#pragma once

#include "emulator/block.h"
#include "emulator/lane_ops.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {

// Marks the destination of a copy through this proxy as in flight; false after a fault.
bool mark_pending(Warp& w, const Op& op, uint8_t* shadow, u32 bytes, int lane, u64 address, Proxy proxy);
void copy_with_shadow(uint8_t* to, uint8_t* to_shadow, const uint8_t* from, const uint8_t* from_shadow,
                      u32 bytes);
u32 shared_offset(u64 address);

// Everything that begins with cp.async.bulk or cp.reduce.async.bulk.
void decode_bulk_copy(Decoder& d);
void decode_tensor_copy(Decoder& d, bool reduce);

enum class ReduceOperation : u32 { none, add, min, max, inc, dec, bit_and, bit_or, bit_xor };
// One element of a reduction into global memory.
enum class ReduceType : u32 { u32_, s32_, u64_, s64_, f16, bf16, f32, f64, b32, b64, u8_ };
u32 bytes_of(ReduceType type);
void reduce_element(uint8_t* to, const uint8_t* from, ReduceOperation operation, ReduceType type);

}  // namespace rtjit::emu

// What the files of the tcgen05 family share.
#pragma once

#include "emulator/memory_access.h"
#include "emulator/tensor_memory.h"

namespace rtjit::emu {

// After the operation's name has been taken.
void decode_tensor_load(Decoder& d);   // tcgen05.ld
void decode_tensor_store(Decoder& d);  // tcgen05.st
void decode_tensor_fill(Decoder& d);   // tcgen05.cp
void decode_tensor_shift(Decoder& d);
void decode_tensor_product(Decoder& d);  // tcgen05.mma

// Takes .cta_group::N; 0 after an error.
u32 take_cta_group(Decoder& d);
// The blocks that an instruction with .cta_group::`group` works on: this one, or the even and the odd one of
// its pair. Empty after a fault; only the even block may issue it.
std::vector<Block*> blocks_of_group(Warp& w, const Op& op, u32 group, int lane);

// A tensor memory address [register + constant]: two entries of the op's list.
inline constexpr u32 kTensorAddressEntries = 2;
void add_tensor_address(Decoder& d, const ptx::Operand& operand);
inline u32 tensor_address(Warp& w, const u32* entries, int lane) {
  return w.reg<u32>(entries[0])[lane] + w.reg<u32>(entries[1])[lane];
}

// Whether all lanes of the warp take part, as .sync.aligned wants it. False after a fault.
bool whole_warp(Warp& w, const Op& op);
// Whether the lanes agree on a value. False after a fault.
bool same_in_all_lanes(Warp& w, const Op& op, const u32* lanes, const char* what);

}  // namespace rtjit::emu

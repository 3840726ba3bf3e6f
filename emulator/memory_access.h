// Addresses of lanes and the checks on shadow bytes, for every instruction that touches memory.
#pragma once

#include <cstring>

#include "emulator/block.h"
#include "emulator/lane_ops.h"

namespace rtjit::emu {

// Address operands: op.a is the base (64-bit lanes when kWideBase is in mods), op.imm the offset.
inline constexpr u32 kWideBase = 1u << 31;

inline u64 lane_address(Warp& w, const Op& op, int lane) {
  u64 base = op.mods & kWideBase ? w.reg<u64>(op.a)[lane] : w.reg<u32>(op.a)[lane];
  return base + op.imm;
}

inline bool is_written(const uint8_t* shadow, u32 bytes) {
  constexpr u64 kAll = 0x0101010101010101;
  u64 word = 0;
  for (; bytes >= 8; bytes -= 8, shadow += 8) {
    std::memcpy(&word, shadow, 8);
    if (word != kAll) return false;
  }
  if (bytes == 0) return true;
  word = kAll;
  std::memcpy(&word, shadow, bytes);
  return word == kAll;
}

// Who accessed first, seen from a block of the same cluster.
std::string who_raced(Block& block, const RaceDetector::Conflict& conflict);

// Reports a conflict on shared memory. `wants`: "reads", "writes". Always false.
bool report_conflict(Warp& w, const Op& op, const RaceDetector::Conflict& conflict, const char* wants,
                     int lane);

enum class Proxy : uint8_t { generic, async };

// Reports an access of shared memory that nothing orders after another's. False after a fault. `of_lane`:
// whose access it is among the lanes of the warp; kWholeWarp when all make it together.
template <bool Write, Proxy P = Proxy::generic>
inline bool check_race(Warp& w, const Op& op, const uint8_t* shadow, u32 bytes, int lane,
                       int of_lane = kWholeWarp, bool unchanged = false) {
  Block& block = w.block();
  u32 offset = block.shared_place_of(shadow);
  if (offset == kNone || !block.launch().strictness.races) return true;
  RaceDetector::Conflict conflict;
  if constexpr (P == Proxy::async)
    conflict = Write ? block.races.write_async(w.who(), offset, bytes, op.line, of_lane)
                     : block.races.read_async(w.who(), offset, bytes, op.line, of_lane);
  else
    conflict = Write ? block.races.write(w.who(), offset, bytes, op.line, of_lane, unchanged)
                     : block.races.read(w.who(), offset, bytes, op.line, of_lane);
  if (!conflict.found()) [[likely]]
    return true;
  return report_conflict(w, op, conflict, Write ? "writes" : "reads", lane);
}

// Marks bytes as written; an asynchronous copy that is under way, or an mbarrier, must not be there.
inline bool may_write(Warp& w, const Op& op, uint8_t* shadow, u32 bytes, int lane, u64 address) {
  for (u32 i = 0; i < bytes; ++i) {
    if (shadow[i] > kWritten) [[unlikely]] {
      u64 at = address + i;
      bool barrier = shadow[i] == kMbarrier;
      w.fault(op, barrier ? FaultKind::mbarrier : FaultKind::async_early,
              barrier ? "an mbarrier object is overwritten by an ordinary store"
                      : "this memory is written while an asynchronous copy into it has not been waited for",
              lane, &at);
      return false;
    }
  }
  std::memset(shadow, kWritten, bytes);
  return true;
}
// The same with a look at races, for writes that the warp's lanes make together.
inline bool mark_written(Warp& w, const Op& op, uint8_t* shadow, u32 bytes, int lane, u64 address) {
  return may_write(w, op, shadow, bytes, lane, address) && check_race<true>(w, op, shadow, bytes, lane);
}

// Reads `bytes` that must have been written; null after a fault.
inline const uint8_t* read_span(Warp& w, const Op& op, u64 address, int lane, u32 bytes, u32 align) {
  uint8_t* shadow = nullptr;
  const uint8_t* p = w.locate_generic(op, address, lane, bytes, align, Access::read, &shadow);
  if (!p) return nullptr;
  if (!is_written(shadow, bytes) && !w.check_written(op, shadow, bytes, lane, address)) return nullptr;
  return p;
}

// --- global memory and other blocks ---
inline bool is_global(u64 address) { return address < kSharedWindow; }

// How an access of global memory is made.
enum class Path : uint8_t { ordinary, non_coherent, async };

// The slow half of check_blocks_read and note_blocks_write.
bool check_writers(Warp& w, const Op& op, u64 address, u32 bytes, int lane, Path path, bool write);

// Reports a read of what another block, which this one cannot have waited for, wrote in this launch. False
// after a fault. At most 32 aligned bytes.
inline bool check_blocks_read(Warp& w, const Op& op, u64 address, u32 bytes, int lane, Path path) {
  Launch& launch = w.block().launch();
  if (!launch.record || !is_global(address)) return true;
  if (!launch.record->touched(launch.memory->offset(address))) [[likely]]
    return true;
  return check_writers(w, op, address, bytes, lane, path, false);
}
// The same for a write, which is put on record. `unchanged`: it leaves every byte as it is.
inline bool note_blocks_write(Warp& w, const Op& op, u64 address, u32 bytes, int lane, Path path,
                              bool unchanged) {
  Launch& launch = w.block().launch();
  if (!launch.record || !is_global(address)) return true;
  u64 offset = launch.memory->offset(address);
  if (!unchanged && launch.record->touched(offset) && !check_writers(w, op, address, bytes, lane, path, true))
    return false;
  launch.record->note(offset, bytes, w.block().linear_index(), path == Path::async);
  return true;
}
// For more bytes, anywhere.
bool check_blocks_read_span(Warp& w, const Op& op, u64 address, u32 bytes, int lane, Path path);
bool note_blocks_write_span(Warp& w, const Op& op, u64 address, const uint8_t* value, u32 bytes, int lane);

// Where an address operand leads: decodes [a + imm] into op.a, op.imm and op.mods.
inline ptx::Space decode_address(Decoder& d, size_t index) {
  Decoder::Address a = d.address(index);
  d.op.a = a.slot;
  d.op.imm = static_cast<u64>(a.offset);
  if (a.wide) d.op.mods |= kWideBase;
  return a.space;
}

// The state space of ld, st and atom; `none` is generic. So is .shared::cluster: *cluster then tells that
// addresses count from the start of the shared window, which the caller adds to op.imm.
inline ptx::Space take_space(Decoder& d, bool* cluster) {
  using ptx::Space;
  if (d.take("global")) return Space::global;
  if (d.take("shared") || d.take("shared::cta")) return Space::shared;
  if (d.take("shared::cluster")) {
    *cluster = true;
    return Space::none;
  }
  if (d.take("local")) return Space::local;
  if (d.take("param") || d.take("param::entry") || d.take("param::func")) return Space::param;
  if (d.take("const")) return Space::constant;
  return Space::none;
}

}  // namespace rtjit::emu

// st.async and red.async: registers into the shared memory of a block of the cluster, completing on an
// mbarrier of that block.
#include <algorithm>
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {

bool mark_reducing(Warp& w, const Op& op, const SharedPlace& place, u32 bytes, int lane, Proxy proxy) {
  uint8_t* shadow = place.shadow();
  for (u32 i = 0; i < bytes; ++i) {
    if (shadow[i] != kReducing && shadow[i] != kWritten)
      return w.check_written(op, shadow, bytes, lane, kSharedWindow + place.address());
  }
  if (!(proxy == Proxy::async ? check_race<false, Proxy::async>(w, op, shadow, bytes, lane, lane)
                              : check_race<false>(w, op, shadow, bytes, lane, lane)))
    return false;
  std::memset(shadow, kReducing, bytes);
  return true;
}

void finish_reduction(const SharedPlace& place, u32 bytes) {
  std::memset(place.shadow(), kWritten, bytes);
  for (const PendingBulk& other : place.block->pending) {
    if (other.reduced == kNone) continue;
    u32 first = std::max(other.reduced, place.offset),
        end = std::min(other.reduced + other.bytes, place.offset + bytes);
    if (first < end) std::memset(place.block->shared_shadow(first), kReducing, end - first);
  }
}

namespace {

using Kind = Type::Kind;
using ptx::Operand;

// a: destination; the list: mbarrier, values. mods 0-7: bytes of an element, 8: the mbarrier's address has 64
// bits; small: reduction (operation | type << 4); target: offset of the mbarrier's address
void run_async(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  u32 element = op.mods & 0xff, count = op.list_size - 1u, bytes = element * count;
  auto operation = static_cast<ReduceOperation>(op.small & 15);
  auto type = static_cast<ReduceType>(op.small >> 4);
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    SharedPlace place = shared_place(w, op, lane_address(w, op, l), l, bytes, bytes, false);
    if (!place.block) return;
    u64 address = (op.mods >> 8 & 1 ? w.reg<u64>(list[0])[l] : w.reg<u32>(list[0])[l]) + op.target;
    SharedPlace barrier = shared_place(w, op, address, l, 8, 8, false);
    if (!barrier.block) return;
    if (barrier.block != place.block)
      return w.fault(
          op, FaultKind::mbarrier,
          fmt::format("this writes to the block with rank {}, but its mbarrier is in the block with rank {}",
                      place.block->rank(), barrier.block->rank()),
          l);
    if (!place.block->find_mbarrier(w, op, barrier.offset, l)) return;
    bool reduces = operation != ReduceOperation::none;
    // Which proxy these go through is not written down: they are taken as ordered with both.
    if (reduces ? !mark_reducing(w, op, place, bytes, l, Proxy::generic)
                : !mark_pending(w, op, place, bytes, l, Proxy::generic))
      return;
    std::array<uint8_t, 32> values;
    for (u32 i = 0; i < count; ++i) {
      const void* from =
          element == 8 ? static_cast<const void*>(&w.reg<u64>(list[1 + i])[l]) : &w.reg<u32>(list[1 + i])[l];
      std::memcpy(values.data() + i * element, from, element);
    }
    PendingBulk store;
    store.mbarrier = barrier.offset;
    store.bytes = bytes;
    store.thread = w.thread_index(l);
    store.issuer = &op;
    store.issuing_block = &w.block();
    store.target = place.block;
    if (reduces) store.reduced = place.offset;
    note_issuer(w, &store);
    store.land = [=, who = store.who, time = store.time, line = op.line] {
      if (!reduces) {
        note_arrival(place, bytes, who, time, line);
        std::memcpy(place.data(), values.data(), bytes);
        std::memset(place.shadow(), kWritten, bytes);
        return;
      }
      note_reduction(place, bytes);
      reduce_element(place.data(), values.data(), operation, type);
      finish_reduction(place, bytes);
    };
    place.block->pending.push_back(std::move(store));
  });
}

// [a], b, [mbar] after the modifiers.
void decode_operands(Decoder& d, const Type& type, size_t vector) {
  d.expect_operands(3, 3);
  decode_address(d, 0);
  Decoder::Address barrier = d.address(2);
  d.add_list(barrier.slot);
  d.op.target = static_cast<u32>(barrier.offset);
  const Operand& data = d.operand(1);
  std::vector<Operand> values =
      data.kind == Operand::Kind::vector ? data.elements : std::vector<Operand>{data};
  if (values.size() != vector) return d.fail("the vector's length does not match");
  for (const Operand& v : values) d.add_list(d.source(v, type.bits, type.kind));
  d.op.mods |= static_cast<u32>(type.bits / 8) | u32(barrier.wide) << 8;
  d.op.run = run_async;
}

}  // namespace

void decode_store_async(Decoder& d) {
  d.take("weak");
  d.take("shared::cluster");
  d.take("mbarrier::complete_tx::bytes");
  size_t vector = d.take("v2") ? 2 : d.take("v4") ? 4 : 1;
  Type type = d.take_type();
  if (type.bits != 32 && type.bits != 64) return d.fail("st.async stores elements of 32 and 64 bits");
  if (type.bits == 64 && vector == 4) return d.fail("st.async stores at most 16 bytes");
  decode_operands(d, type, vector);
}

void decode_reduce_async(Decoder& d) {
  if (!d.take("relaxed") || !d.take("cluster")) return d.fail("red.async needs .relaxed.cluster here");
  d.take("shared::cluster");
  if (!d.take("mbarrier::complete_tx::bytes")) return d.fail("the completion mechanism is not known");
  int operation = d.take_one_of({"add", "min", "max", "inc", "dec", "and", "or", "xor"});
  Type type = d.take_type();
  bool word = type.bits == 32 && type.is_integer(), exists = false;
  switch (static_cast<ReduceOperation>(operation + 1)) {
    case ReduceOperation::add:
      exists = (word && type.kind != Kind::bits) || (type.kind == Kind::u && type.bits == 64);
      break;
    case ReduceOperation::min:
    case ReduceOperation::max:
      exists = word && type.kind != Kind::bits;
      break;
    case ReduceOperation::inc:
    case ReduceOperation::dec:
      exists = word && type.kind == Kind::u;
      break;
    case ReduceOperation::none:
      break;
    default:
      exists = word && type.kind == Kind::bits;
  }
  if (!exists) return d.fail("red.async does not have this operation with this type");
  ReduceType reduced = type.bits == 64           ? ReduceType::u64_
                       : type.kind == Kind::s    ? ReduceType::s32_
                       : type.kind == Kind::bits ? ReduceType::b32
                                                 : ReduceType::u32_;
  d.op.small = static_cast<uint8_t>(operation + 1) | static_cast<uint8_t>(static_cast<u32>(reduced) << 4);
  decode_operands(d, type, 1);
}

}  // namespace rtjit::emu

// cp.async.bulk without a tensor map: global to shared, to one block or several of the cluster, and shared to
// shared of another block (completing on an mbarrier); shared to global and reductions (in bulk groups);
// groups and their waits.
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;
using ptx::Space;

u64 base_of(Warp& w, u32 slot, bool wide, int lane) {
  return wide ? w.reg<u64>(slot)[lane] : w.reg<u32>(slot)[lane];
}

bool check_size(Warp& w, const Op& op, u32 bytes, int lane) {
  if (bytes % 16 == 0) return true;
  w.fault(op, FaultKind::misaligned,
          fmt::format("a bulk copy of {} B; its size must be a multiple of 16", bytes), lane);
  return false;
}

// Applies `source` to `target`, both in shared memory; what nobody wrote is reported.
void reduce_shared(Warp& w, const Op& op, int lane, const SharedPlace& target, const SharedPlace& source,
                   u32 bytes, ReduceOperation operation, ReduceType type) {
  if (!is_written(source.shadow(), bytes) &&
      !w.check_written(op, source.shadow(), bytes, lane, kSharedWindow + source.address()))
    return;
  for (u32 i = 0; i < bytes; i += bytes_of(type)) {
    SharedPlace to = {target.block, target.offset + i}, from = {source.block, source.offset + i};
    reduce_element(to.data(), from.data(), operation, type);
  }
  finish_reduction(target, bytes);
}

// list: size, mbarrier, mask of blocks (multicast). a: destination, b: source. mods: 0 the mbarrier's address
// has 64 bits, 1 multicast, 2 the source is shared memory, 3 its address has 64 bits, 4 everything is in the
// own block, 5-8 reduction, 9-12 its type
void run_load(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  bool from_shared = op.mods & 4, own = op.mods & 16;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    u64 to = base_of(w, op.a, op.mods & kWideBase, l) + static_cast<u64>(static_cast<s32>(op.imm));
    u64 from =
        base_of(w, op.b, !from_shared || (op.mods & 8), l) + static_cast<u64>(static_cast<s64>(op.imm) >> 32);
    u32 bytes = w.reg<u32>(list[0])[l];
    u64 barrier_address = base_of(w, list[1], op.mods & 1, l) + op.target;
    if (!check_size(w, op, bytes, l)) return;
    SharedPlace place = shared_place(w, op, to, l, bytes, 16, own);
    if (!place.block) return;
    SharedPlace barrier = shared_place(w, op, barrier_address, l, 8, 8, own);
    if (!barrier.block) return;
    if (barrier.block != place.block)
      return w.fault(op, FaultKind::mbarrier,
                     "the mbarrier of a copy must be in the block that the copy writes to", l);
    SharedPlace source;
    if (from_shared) {
      source = shared_place(w, op, from, l, bytes, 16, true);
      if (!source.block) return;
      if (!check_race<false, Proxy::async>(w, op, source.shadow(), bytes, l, l)) return;
    } else {
      uint8_t* source_shadow = nullptr;
      if (!w.locate_generic(op, from, l, bytes, 16, Access::read, &source_shadow)) return;
      if (!check_blocks_read_span(w, op, from, bytes, l, Path::async)) return;
    }
    GlobalMemory* memory = w.block().launch().memory;
    auto operation = static_cast<ReduceOperation>(op.mods >> 5 & 15);
    auto type = static_cast<ReduceType>(op.mods >> 9 & 15);
    Warp* warp = &w;
    const Op* issuer = &op;
    u32 mask = op.mods & 2 ? w.reg<u32>(list[2])[l] & 0xffff : 1u << place.block->rank();
    for_destinations(w, op, l, mask, [&](Block& block) {
      SharedPlace target{&block, place.offset};
      if (!block.find_mbarrier(w, op, barrier.offset, l)) return;
      bool reduces = operation != ReduceOperation::none;
      if (reduces ? !mark_reducing(w, op, target, bytes, l, Proxy::async)
                  : !mark_pending(w, op, target, bytes, l, Proxy::async))
        return;
      PendingBulk copy;
      if (reduces) copy.reduced = target.offset;
      copy.mbarrier = barrier.offset;
      copy.bytes = bytes;
      copy.thread = w.thread_index(l);
      copy.issuer = &op;
      copy.issuing_block = &w.block();
      copy.source = source.block;
      copy.target = &block;
      note_issuer(w, &copy);
      copy.land = [=, who = copy.who, time = copy.time] {
        if (reduces) {
          note_reduction(target, bytes);
          return reduce_shared(*warp, *issuer, l, target, source, bytes, operation, type);
        }
        note_arrival(target, bytes, who, time, issuer->line);
        if (source.block)
          copy_with_shadow(target.data(), target.shadow(), source.data(), source.shadow(), bytes);
        else
          copy_with_shadow(target.data(), target.shadow(), memory->data(from), memory->shadow(from), bytes);
      };
      block.pending.push_back(std::move(copy));
    });
  });
}

// a: global destination, b: shared source; list: size. target: reduction (operation | type << 8)
void run_store(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  bool wide_from = op.mods & 1;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    Block& block = w.block();
    u64 to = w.reg<u64>(op.a)[l] + static_cast<u64>(static_cast<s32>(op.imm));
    u64 from = base_of(w, op.b, wide_from, l) + static_cast<u64>(static_cast<s64>(op.imm) >> 32);
    u32 bytes = w.reg<u32>(list[0])[l];
    if (!check_size(w, op, bytes, l)) return;
    uint8_t* shadow = nullptr;
    if (!w.locate_generic(op, to, l, bytes, 16, Access::write, &shadow)) return;
    SharedPlace place = shared_place(w, op, from, l, bytes, 16, true);
    if (!place.block || !check_race<false, Proxy::async>(w, op, place.shadow(), bytes, l, l)) return;
    auto operation = static_cast<ReduceOperation>(op.target & 0xff);
    auto type = static_cast<ReduceType>(op.target >> 8 & 0xff);
    PendingBulk copy;
    copy.thread = w.thread_index(l);
    copy.group = w.bulk_groups[l];
    copy.issuer = &op;
    GlobalMemory* memory = block.launch().memory;
    Warp* warp = &w;
    const Op* issuer = &op;
    copy.land = [=] {
      const uint8_t* source = place.data();
      if (!is_written(place.shadow(), bytes) &&
          !warp->check_written(*issuer, place.shadow(), bytes, l, kSharedWindow + place.address()))
        return;
      if (operation == ReduceOperation::none) {
        if (!note_blocks_write_span(*warp, *issuer, to, source, bytes, l)) return;
        std::memcpy(memory->data(to), source, bytes);
        std::memset(memory->shadow(to), kWritten, bytes);
        return;
      }
      for (u32 i = 0; i < bytes; i += bytes_of(type)) {
        std::atomic_flag& lock = memory->lock_for(to + i);
        while (lock.test_and_set(std::memory_order_acquire)) {
        }
        reduce_element(memory->data(to + i), source + i, operation, type);
        lock.clear(std::memory_order_release);
      }
    };
    block.pending.push_back(std::move(copy));
  });
}

bool take_reduction(Decoder& d, ReduceOperation* operation, ReduceType* type) {
  int o = d.take_one_of({"add", "min", "max", "inc", "dec", "and", "or", "xor"});
  d.take("noftz");
  int t = d.take_one_of({"u32", "s32", "u64", "s64", "f16", "bf16", "f32", "f64", "b32", "b64"});
  if (o < 0 || t < 0) return false;
  *operation = static_cast<ReduceOperation>(o + 1);
  *type = static_cast<ReduceType>(t);
  return true;
}

// Into shared memory there are fewer.
bool take_shared_reduction(Decoder& d, ReduceOperation* operation, ReduceType* type) {
  if (!take_reduction(d, operation, type)) return false;
  switch (*operation) {
    case ReduceOperation::add:
      return *type == ReduceType::u32_ || *type == ReduceType::s32_ || *type == ReduceType::u64_;
    case ReduceOperation::min:
    case ReduceOperation::max:
      return *type == ReduceType::u32_ || *type == ReduceType::s32_;
    case ReduceOperation::inc:
    case ReduceOperation::dec:
      return *type == ReduceType::u32_;
    default:
      return *type == ReduceType::b32;
  }
}

}  // namespace

void decode_bulk_copy(Decoder& d) {
  bool reduce = d.in().parts[1] == "reduce";
  if (d.take("commit_group")) {
    d.op.run = [](Warp& w, const Op&) { each_lane(w.exec, [&](int l) { ++w.bulk_groups[l]; }); };
    return;
  }
  if (d.take("wait_group")) {
    // .read only promises that the source was read; landing the whole copy then is allowed, and as late.
    d.take("read");
    auto keep = d.immediate(0);
    if (!keep) return d.fail("wait_group needs a constant");
    d.op.imm = static_cast<u64>(*keep);
    d.op.run = [](Warp& w, const Op& op) {
      each_lane(w.exec, [&](int l) {
        w.block().land_groups(w.thread_index(l), w.bulk_groups[l], static_cast<u32>(op.imm));
      });
    };
    return;
  }
  if (d.take("prefetch")) {
    if (d.take("tensor")) return decode_tensor_prefetch(d);
    d.skip_modifiers();
    d.op.run = [](Warp&, const Op&) {};
    return;
  }
  if (d.take("tensor")) return decode_tensor_copy(d, reduce);
  bool cluster = d.take("shared::cluster");
  if (cluster || d.take("shared::cta")) {
    bool from_shared = cluster && d.take("shared::cta");
    if (!from_shared && !d.take("global")) return d.fail("this direction of a bulk copy is not supported");
    if (!d.take("mbarrier::complete_tx::bytes")) return d.fail("the completion mechanism is not known");
    ReduceOperation operation = ReduceOperation::none;
    ReduceType type = ReduceType::u32_;
    if (reduce && (!from_shared || !take_shared_reduction(d, &operation, &type)))
      return d.fail("this reduction is not known");
    bool multicast = !from_shared && d.take("multicast::cluster"), policy = d.has_modifier("L2::cache_hint");
    d.take_cache_hints();
    d.expect_operands(4 + multicast, 4 + multicast + policy);
    Decoder::Address to = d.address(0), from = d.address(1), barrier = d.address(3);
    d.op.a = to.slot;
    d.op.b = from.slot;
    d.add_list(d.source(2, 32));
    d.add_list(barrier.slot);
    if (multicast) d.add_list(d.source(4, 16));
    d.op.target = static_cast<u32>(barrier.offset);
    d.op.mods = (to.wide ? kWideBase : 0) | u32(barrier.wide) | u32(multicast) << 1 | u32(from_shared) << 2 |
                u32(from.wide) << 3 | u32(!cluster) << 4 | static_cast<u32>(operation) << 5 |
                static_cast<u32>(type) << 9;
    d.op.imm = static_cast<u64>(from.offset) << 32 | static_cast<u32>(to.offset);
    if (!from.wide && !from_shared) return d.fail("the source address needs 64 bits");
    d.op.run = run_load;
    return;
  }
  if (!d.take("global") || !d.take("shared::cta"))
    return d.fail("this direction of a bulk copy is not supported");
  if (!d.take("bulk_group")) return d.fail("the completion mechanism is not known");
  bool policy = d.has_modifier("L2::cache_hint");
  d.take_cache_hints();
  ReduceOperation operation = ReduceOperation::none;
  ReduceType type = ReduceType::u32_;
  if (reduce && !take_reduction(d, &operation, &type)) return d.fail("this reduction is not known");
  d.expect_operands(3, policy ? 4 : 3);
  Decoder::Address to = d.address(0), from = d.address(1);
  if (!to.wide) return d.fail("the destination address needs 64 bits");
  d.op.a = to.slot;
  d.op.b = from.slot;
  d.add_list(d.source(2, 32));
  d.op.mods = from.wide;
  d.op.imm = static_cast<u64>(from.offset) << 32 | static_cast<u32>(to.offset);
  d.op.target = static_cast<u32>(operation) | static_cast<u32>(type) << 8;
  d.op.run = run_store;
}

}  // namespace rtjit::emu

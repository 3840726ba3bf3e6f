// cp.async.bulk without a tensor map: global to shared (completing on an mbarrier), shared to global and
// reductions (in bulk groups), groups and their waits.
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;
using ptx::Space;

// list: size, mbarrier. a: destination, b: source
void run_load(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  bool wide_to = op.mods & kWideBase, wide_barrier = op.mods & 1;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    Block& block = w.block();
    u32 to = shared_offset((wide_to ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l]) +
                           static_cast<u64>(static_cast<s32>(op.imm)));
    u64 from = w.reg<u64>(op.b)[l] + static_cast<u64>(static_cast<s64>(op.imm) >> 32);
    u32 bytes = w.reg<u32>(list[0])[l];
    u32 barrier_address =
        shared_offset(wide_barrier ? w.reg<u64>(list[1])[l] : w.reg<u32>(list[1])[l]) + op.target;
    if (bytes % 16 != 0)
      return w.fault(op, FaultKind::misaligned,
                     fmt::format("a bulk copy of {} B; its size must be a multiple of 16", bytes), l);
    if (!block.find_mbarrier(w, op, barrier_address, l)) return;
    uint8_t *shadow = nullptr, *source_shadow = nullptr;
    if (!w.locate_generic(op, kSharedWindow + to, l, bytes, 16, Access::write, &shadow)) return;
    if (!w.locate_generic(op, from, l, bytes, 16, Access::read, &source_shadow)) return;
    if (!check_blocks_read_span(w, op, from, bytes, l, Path::async)) return;
    if (!mark_pending(w, op, shadow, bytes, l, to, Proxy::async)) return;
    PendingBulk copy;
    copy.mbarrier = barrier_address;
    copy.bytes = bytes;
    copy.thread = w.thread_index(l);
    copy.issuer = &op;
    GlobalMemory* memory = block.launch().memory;
    Block* owner = &block;
    const u32 issuing_warp = w.index(), time = block.races.time(issuing_warp);
    const int32_t line = op.line;
    copy.time = time;
    copy.land = [=] {
      owner->races.arrived(issuing_warp, time, to, bytes, line, true);
      copy_with_shadow(owner->shared(to), owner->shared_shadow(to), memory->data(from), memory->shadow(from),
                       bytes);
    };
    block.pending.push_back(std::move(copy));
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
    u32 from = shared_offset((wide_from ? w.reg<u64>(op.b)[l] : w.reg<u32>(op.b)[l]) +
                             static_cast<u64>(static_cast<s64>(op.imm) >> 32));
    u32 bytes = w.reg<u32>(list[0])[l];
    if (bytes % 16 != 0)
      return w.fault(op, FaultKind::misaligned,
                     fmt::format("a bulk copy of {} B; its size must be a multiple of 16", bytes), l);
    uint8_t *shadow = nullptr, *source_shadow = nullptr;
    if (!w.locate_generic(op, to, l, bytes, 16, Access::write, &shadow)) return;
    if (!w.locate_generic(op, kSharedWindow + from, l, bytes, 16, Access::read, &source_shadow)) return;
    if (!check_race<false, Proxy::async>(w, op, source_shadow, bytes, l, l)) return;
    auto operation = static_cast<ReduceOperation>(op.target & 0xff);
    auto type = static_cast<ReduceType>(op.target >> 8 & 0xff);
    PendingBulk copy;
    copy.thread = w.thread_index(l);
    copy.group = w.bulk_groups[l];
    copy.issuer = &op;
    GlobalMemory* memory = block.launch().memory;
    Block* owner = &block;
    Warp* warp = &w;
    const Op* issuer = &op;
    copy.land = [=] {
      const uint8_t* source = owner->shared(from);
      if (!is_written(owner->shared_shadow(from), bytes) &&
          !warp->check_written(*issuer, owner->shared_shadow(from), bytes, l, kSharedWindow + from))
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
    d.skip_modifiers();
    d.op.run = [](Warp&, const Op&) {};
    return;
  }
  if (d.take("tensor")) return decode_tensor_copy(d, reduce);
  if (d.take("shared::cluster") || d.take("shared::cta")) {
    if (!d.take("global")) return d.fail("only copies from global memory are supported here");
    if (!d.take("mbarrier::complete_tx::bytes")) return d.fail("the completion mechanism is not known");
    if (d.has_modifier("multicast::cluster")) return d.fail("multicast is not supported");
    d.take_cache_hints();
    d.expect_operands(4, 5);
    Decoder::Address to = d.address(0), from = d.address(1), barrier = d.address(3);
    d.op.a = to.slot;
    d.op.b = from.slot;
    d.add_list(d.source(2, 32));
    d.add_list(barrier.slot);
    d.op.target = static_cast<u32>(barrier.offset);
    d.op.mods = (to.wide ? kWideBase : 0) | u32(barrier.wide);
    d.op.imm = static_cast<u64>(from.offset) << 32 | static_cast<u32>(to.offset);
    if (!from.wide) return d.fail("the source address needs 64 bits");
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

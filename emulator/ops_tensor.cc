// cp.async.bulk.tensor: tiles, gather4, scatter4 and im2col between global and shared memory through a tensor
// map, with swizzles, zero fill outside the tensor, multicast, and reductions.
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"
#include "emulator/tensor_box.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

using Mode = TensorBox::Mode;

// mods: 0-3 rank, 4-5 mode, 8-11 reduction, and these. small: coordinates; behind them the list has im2col's
// offsets.
constexpr u32 kWideBarrier = 1 << 16, kOwn = 1 << 17, kMulticast = 1 << 18, kPair = 1 << 19,
              kOffsets = 1 << 20;

u32 offsets_of(const Op& op) { return op.mods & kOffsets ? (op.mods & 15) - 2 : 0; }

// Everything one copy needs, by value: it runs later.
struct TensorCopy {
  TensorBox box;
  SharedPlace shared;
  GlobalMemory* memory;
  Warp* warp;
  const Op* op;
  int lane;
  ReduceOperation operation;
  ReduceType type;

  u32 bytes() const { return box.bytes(); }
  template <class F>
  void each_piece(F f) const {
    box.each_piece(shared.offset, f);
  }
};

// Reads the map, the coordinates and the offsets.
bool read_box(Warp& w, const Op& op, int l, TensorBox* box) {
  const u32* list = w.program().lists.data() + op.list;
  u64 map_address = w.reg<u64>(list[0])[l];
  uint8_t* map_shadow = nullptr;
  const uint8_t* bytes = w.locate_generic(op, map_address, l, 128, 64, Access::read, &map_shadow);
  if (!bytes) return false;
  std::memcpy(&box->map, bytes, sizeof(TensorMap));
  if (box->map.magic != kTensorMapMagic) {
    w.fault(op, FaultKind::invalid_address, "there is no tensor map at this address", l, &map_address);
    return false;
  }
  for (u32 i = 0; i < op.small; ++i) box->coordinates[i] = static_cast<int32_t>(w.reg<u32>(list[1 + i])[l]);
  for (u32 i = 0; i < offsets_of(op); ++i)
    box->offsets[i] = static_cast<int32_t>(w.reg<u32>(list[1 + op.small + i])[l] & 0xffff);
  box->mode = static_cast<Mode>(op.mods >> 4 & 3);
  if (u32 rank = op.mods & 15; rank != box->map.rank) {
    w.fault(op, FaultKind::invalid_address,
            fmt::format("a {}-dimensional copy with a tensor map of rank {}", rank, box->map.rank), l);
    return false;
  }
  if (std::string problem = box->problem(); !problem.empty()) {
    w.fault(op, FaultKind::invalid_address, std::move(problem), l);
    return false;
  }
  return true;
}

// `own`: the shared side must be the own block's.
bool prepare(Warp& w, const Op& op, int l, bool own, TensorCopy* copy) {
  if (!read_box(w, op, l, &copy->box)) return false;
  copy->operation = static_cast<ReduceOperation>(op.mods >> 8 & 15);
  // A reduction takes whole pieces of 16 bytes at the end of a row: an H200 also changes the row's padding
  // there.
  copy->box.whole_pieces = copy->operation != ReduceOperation::none;
  copy->memory = w.block().launch().memory;
  copy->warp = &w;
  copy->op = &op;
  copy->lane = l;
  u64 address = (op.mods & kWideBase ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l]) + op.imm;
  copy->shared = shared_place(w, op, address, l, copy->bytes(), 128, own);
  return copy->shared.block != nullptr;
}

// `read`: other blocks' writes matter too; those of stores are looked at when they land.
bool check_global(const TensorCopy& copy, bool read) {
  FaultKind kind;
  std::string why;
  bool ok = true;
  copy.each_piece([&](u64 global, u32, u32 bytes) {
    if (!ok || !global) return;
    if (copy.memory->check(global, bytes, &kind, &why)) {
      ok = !read || check_blocks_read(*copy.warp, *copy.op, global, bytes, copy.lane, Path::async);
      return;
    }
    ok = false;
    copy.warp->fault(*copy.op, kind, "tensor copy: " + why, copy.lane, &global);
  });
  return ok;
}

// The block whose mbarrier a copy into `target` completes on. With .cta_group::2 it may be that of the other
// block of the pair: then the one of the pair with the same parity as the block of the address.
Block& signalled(Warp& w, const Op& op, Block& target, Block& barrier) {
  if (!(op.mods & kPair)) return target;
  return w.block().cluster().block((target.rank() & ~1u) | (barrier.rank() & 1));
}

void run_load(Warp& w, const Op& op) {
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    const u32* list = w.program().lists.data() + op.list;
    TensorCopy copy{};
    bool own = op.mods & kOwn;
    if (!prepare(w, op, l, own, &copy) || !check_global(copy, true)) return;
    list += 1 + op.small + offsets_of(op);
    u32 slot = list[0];
    u64 address = (op.mods & kWideBarrier ? w.reg<u64>(slot)[l] : w.reg<u32>(slot)[l]) + op.target;
    SharedPlace barrier = shared_place(w, op, address, l, 8, 8, own);
    if (!barrier.block) return;
    u32 from = copy.shared.block->rank(), to = barrier.block->rank();
    if (op.mods & kPair ? from / 2 != to / 2 : from != to)
      return w.fault(
          op, FaultKind::mbarrier,
          fmt::format(
              "the copy writes to the block with rank {}, its mbarrier is in the one with rank {}; it "
              "must be {}",
              from, to, op.mods & kPair ? "in the same pair" : "the same block"),
          l);
    if ((op.mods & kPair) && (from | 1) >= w.block().cluster().size())
      return w.fault(op, FaultKind::resources, ".cta_group::2 needs clusters with an even number of blocks",
                     l);
    u32 mask = op.mods & kMulticast ? w.reg<u32>(list[1])[l] & 0xffff : 1u << from;
    for_destinations(w, op, l, mask, [&](Block& block) {
      copy.shared.block = &block;
      Block& keeper = signalled(w, op, block, *barrier.block);
      if (keeper.exited())
        return w.fault(
            op, FaultKind::use_after_free,
            fmt::format("the mbarrier is in the block with rank {}, which has exited", keeper.rank()), l);
      if (!keeper.find_mbarrier(w, op, barrier.offset, l)) return;
      if (!mark_pending(w, op, copy.shared, copy.bytes(), l, Proxy::async)) return;
      PendingBulk pending;
      pending.mbarrier = barrier.offset;
      pending.bytes = copy.bytes();
      pending.thread = w.thread_index(l);
      pending.issuer = &op;
      pending.issuing_block = &w.block();
      pending.target = &block;
      note_issuer(w, &pending);
      pending.land = [copy, who = pending.who, time = pending.time] {
        Block& target = *copy.shared.block;
        note_arrival(copy.shared, copy.bytes(), who, time, copy.op->line);
        copy.each_piece([&](u64 global, u32 shared, u32 bytes) {
          uint8_t *data = target.shared(shared), *shadow = target.shared_shadow(shared);
          if (global) {
            copy_with_shadow(data, shadow, copy.memory->data(global), copy.memory->shadow(global), bytes);
          } else {
            std::memset(data, 0, bytes);
            std::memset(shadow, kWritten, bytes);
          }
        });
      };
      keeper.pending.push_back(std::move(pending));
    });
  });
}

void run_store(Warp& w, const Op& op) {
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    TensorCopy copy{};
    if (!prepare(w, op, l, true, &copy) || !check_global(copy, false)) return;
    if (!check_race<false, Proxy::async>(w, op, copy.shared.shadow(), copy.bytes(), l, l)) return;
    switch (static_cast<DType>(copy.box.map.dtype)) {
      case DType::bf16:
        copy.type = ReduceType::bf16;
        break;
      case DType::f16:
        copy.type = ReduceType::f16;
        break;
      case DType::f32:
        copy.type = ReduceType::f32;
        break;
      case DType::f64:
        copy.type = ReduceType::f64;
        break;
      case DType::i32:
        copy.type = ReduceType::s32_;
        break;
      case DType::i64:
        copy.type = ReduceType::s64_;
        break;
      default:
        copy.type = ReduceType::u8_;
    }
    PendingBulk pending;
    pending.thread = w.thread_index(l);
    pending.group = w.bulk_groups[l];
    pending.issuer = &op;
    pending.land = [copy] {
      copy.each_piece([&](u64 global, u32 shared, u32 bytes) {
        if (!global || copy.warp->block().launch().stop) return;
        Block& block = *copy.shared.block;
        const uint8_t *from = block.shared(shared), *shadow = block.shared_shadow(shared);
        if (!is_written(shadow, bytes) &&
            !copy.warp->check_written(*copy.op, shadow, bytes, copy.lane,
                                      kSharedWindow + block.window_base() + shared))
          return;
        if (copy.operation == ReduceOperation::none) {
          if (!note_blocks_write_span(*copy.warp, *copy.op, global, from, bytes, copy.lane)) return;
          std::memcpy(copy.memory->data(global), from, bytes);
          std::memset(copy.memory->shadow(global), kWritten, bytes);
          return;
        }
        std::atomic_flag& lock = copy.memory->lock_for(global);
        while (lock.test_and_set(std::memory_order_acquire)) {
        }
        reduce_element(copy.memory->data(global), from, copy.operation, copy.type);
        lock.clear(std::memory_order_release);
      });
    };
    w.block().pending.push_back(std::move(pending));
  });
}

// [map, {coordinates}] -> list entries: map address, coordinates
bool decode_map(Decoder& d, size_t index, size_t coordinates) {
  const Operand& o = d.operand(index);
  if (o.kind != Operand::Kind::address || o.elements.size() != 2 ||
      o.elements[1].kind != Operand::Kind::vector) {
    d.fail("[map, {coordinates}] is expected");
    return false;
  }
  if (o.elements[1].elements.size() != coordinates) {
    d.fail(fmt::format("{} coordinates were given where {} are expected", o.elements[1].elements.size(),
                       coordinates));
    return false;
  }
  Decoder::Address map = d.address(o);
  if (!map.wide || map.offset != 0) {
    d.fail("the tensor map's address must be in a 64-bit register");
    return false;
  }
  d.add_list(map.slot);
  for (const Operand& c : o.elements[1].elements) d.add_list(d.source(c, 32));
  d.op.small = static_cast<uint8_t>(coordinates);
  return true;
}

// {offsets of the filter} along W, H, D -> list entries
bool decode_offsets(Decoder& d, size_t index, u32 rank) {
  const Operand& o = d.operand(index);
  std::vector<Operand> values = o.kind == Operand::Kind::vector ? o.elements : std::vector<Operand>{o};
  if (values.size() != rank - 2) {
    d.fail(fmt::format("im2col has {} offsets with this dimension", rank - 2));
    return false;
  }
  for (const Operand& v : values) d.add_list(d.source(v, 16));
  d.op.mods |= kOffsets;
  return true;
}

}  // namespace

void decode_tensor_prefetch(Decoder& d) {
  int dimension = d.take_one_of({"1d", "2d", "3d", "4d", "5d"});
  if (dimension < 0 || !d.take("L2") || !d.take("global"))
    return d.fail("this form of a prefetch is not known");
  u32 rank = static_cast<u32>(dimension) + 1;
  Mode mode = d.take("tile::gather4") ? Mode::gather4 : d.take("im2col") ? Mode::im2col : Mode::tile;
  if (!d.take("tile") && d.peek_modifier().starts_with("im2col"))
    return d.fail(fmt::format(".{} is not supported", d.peek_modifier()));
  bool policy = d.has_modifier("L2::cache_hint"), offsets = mode == Mode::im2col;
  d.take_cache_hints();
  d.expect_operands(1 + offsets, 1 + offsets + policy);
  d.op.mods = rank | static_cast<u32>(mode) << 4;
  if (!decode_map(d, 0, mode == Mode::gather4 ? 5 : rank)) return;
  if (offsets && !decode_offsets(d, 1, rank)) return;
  // Nothing moves, but the map and the coordinates must make sense.
  d.op.run = [](Warp& w, const Op& op) {
    each_lane(w.exec, [&](int l) {
      TensorBox box{};
      if (!w.stop) read_box(w, op, l, &box);
    });
  };
}

void decode_tensor_copy(Decoder& d, bool reduce) {
  int dimension = d.take_one_of({"1d", "2d", "3d", "4d", "5d"});
  if (dimension < 0) return d.fail("the dimension is not known");
  u32 rank = static_cast<u32>(dimension) + 1;
  bool cluster = d.take("shared::cluster"), load = cluster || d.take("shared::cta");
  if (load ? !d.take("global") : !(d.take("global") && d.take("shared::cta")))
    return d.fail("this direction is not supported");
  ReduceOperation operation = ReduceOperation::none;
  if (reduce) {
    int o = d.take_one_of({"add", "min", "max", "inc", "dec", "and", "or", "xor"});
    if (o < 0) return d.fail("this reduction is not known");
    operation = static_cast<ReduceOperation>(o + 1);
  }
  Mode mode = Mode::tile;
  if (d.take("tile::gather4"))
    mode = Mode::gather4;
  else if (d.take("tile::scatter4"))
    mode = Mode::scatter4;
  else if (d.take(load ? "im2col" : "im2col_no_offs"))
    mode = Mode::im2col;
  else if (!d.take("tile") && d.peek_modifier().starts_with("im2col"))
    return d.fail(fmt::format(".{} is not supported", d.peek_modifier()));
  if ((mode == Mode::gather4 || mode == Mode::scatter4) && rank != 2)
    return d.fail("gather4 and scatter4 need .2d");
  if (mode == Mode::im2col && rank < 3) return d.fail("im2col needs .3d, .4d or .5d");
  if (!(load ? d.take("mbarrier::complete_tx::bytes") : d.take("bulk_group")))
    return d.fail("the completion mechanism is not known");
  bool multicast = cluster && d.take("multicast::cluster");
  int group = load ? d.take_one_of({"cta_group::1", "cta_group::2"}) : -1;
  bool policy = d.has_modifier("L2::cache_hint");
  d.take_cache_hints();
  size_t coordinates = mode == Mode::gather4 || mode == Mode::scatter4 ? 5 : rank;
  bool offsets = load && mode == Mode::im2col;
  d.op.mods = rank | static_cast<u32>(mode) << 4 | static_cast<u32>(operation) << 8;
  if (load) {
    d.expect_operands(3 + offsets + multicast, 3 + offsets + multicast + policy);
    if (!decode_map(d, 1, coordinates)) return;
    if (offsets && !decode_offsets(d, 3, rank)) return;
    decode_address(d, 0);
    Decoder::Address barrier = d.address(2);
    d.add_list(barrier.slot);
    if (multicast) d.add_list(d.source(3 + offsets, 16));
    d.op.mods |= (barrier.wide ? kWideBarrier : 0) | (cluster ? 0 : kOwn) | (multicast ? kMulticast : 0) |
                 (group == 1 ? kPair : 0);
    d.op.target = static_cast<u32>(barrier.offset);
    d.op.run = run_load;
  } else {
    d.expect_operands(2, 2 + policy);
    if (!decode_map(d, 0, coordinates)) return;
    decode_address(d, 1);
    d.op.run = run_store;
  }
}

}  // namespace rtjit::emu

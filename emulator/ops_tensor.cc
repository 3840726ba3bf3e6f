// cp.async.bulk.tensor: tiles, gather4 and scatter4 between global and shared memory through a tensor map,
// with swizzles, zero fill outside the tensor, and reductions.
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"
#include "emulator/tensor_map.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

enum class Mode : u32 { tile, gather4, scatter4 };

// Everything one copy needs, by value: it runs later.
struct TensorCopy {
  TensorMap map;
  int32_t coordinates[5];
  Mode mode;
  u32 shared;
  Block* block;
  GlobalMemory* memory;
  Warp* warp;
  const Op* op;
  int lane;
  ReduceOperation operation;
  ReduceType type;

  u32 rows() const {
    u32 n = 1;
    for (int i = 1; i < map.rank; ++i) n *= map.box[i];
    return mode == Mode::tile ? n : 4;
  }
  u32 row_bytes() const { return static_cast<u32>(map.box[0]) * map.element_bytes; }
  u32 bytes() const { return rows() * row_bytes(); }

  // Global address of a row of the box, or 0 when it lies outside the tensor.
  u64 row_address(u32 row) const {
    u64 address = map.base;
    if (mode != Mode::tile) {
      int64_t r = coordinates[1 + row];
      if (r < 0 || r >= static_cast<int64_t>(map.dims[1])) return 0;
      return address + static_cast<u64>(r) * map.strides[0];
    }
    for (int i = 1; i < map.rank; ++i) {
      int64_t c = int64_t(coordinates[i]) + row % map.box[i];
      row /= map.box[i];
      if (c < 0 || c >= static_cast<int64_t>(map.dims[i])) return 0;
      address += static_cast<u64>(c) * map.strides[i - 1];
    }
    return address;
  }

  // Calls f(global address or 0, shared address, bytes) for pieces that are contiguous on both sides: at most
  // 16 bytes, the unit of the swizzles.
  template <class F>
  void each_piece(F f) const {
    u32 element = map.element_bytes, width = row_bytes();
    auto columns = static_cast<int64_t>(map.dims[0]);
    // A reduction takes whole pieces of 16 bytes at the end of a row: an H200 also changes the row's padding
    // there.
    if (operation != ReduceOperation::none)
      columns += static_cast<int64_t>((16 - map.dims[0] * element % 16) % 16 / element);
    for (u32 row = 0; row < rows(); ++row) {
      u64 start = row_address(row);
      for (u32 x = 0; x < width; x += element) {
        int64_t column = int64_t(coordinates[0]) + x / element;
        bool inside = start && column >= 0 && column < columns;
        f(inside ? start + static_cast<u64>(column) * element : 0,
          swizzled(shared + row * width + x, map.swizzle), element);
      }
    }
  }
};

bool prepare(Warp& w, const Op& op, int l, TensorCopy* copy) {
  const u32* list = w.program().lists.data() + op.list;
  u64 map_address = w.reg<u64>(list[0])[l];
  uint8_t* map_shadow = nullptr;
  const uint8_t* bytes = w.locate_generic(op, map_address, l, 128, 64, Access::read, &map_shadow);
  if (!bytes) return false;
  std::memcpy(&copy->map, bytes, sizeof(TensorMap));
  if (copy->map.magic != kTensorMapMagic) {
    w.fault(op, FaultKind::invalid_address, "there is no tensor map at this address", l, &map_address);
    return false;
  }
  u32 count = op.small;
  for (u32 i = 0; i < count; ++i) copy->coordinates[i] = static_cast<int32_t>(w.reg<u32>(list[1 + i])[l]);
  copy->mode = static_cast<Mode>(op.mods >> 4 & 3);
  copy->operation = static_cast<ReduceOperation>(op.mods >> 8 & 15);
  u32 rank = op.mods & 15;
  if (rank != copy->map.rank) {
    w.fault(op, FaultKind::invalid_address,
            fmt::format("a {}-dimensional copy with a tensor map of rank {}", rank, copy->map.rank), l);
    return false;
  }
  copy->shared = shared_offset((op.mods & kWideBase ? w.reg<u64>(op.a)[l] : w.reg<u32>(op.a)[l]) + op.imm);
  copy->block = &w.block();
  copy->memory = w.block().launch().memory;
  copy->warp = &w;
  copy->op = &op;
  copy->lane = l;
  uint8_t* shadow = nullptr;
  return w.locate_generic(op, kSharedWindow + copy->shared, l, copy->bytes(), 128, Access::write, &shadow) !=
         nullptr;
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

void run_load(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    TensorCopy copy{};
    if (!prepare(w, op, l, &copy) || !check_global(copy, true)) return;
    u32 slot = list[1 + op.small];
    u32 barrier = shared_offset(op.mods >> 16 & 1 ? w.reg<u64>(slot)[l] : w.reg<u32>(slot)[l]) + op.target;
    Block& block = w.block();
    if (!block.find_mbarrier(w, op, barrier, l)) return;
    if (!mark_pending(w, op, block.shared_shadow(copy.shared), copy.bytes(), l, copy.shared, Proxy::async))
      return;
    PendingBulk pending;
    pending.mbarrier = barrier;
    pending.bytes = copy.bytes();
    pending.thread = w.thread_index(l);
    pending.issuer = &op;
    const u32 time = block.races.time(w.index());
    pending.time = time;
    pending.land = [copy, time] {
      copy.block->races.arrived(copy.warp->index(), time, copy.shared, copy.bytes(), copy.op->line, true);
      copy.each_piece([&](u64 global, u32 shared, u32 bytes) {
        uint8_t *to = copy.block->shared(shared), *shadow = copy.block->shared_shadow(shared);
        if (global) {
          copy_with_shadow(to, shadow, copy.memory->data(global), copy.memory->shadow(global), bytes);
        } else {
          std::memset(to, 0, bytes);
          std::memset(shadow, kWritten, bytes);
        }
      });
    };
    block.pending.push_back(std::move(pending));
  });
}

void run_store(Warp& w, const Op& op) {
  each_lane(w.exec, [&](int l) {
    if (w.stop) return;
    TensorCopy copy{};
    if (!prepare(w, op, l, &copy) || !check_global(copy, false)) return;
    if (!check_race<false, Proxy::async>(w, op, w.block().shared_shadow(copy.shared), copy.bytes(), l, l))
      return;
    switch (static_cast<DType>(copy.map.dtype)) {
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
        const uint8_t *from = copy.block->shared(shared), *shadow = copy.block->shared_shadow(shared);
        if (!is_written(shadow, bytes) &&
            !copy.warp->check_written(*copy.op, shadow, bytes, copy.lane, kSharedWindow + shared))
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

}  // namespace

void decode_tensor_copy(Decoder& d, bool reduce) {
  int dimension = d.take_one_of({"1d", "2d", "3d", "4d", "5d"});
  if (dimension < 0) return d.fail("the dimension is not known");
  u32 rank = static_cast<u32>(dimension) + 1;
  bool load = d.take("shared::cluster") || d.take("shared::cta");
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
  else if (!d.take("tile") && d.peek_modifier().starts_with("im2col"))
    return d.fail("im2col is not supported");
  if (mode != Mode::tile && rank != 2) return d.fail("gather4 and scatter4 need .2d");
  if (!(load ? d.take("mbarrier::complete_tx::bytes") : d.take("bulk_group")))
    return d.fail("the completion mechanism is not known");
  if (d.has_modifier("multicast::cluster") || d.has_modifier("cta_group::1") ||
      d.has_modifier("cta_group::2"))
    return d.fail("multicast and cta_group are not supported");
  d.take_cache_hints();
  size_t coordinates = mode == Mode::tile ? rank : 5;
  d.op.mods = rank | static_cast<u32>(mode) << 4 | static_cast<u32>(operation) << 8;
  if (load) {
    d.expect_operands(3, 4);
    if (!decode_map(d, 1, coordinates)) return;
    decode_address(d, 0);
    Decoder::Address barrier = d.address(2);
    d.add_list(barrier.slot);
    d.op.mods |= u32(barrier.wide) << 16;
    d.op.target = static_cast<u32>(barrier.offset);
    d.op.run = run_load;
  } else {
    d.expect_operands(2, 3);
    if (!decode_map(d, 0, coordinates)) return;
    decode_address(d, 1);
    d.op.run = run_store;
  }
}

}  // namespace rtjit::emu

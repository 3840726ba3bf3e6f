// tcgen05.mma: one thread starts D = A * B + D for a whole tile. D lies in tensor memory, B in shared memory,
// A in either, block scales in tensor memory. The product is computed when it is issued; D counts as pending
// until a commit's mbarrier is waited for. With .cta_group::2 the blocks of a pair hold half of the rows of A
// and D each, and half of the columns of B; each has the scales of its rows and of all columns. Numerics are
// those of mma.sync (docs/emulator.md).
#include <algorithm>
#include <cmath>

#include "emulator/ops_tcgen05.h"
#include "emulator/product_descriptor.h"
#include "emulator/tensor_operand.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

// mods: 0-2 kind, 3-5 scales of a row along k, 6 A in tensor memory, 7 .ws, 8 predicate negated, 9 lanes are
// disabled, 10 zero-column mask. imm: the scaling's exponent. a: A's descriptor, b: B's, c: the instruction
// descriptor, d: unused. The list: D, A (tensor memory), predicate, scales A and B, mask of disabled lanes or
// of columns.
constexpr u32 kTensorA = 1 << 6, kStationaryB = 1 << 7, kNotPredicate = 1 << 8, kDisables = 1 << 9,
              kMasksColumns = 1 << 10;

// Where rows and columns of D lie. A row's columns are cut into parts, which lie in lanes further down.
struct DataPath {
  u32 parts = 1;        // of N
  u32 part_lanes = 0;   // from one part to the next
  bool halves = false;  // 16 rows in each quarter (M = 64 without .ws)
  u32 lane(u32 row) const { return halves ? row / 16 * 32 + row % 16 : row; }
};

DataPath path_of(u32 m, u32 group, bool stationary_b) {
  if (group == 2) return m == 128 ? DataPath{2, 64, false} : DataPath{};
  if (m == 64 && !stationary_b) return {1, 0, true};
  if (m == 64) return {2, 64, false};
  if (m == 32) return {4, 32, false};
  return {};
}

// One thread's product.
class Product {
 public:
  Product(Warp& w, const Op& op, int lane)
      : w_(w), op_(op), lane_(lane), list_(w.program().lists.data() + op.list) {}

  void run() {
    w_.block().races.hand_to_agent(w_.who());
    for (Block* block : blocks_of_group(w_, op_, op_.small, lane_)) shares_.push_back(Share(*block));
    if (shares_.empty() || !read_operands()) return;
    for (Share& share : shares_) {
      if (!check_regions(share)) return;
    }
    if (!gather()) return;
    for (Share& share : shares_) {
      if (kind_ == ProductKind::i8)
        multiply_integers(share);
      else
        multiply_floats(share);
      TensorRegion d = d_region(share);
      share.memory.mark_written(d);
      share.memory.add_pending(w_, op_, lane_, d, TensorAccess::product, shape(), std::move(share.snapshot));
      for (const TensorRegion& r : share.factors)
        share.memory.add_pending(w_, op_, lane_, r, TensorAccess::factor);
    }
  }

 private:
  // What one block holds of the product.
  struct Share {
    explicit Share(Block& of) : block(of), memory(of.tensor_memory()) {}
    Block& block;
    TensorMemory& memory;
    u32 disabled[4] = {};
    std::vector<TensorRegion> factors;
    SharedSnapshot snapshot;
    std::vector<uint8_t> raw_a;
    std::vector<float> scales_a, scales_b;
  };

  void fault(FaultKind kind, std::string text) { w_.fault(op_, kind, std::move(text), lane_); }

  bool read_operands() {
    kind_ = static_cast<ProductKind>(op_.mods & 7);
    scale_vectors_ = op_.mods >> 3 & 7;
    bool stationary = op_.mods & kStationaryB, unsupported = false;
    for (Share& share : shares_) {
      if (!share.memory.check_group(w_, op_, op_.small)) return false;
    }
    std::string problem =
        t_.read(w_.reg<u32>(op_.c)[lane_], kind_, op_.small, scale_vectors_, stationary, &unsupported);
    if (!problem.empty()) {
      fault(unsupported ? FaultKind::unsupported : FaultKind::tensor_memory,
            "instruction descriptor: " + problem);
      return false;
    }
    rows_ = t_.m / op_.small;
    path_ = path_of(t_.m, op_.small, stationary);
    d_ = tensor_address(w_, list_, lane_);
    const u32* next = list_ + kTensorAddressEntries;
    if (op_.mods & kTensorA) {
      a_ = tensor_address(w_, next, lane_);
      next += kTensorAddressEntries;
      if (t_.transpose_a) {
        fault(FaultKind::tensor_memory, "A in tensor memory cannot be transposed");
        return false;
      }
    }
    bool enabled = w_.pred(*next++) >> lane_ & 1;
    accumulate_ = enabled != bool(op_.mods & kNotPredicate);
    if (scale_vectors_) {
      // The upper two bits of a scale's address may hold the byte that the descriptor names again.
      scale_a_ = tensor_address(w_, next, lane_) & 0x3fffffff;
      scale_b_ = tensor_address(w_, next + kTensorAddressEntries, lane_) & 0x3fffffff;
      next += 2 * kTensorAddressEntries;
    }
    if (op_.mods & kMasksColumns) columns_ = read_column_mask(w_.reg<u64>(next[0])[lane_], t_.n, path_.parts);
    for (Share& share : shares_) {
      for (u32& mask : share.disabled) mask = op_.mods & kDisables ? w_.reg<u32>(*next++)[lane_] : 0;
    }
    return true;
  }

  bool check_lane(const char* name, u32 address, bool may_be_16) {
    u32 lane = address >> 16;
    if (lane == 0 || (may_be_16 && lane == 16)) return true;
    fault(FaultKind::tensor_memory, fmt::format("{} begins at lane {} of tensor memory; {} allowed here",
                                                name, lane, may_be_16 ? "0 and 16 are" : "only 0 is"));
    return false;
  }

  TensorRegion d_region(const Share& share) const {
    TensorRegion r;
    for (u32 part = 0; part < path_.parts; ++part) {
      for (u32 row = 0; row < rows_; ++row) {
        u32 lane = (d_ >> 16) + path_.lane(row) + part * path_.part_lanes;
        if (!(share.disabled[lane / 32] >> lane % 32 & 1)) r.add_lanes(lane, 1);
      }
    }
    r.column = d_ & 0xffff;
    r.columns = t_.n / path_.parts;
    return r;
  }

  // Products into the same accumulator of the same shape are executed in order.
  u64 shape() const { return u64(t_.m) << 44 | u64(t_.n) << 32 | d_; }

  bool check_regions(Share& share) {
    TensorMemory& memory = share.memory;
    if (!check_lane("D", d_, path_.halves)) return false;
    TensorRegion d = d_region(share);
    if (!memory.check(w_, op_, lane_, d, TensorAccess::product, shape())) return false;
    if (accumulate_ && !memory.check_written(w_, op_, lane_, d)) return false;
    auto reads = [&](u32 address, u32 columns, bool every_lane) {
      TensorRegion r;
      if (every_lane) {
        r.add_lanes(0, TensorMemory::kLanes);
      } else {
        for (u32 part = 0; part < path_.parts; ++part) {
          for (u32 row = 0; row < rows_; ++row)
            r.add_lanes((address >> 16) + path_.lane(row) + part * path_.part_lanes, 1);
        }
      }
      r.column = address & 0xffff;
      r.columns = columns;
      share.factors.push_back(r);
      return memory.check(w_, op_, lane_, r, TensorAccess::factor);
    };
    if (op_.mods & kTensorA) {
      if (!check_lane("A", a_, path_.halves)) return false;
      if (path_.halves && a_ >> 16 != d_ >> 16) {
        fault(FaultKind::tensor_memory, "A and D must begin at the same lane of tensor memory when M = 64");
        return false;
      }
      if (!reads(a_, kRowBytes / 4, false) || !memory.check_written(w_, op_, lane_, share.factors.back()))
        return false;
    }
    if (!scale_vectors_) return true;
    return check_lane("the scales of A", scale_a_, false) && check_lane("the scales of B", scale_b_, false) &&
           reads(scale_a_, (rows_ + 31) / 32, true) && reads(scale_b_, (t_.n + 31) / 32, true);
  }

  Packing packing(MmaElement e, bool tensor) const {
    bool bytes = kind_ == ProductKind::f8f6f4 || kind_ == ProductKind::mxf8f6f4;
    if (!bytes || bits_of(e) == 8) return Packing::dense;
    return tensor ? Packing::containers : Packing::padded;
  }

  u32 element_bytes(MmaElement e) const { return static_cast<u32>(std::max(bits_of(e), 8)) / 8; }

  // Fills every share's raw_a (one matrix per part when A is in tensor memory) and scales, and raw_b_.
  bool gather() {
    if (columns_.shift > t_.most_shift) {
      fault(FaultKind::tensor_memory,
            fmt::format("the zero-column mask shifts by {}, the instruction descriptor allows {}",
                        columns_.shift, t_.most_shift));
      return false;
    }
    auto columns = t_.n / static_cast<u32>(shares_.size());  // of B in one block
    raw_b_.resize(size_t(t_.n) * kRowBytes);
    for (size_t i = 0; i < shares_.size(); ++i) {
      Share& share = shares_[i];
      if (!gather_a(share) ||
          !gather_shared(w_, op_, lane_, share.block, w_.reg<u64>(op_.b)[lane_], t_.transpose_b,
                         element_bytes(t_.b), columns_.shift, columns, columns_.zero,
                         raw_b_.data() + i * columns * kRowBytes, &share.snapshot))
        return false;
      if (scale_vectors_ && (!gather_scales(share.memory, scale_a_, t_.scale_id_a, rows_, &share.scales_a) ||
                             !gather_scales(share.memory, scale_b_, t_.scale_id_b, t_.n, &share.scales_b)))
        return false;
    }
    return true;
  }

  bool gather_a(Share& share) {
    bool tensor_a = op_.mods & kTensorA;
    share.raw_a.resize(size_t(rows_) * kRowBytes * (tensor_a ? path_.parts : 1));
    if (!tensor_a)
      return gather_shared(w_, op_, lane_, share.block, w_.reg<u64>(op_.a)[lane_], t_.transpose_a,
                           element_bytes(t_.a), 0, rows_, {}, share.raw_a.data(), &share.snapshot);
    for (u32 part = 0; part < path_.parts; ++part) {
      for (u32 row = 0; row < rows_; ++row)
        std::memcpy(share.raw_a.data() + (part * rows_ + row) * kRowBytes,
                    share.memory.row((a_ >> 16) + path_.lane(row) + part * path_.part_lanes) + (a_ & 0xffff),
                    kRowBytes);
    }
    return true;
  }

  // Row r has its scales in lane r % 32, column r / 32. Each quarter of the lanes holds them again.
  bool gather_scales(TensorMemory& memory, u32 address, u32 byte, u32 rows, std::vector<float>* out) {
    out->resize(size_t(rows) * scale_vectors_);
    for (u32 r = 0; r < rows; ++r) {
      u32 column = (address & 0xffff) + r / 32, lane = r % 32;
      u32 mask = (scale_vectors_ == 4 ? ~0u : (1u << (8 * scale_vectors_)) - 1);
      u32 word = memory.row(lane)[column] >> (8 * byte) & mask;
      for (u32 quarter = 0; quarter < 4; ++quarter) {
        u32 at = lane + quarter * 32;
        if (!memory.written(at)[column]) {
          u64 where = u64(at) << 16 | column;
          w_.fault(op_, FaultKind::uninitialised, "a scale factor is read that nobody has written", lane_,
                   &where);
          return false;
        }
        u32 again = memory.row(at)[column] >> (8 * byte) & mask;
        if (again == word) continue;
        fault(FaultKind::tensor_memory,
              fmt::format(
                  "scale factors must be the same in all four quarters of the lanes; in column {} lane {} "
                  "holds {:#x} and lane {} holds {:#x}",
                  column, lane, word, at, again));
        return false;
      }
      for (u32 v = 0; v < scale_vectors_; ++v) {
        u32 bits = word >> (8 * v) & 0xff;
        (*out)[r * scale_vectors_ + v] =
            static_cast<float>(t_.scales_e4m3 ? decode_float(bits & 0x7f, kE4M3) : decode_ue8m0(bits));
      }
    }
    return true;
  }

  // rows x depth numbers, negated and scaled.
  std::vector<float> numbers(const uint8_t* raw, u32 rows, MmaElement e, Packing p, bool negate,
                             const std::vector<float>& scales) {
    u32 depth = elements_of(e, p);
    std::vector<float> out(size_t(rows) * depth);
    for (u32 r = 0; r < rows; ++r) {
      float* row = out.data() + size_t(r) * depth;
      to_numbers(raw + r * kRowBytes, e, p, row);
      if (negate) {
        for (u32 k = 0; k < depth; ++k) row[k] = -row[k];
      }
      if (scales.empty()) continue;
      for (u32 k = 0; k < depth; ++k) row[k] *= scales[r * scale_vectors_ + k / (depth / scale_vectors_)];
    }
    return out;
  }

  static std::vector<float> turned(const std::vector<float>& rows, u32 count, u32 depth, u32 first,
                                   u32 columns) {
    std::vector<float> out(size_t(depth) * columns);
    for (u32 n = 0; n < columns && first + n < count; ++n) {
      for (u32 k = 0; k < depth; ++k) out[size_t(k) * columns + n] = rows[size_t(first + n) * depth + k];
    }
    return out;
  }

  // Calls f(row, the lane's first column, its lane) for the rows of a part whose lane is not disabled.
  template <class F>
  void each_row(Share& share, u32 part, F f) {
    for (u32 row = 0; row < rows_; ++row) {
      u32 lane = (d_ >> 16) + path_.lane(row) + part * path_.part_lanes;
      if (share.disabled[lane / 32] >> lane % 32 & 1) continue;
      f(row, share.memory.row(lane) + (d_ & 0xffff));
    }
  }

  void multiply_floats(Share& share) {
    bool tensor_a = op_.mods & kTensorA;
    Packing pa = packing(t_.a, tensor_a), pb = packing(t_.b, false);
    u32 depth = elements_of(t_.a, pa), columns = t_.n / path_.parts;
    std::vector<float> b = numbers(raw_b_.data(), t_.n, t_.b, pb, t_.negate_b, share.scales_b), a,
                       sum(rows_ * columns);
    float scale = op_.imm ? std::ldexp(1.0f, -static_cast<int>(op_.imm)) : 1.0f;
    for (u32 part = 0; part < path_.parts; ++part) {
      if (part == 0 || tensor_a)
        a = numbers(share.raw_a.data() + (tensor_a ? part : 0) * rows_ * kRowBytes, rows_, t_.a, pa,
                    t_.negate_a, share.scales_a);
      std::fill(sum.begin(), sum.end(), 0.0f);
      if (accumulate_) {
        each_row(share, part, [&](u32 row, const u32* cells) {
          float* to = sum.data() + row * columns;
          for (u32 n = 0; n < columns; ++n)
            to[n] = scale * (t_.half_sums ? half_to_float(cells[n] & 0xffff) : as_float(cells[n]));
        });
      }
      multiply(a.data(), turned(b, t_.n, depth, part * columns, columns).data(), sum.data(), rows_, columns,
               depth);
      each_row(share, part, [&](u32 row, u32* cells) {
        const float* from = sum.data() + row * columns;
        for (u32 n = 0; n < columns; ++n)
          cells[n] = t_.half_sums         ? float_to_half(from[n])
                     : from[n] != from[n] ? kCanonicalNan
                                          : as_bits(from[n]);
      });
    }
  }

  void multiply_integers(Share& share) {
    bool tensor_a = op_.mods & kTensorA;
    u32 columns = t_.n / path_.parts;
    auto value = [](uint8_t byte, MmaElement e) -> s32 {
      return e == MmaElement::int8 ? static_cast<int8_t>(byte) : byte;
    };
    for (u32 part = 0; part < path_.parts; ++part) {
      each_row(share, part, [&](u32 row, u32* cells) {
        const uint8_t* left = share.raw_a.data() + ((tensor_a ? part * rows_ : 0) + row) * kRowBytes;
        for (u32 n = 0; n < columns; ++n) {
          const uint8_t* right = raw_b_.data() + (part * columns + n) * kRowBytes;
          s32 products = 0;  // 32 products of at most 2^16 each
          for (u32 k = 0; k < kRowBytes; ++k) products += value(left[k], t_.a) * value(right[k], t_.b);
          s64 sum = s64(products) + (accumulate_ ? static_cast<s32>(cells[n]) : 0);
          if (t_.saturate) sum = std::clamp<s64>(sum, INT32_MIN, INT32_MAX);
          cells[n] = static_cast<u32>(sum);
        }
      });
    }
  }

  Warp& w_;
  const Op& op_;
  int lane_;
  const u32* list_;
  ProductKind kind_{};
  ProductDescriptor t_;
  DataPath path_;
  u32 rows_ = 0;  // of A and D in one block
  u32 scale_vectors_ = 0, d_ = 0, a_ = 0, scale_a_ = 0, scale_b_ = 0;
  bool accumulate_ = false;
  ColumnMask columns_;
  std::vector<Share> shares_;
  std::vector<uint8_t> raw_b_;
};

void run_product(Warp& w, const Op& op) {
  each_lane(w.exec, [&](int l) {
    if (!w.stop) Product(w, op, l).run();
  });
}

// .block_scale and the number of scales of a row along k; 0 without scales, or after an error.
u32 take_scales(Decoder& d, ProductKind kind) {
  if (!is_block_scaled(kind)) return 0;
  if (!d.take("block_scale")) {
    d.fail("this kind needs .block_scale");
    return 0;
  }
  int size = d.take_one_of({"scale_vec::1X", "scale_vec::2X", "scale_vec::4X", "block32", "block16"});
  u32 wanted = kind == ProductKind::mxf8f6f4 ? 1 : 2;
  u32 vectors = size < 0 || size == 3 ? wanted : size == 4 ? 4 : 1u << size;
  bool good = vectors == wanted || (kind == ProductKind::mxf4nvf4 && vectors == 4);
  if (!good || (size < 0 && kind == ProductKind::mxf4nvf4))
    d.fail("this kind does not go with this size of scale vectors");
  return vectors;
}

}  // namespace

void decode_tensor_product(Decoder& d) {
  bool stationary = d.take("ws");
  if (d.take("sp")) return d.fail("sparse tcgen05.mma is not supported");
  d.op.small = static_cast<uint8_t>(take_cta_group(d));
  int kind = d.take_one_of({"kind::f16", "kind::tf32", "kind::f8f6f4", "kind::i8", "kind::mxf8f6f4",
                            "kind::mxf4", "kind::mxf4nvf4"});
  if (kind < 0) return d.fail("the kind is not known");
  u32 vectors = take_scales(d, static_cast<ProductKind>(kind));
  if (d.take("ashift")) return d.fail("tcgen05.mma.ashift is not supported");
  // Which operand may stay in the collector's buffer has no effect on results.
  if (d.peek_modifier().starts_with("collector::")) d.take(d.peek_modifier());
  bool tensor_a = d.operand(1).kind == Operand::Kind::address;
  d.op.mods =
      static_cast<u32>(kind) | vectors << 3 | (tensor_a ? kTensorA : 0) | (stationary ? kStationaryB : 0);
  add_tensor_address(d, d.operand(0));
  if (tensor_a)
    add_tensor_address(d, d.operand(1));
  else
    d.op.a = d.source(1, 64);
  d.op.b = d.source(2, 64);
  d.op.c = d.source(3, 32);
  size_t next = 4, scales = next;
  const Operand* mask = nullptr;
  if (vectors) {
    next += 2;
  } else if (d.operand(next).kind == Operand::Kind::vector) {
    mask = &d.operand(next++);
    if (stationary || mask->elements.size() != 4 * d.op.small)
      return d.fail("the mask of disabled lanes has 4 registers with .cta_group::1, 8 with .cta_group::2");
    d.op.mods |= kDisables;
  }
  bool negated = false;
  d.add_list(d.predicate_source(d.operand(next++), &negated));
  if (negated) d.op.mods |= kNotPredicate;
  if (vectors) {
    add_tensor_address(d, d.operand(scales));
    add_tensor_address(d, d.operand(scales + 1));
  }
  if (mask) {
    for (const Operand& o : mask->elements) d.add_list(d.source(o, 32));
  }
  if (next < d.operand_count()) {
    if (stationary) {
      d.add_list(d.source(next++, 64));
      d.op.mods |= kMasksColumns;
    } else {
      auto exponent = d.immediate(next++);
      bool may_scale =
          kind == static_cast<int>(ProductKind::f16) || kind == static_cast<int>(ProductKind::tf32);
      if (!exponent || *exponent < 0 || *exponent > 15 || !may_scale)
        return d.fail("scale-input-d is a constant from 0 to 15, for .kind::f16 and .kind::tf32");
      d.op.imm = static_cast<u64>(*exponent);
    }
  }
  d.expect_operands(next, next);
  if (stationary && vectors) return d.fail(".ws has no block-scaled kinds");
  if (stationary && d.op.small == 2) return d.fail(".ws has no .cta_group::2");
  d.op.run = run_product;
}

}  // namespace rtjit::emu

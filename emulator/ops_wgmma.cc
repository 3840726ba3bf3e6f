// wgmma.mma_async and its fence, groups and waits. Warp w of the group owns rows 16w to 16w + 15 and needs
// nothing of the other warps, so each computes its part by itself. The product is computed when it is issued.
// Shared operands are looked at again when the program waits: whoever wrote there in between, without being
// ordered behind that wait, is reported.
#include "emulator/ops_wgmma.h"

#include <algorithm>
#include <cstring>

#include "emulator/matrix_sum.h"
#include "emulator/memory_access.h"
#include "emulator/tensor_map.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;

// mods: 0-7 k, 8-11 a, 12-15 b, 16 f16 accumulators, 17 A in shared memory, 18 scale-a = -1, 19 scale-b = -1,
// 20 trans-a, 21 trans-b, 22-23 scale-d (0 false, 1 true, 2 predicate), 24 predicate negated. imm: n. a: A
// descriptor, b: B descriptor, c: predicate. The list: d registers, then A's.
constexpr u32 kHalf = 1 << 16, kSharedA = 1 << 17, kNegateA = 1 << 18, kNegateB = 1 << 19, kTransA = 1 << 20,
              kTransB = 1 << 21, kNotScale = 1 << 24, kSaturate = 1 << 25;

// A matrix in shared memory as its 64-bit descriptor gives it.
class SharedMatrix {
 public:
  SharedMatrix(u64 descriptor, bool transposed, u32 element_bytes)
      : transposed_(transposed), element_bytes_(element_bytes) {
    start_ = static_cast<u32>(descriptor & 0x3fff) << 4;
    leading_ = static_cast<u32>(descriptor >> 16 & 0x3fff) << 4;
    stride_ = static_cast<u32>(descriptor >> 32 & 0x3fff) << 4;
    base_offset_ = static_cast<u32>(descriptor >> 49 & 7);
    static constexpr int kSpans[] = {0, 128, 64, 32};
    span_ = kSpans[descriptor >> 62];
  }
  u32 base_offset() const { return base_offset_; }

  // Byte address of element k of row `mn` (a row of A, a column of B).
  u32 address(u32 mn, u32 k) const {
    u32 offset, span = span_ ? static_cast<u32>(span_) : 16;
    if (!transposed_) {  // k runs fastest
      u32 bytes = k * element_bytes_;
      offset = mn / 8 * stride_ + mn % 8 * span + (span_ ? bytes : bytes / 16 * leading_ + bytes % 16);
    } else {  // mn runs fastest
      u32 bytes = mn * element_bytes_, pattern = bytes / span;
      offset = bytes % span + k % 8 * span +
               (span_ ? pattern * leading_ + k / 8 * stride_ : pattern * stride_ + k / 8 * leading_);
    }
    return swizzled(start_ + offset, span_);
  }

 private:
  bool transposed_;
  u32 element_bytes_, start_ = 0, leading_ = 0, stride_ = 0, base_offset_ = 0;
  int span_ = 0;
};

float element_value(u32 bits, MmaElement element) {
  switch (element) {
    case MmaElement::bf16:
      return bf16_to_float(bits);
    case MmaElement::f16:
      return half_to_float(bits);
    case MmaElement::tf32:
      return as_float(bits & 0xffffe000);
    default:
      return byte_values(element, false)[bits & 0xff];
  }
}

// Reads elements piece by piece; a piece is 16 bytes, which the swizzles keep together, and is checked like
// an ordinary load of the warp.
class Reader {
 public:
  Reader(Warp& w, const Op& op, MmaElement element, Warp::WarpgroupProduct* product)
      : warp_(w),
        op_(op),
        element_(element),
        bytes_(static_cast<u32>(bits_of(element)) / 8),
        product_(*product) {}

  // False after a fault.
  bool read(u32 address, float* out) {
    u32 bits = 0;
    if (!read_bits(address, &bits)) return false;
    *out = element_value(bits, element_);
    return true;
  }
  bool read(u32 address, s32* out) {
    u32 bits = 0;
    if (!read_bits(address, &bits)) return false;
    *out = element_ == MmaElement::int8 ? static_cast<int8_t>(bits) : static_cast<s32>(bits);
    return true;
  }

 private:
  bool read_bits(u32 address, u32* bits) {
    if ((address & ~15u) != piece_address_ && !open(address & ~15u)) return false;
    std::memcpy(bits, piece_ + (address & 15), bytes_);
    return true;
  }
  bool open(u32 address) {
    uint8_t* shadow = nullptr;
    // Descriptors have no room for the block's rank: they count from the start of its shared memory.
    u32 full = warp_.block().window_base() + address;
    piece_ = warp_.locate<ptx::Space::shared>(op_, full, 0, 16, 16, Access::read, &shadow);
    piece_address_ = address;
    if (!piece_ || (!is_written(shadow, 16) && !warp_.check_written(op_, shadow, 16, 0, full))) return false;
    product_.pieces.push_back(address);
    product_.bytes.insert(product_.bytes.end(), piece_, piece_ + 16);
    return check_race<false, Proxy::async>(warp_, op_, shadow, 16, 0);
  }
  Warp& warp_;
  const Op& op_;
  MmaElement element_;
  u32 bytes_;
  Warp::WarpgroupProduct& product_;
  const uint8_t* piece_ = nullptr;
  u32 piece_address_ = kNone;
};

// The warp's 16 rows of A into f. False after a fault.
template <class T>
bool gather_rows(Warp& w, const Op& op, MmaElement type, int k_count, const u32* registers,
                 Warp::WarpgroupProduct* product, Fragments<T>* f) {
  f->elements = 32 / bits_of(type);
  if (!(op.mods & kSharedA)) {
    f->gather_a(w, registers, k_count, type, false);
    return true;
  }
  SharedMatrix a(w.reg<u64>(op.a)[0], op.mods & kTransA, static_cast<u32>(bits_of(type)) / 8);
  if (a.base_offset()) {
    w.fault(op, FaultKind::unsupported, "descriptors with a base offset are not supported");
    return false;
  }
  Reader reader(w, op, type, product);
  for (int row = 0; row < 16; ++row) {
    for (int k = 0; k < k_count; ++k) {
      u32 address = a.address(static_cast<u32>(row) + w.index() % 4 * 16, static_cast<u32>(k));
      if (!reader.read(address, &f->a_at(row, k))) return false;
    }
  }
  return true;
}

bool accumulates(Warp& w, const Op& op) {
  u32 scale = op.mods >> 22 & 3;
  if (scale == 2) return ((op.mods & kNotScale) ? ~w.pred(op.c) : w.pred(op.c)) & 1;
  return scale == 1;
}

void run_integers(Warp& w, const Op& op) {
  if (w.exec != ~0u)
    return w.fault(op, FaultKind::barrier,
                   fmt::format("wgmma needs all 32 lanes of each warp; lanes {:#x} execute it", w.exec));
  const int k_count = static_cast<int>(op.mods & 0xff), n_count = static_cast<int>(op.imm);
  auto a_type = static_cast<MmaElement>(op.mods >> 8 & 15),
       b_type = static_cast<MmaElement>(op.mods >> 12 & 15);
  const u32* list = w.program().lists.data() + op.list;
  Warp::WarpgroupProduct product{w.warpgroup_groups, &op, {}, {}};
  Fragments<s32> f;
  if (!gather_rows(w, op, a_type, k_count, list + n_count / 2, &product, &f)) return;
  SharedMatrix b(w.reg<u64>(op.b)[0], false, 1);
  if (b.base_offset())
    return w.fault(op, FaultKind::unsupported, "descriptors with a base offset are not supported");
  Reader reader(w, op, b_type, &product);
  bool accumulate = accumulates(w, op);
  for (int column = 0; column < n_count; ++column) {
    s32 values[32];
    for (int k = 0; k < k_count; ++k) {
      if (!reader.read(b.address(static_cast<u32>(column), static_cast<u32>(k)), &values[k])) return;
    }
    for (int row = 0; row < 16; ++row) {
      u32* d = w.reg<u32>(list[column / 8 * 4 + row / 8 * 2 + column % 2]) + row % 8 * 4 + column % 8 / 2;
      s64 sum = accumulate ? static_cast<s32>(*d) : 0;
      for (int k = 0; k < k_count; ++k) sum += s64(f.a_at(row, k)) * values[k];
      if (op.mods & kSaturate) sum = std::clamp<s64>(sum, INT32_MIN, INT32_MAX);
      *d = static_cast<u32>(sum);
    }
  }
  w.warpgroup_products.push_back(std::move(product));
}

void run_wgmma(Warp& w, const Op& op) {
  if (w.exec != ~0u)
    return w.fault(op, FaultKind::barrier,
                   fmt::format("wgmma needs all 32 lanes of each warp; lanes {:#x} execute it", w.exec));
  const int k_count = static_cast<int>(op.mods & 0xff), n_count = static_cast<int>(op.imm);
  auto a_type = static_cast<MmaElement>(op.mods >> 8 & 15),
       b_type = static_cast<MmaElement>(op.mods >> 12 & 15);
  bool half = op.mods & kHalf;
  const SumRules rules = sum_rules(a_type, b_type, half, true);
  const u32* list = w.program().lists.data() + op.list;
  int d_count = half ? n_count / 4 : n_count / 2;
  Warp::WarpgroupProduct product{w.warpgroup_groups, &op, {}, {}};
  Fragments<float> f;
  if (!gather_rows(w, op, a_type, k_count, list + d_count, &product, &f)) return;
  if (bool(op.mods & kNegateA) != bool(op.mods & kNegateB)) {
    for (int row = 0; row < 16; ++row) {
      for (int k = 0; k < k_count; ++k) f.a_at(row, k) = -f.a_at(row, k);
    }
  }
  bool accumulate = accumulates(w, op);
  SharedMatrix b(w.reg<u64>(op.b)[0], op.mods & kTransB, static_cast<u32>(bits_of(b_type)) / 8);
  if (b.base_offset())
    return w.fault(op, FaultKind::unsupported, "descriptors with a base offset are not supported");
  Reader reader_b(w, op, b_type, &product);
  for (int block = 0; block < n_count / 8; ++block) {
    // The dimension that runs fastest in memory is the inner loop, so that pieces are opened once.
    bool columns_inner = op.mods & kTransB;
    for (int i = 0; i < 8 * k_count; ++i) {
      int n = columns_inner ? i % 8 : i / k_count, k = columns_inner ? i / 8 : i % k_count;
      if (!reader_b.read(b.address(static_cast<u32>(block * 8 + n), static_cast<u32>(k)), &f.b[k][n])) return;
    }
    alignas(64) float sum[16][8] = {};
    const u32* d = list + block * (half ? 2 : 4);
    if (accumulate) {
      for (int l = 0; l < 32; ++l) {
        for (int i = 0; i < 4; ++i) {
          float& s = sum[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
          s = half ? half_to_float(w.reg<u32>(d[i / 2])[l] >> (16 * (i % 2)) & 0xffff)
                   : w.reg<float>(d[i])[l];
        }
      }
    }
    add_products(f, k_count, 0, f.elements, rules, sum);
    for (int l = 0; l < 32; ++l) {
      const float *low = &sum[l / 4][l % 4 * 2], *high = &sum[l / 4 + 8][l % 4 * 2];
      if (half) {
        w.reg<u32>(d[0])[l] = float_to_half(low[0]) | float_to_half(low[1]) << 16;
        w.reg<u32>(d[1])[l] = float_to_half(high[0]) | float_to_half(high[1]) << 16;
        continue;
      }
      for (int i = 0; i < 4; ++i) {
        float value = i < 2 ? low[i] : high[i - 2];
        w.reg<u32>(d[i])[l] = value != value ? kCanonicalNan : as_bits(value);
      }
    }
  }
  w.warpgroup_products.push_back(std::move(product));
}

// The operands of finished products must still be as they were: a write in between is one the wait should
// have held back.
void run_wait(Warp& w, const Op& op) {
  auto& products = w.warpgroup_products;
  size_t kept = 0;
  for (size_t i = 0; i < products.size(); ++i) {
    if (products[i].group + op.imm >= w.warpgroup_groups) {
      if (kept != i) products[kept] = std::move(products[i]);
      ++kept;
      continue;
    }
    const Op& issuer = *products[i].op;
    for (size_t k = 0; k < products[i].pieces.size(); ++k) {
      u32 address = products[i].pieces[k];
      u64 at = kSharedWindow + w.block().window_base() + address;
      uint8_t* shadow = w.block().shared_shadow(address);
      if (!is_written(shadow, 16) && !w.check_written(issuer, shadow, 16, 0, at)) return;
      if (!check_race<false, Proxy::async>(w, issuer, shadow, 16, 0)) return;
      if (std::memcmp(w.block().shared(address), products[i].bytes.data() + k * 16, 16) != 0) {
        return w.fault(
            issuer, FaultKind::async_early,
            "an operand of this product in shared memory was changed before the product was waited for", 0,
            &at);
      }
    }
  }
  products.resize(kept);
}

void decode_product(Decoder& d) {
  d.take("sync");
  d.take("aligned");
  std::string_view shape = d.peek_modifier();
  size_t n_at = shape.find('n'), k_at = shape.find('k');
  if (!shape.starts_with("m64n") || k_at == std::string_view::npos)
    return d.fail("the shape must be m64nNkK");
  u32 n = static_cast<u32>(std::atoi(std::string(shape.substr(n_at + 1, k_at - n_at - 1)).c_str()));
  u32 k = static_cast<u32>(std::atoi(std::string(shape.substr(k_at + 1)).c_str()));
  d.take(shape);
  auto element = [&] {
    std::optional<MmaElement> e = parse_mma_element(d.peek_modifier());
    d.take(d.peek_modifier());
    return e;
  };
  bool half = d.take("f16"), integer = !half && d.take("s32");
  if (!half && !integer && !d.take("f32")) return d.fail("only f32, f16 and s32 results are supported");
  std::optional<MmaElement> a = element(), b = element();
  if (!a || !b || is_integer(*a) != integer || is_integer(*b) != integer || bits_of(*a) != bits_of(*b) ||
      bits_of(*a) < 8 || n < 8 || n > 256 || n % 8 != 0 || k * static_cast<u32>(bits_of(*a)) != 256)
    return d.fail("this shape and these element types do not go together");
  if (integer && n != 24 && n != 8 && n % 16 != 0)
    return d.fail("integers need N as 8, 24 or a multiple of 16");
  bool saturate = integer && d.take("satfinite");
  bool shared_a = d.operand(1).kind != Operand::Kind::vector, can_transpose = bits_of(*a) == 16;
  size_t expected = integer ? 4 : 6 + (can_transpose ? (shared_a ? 2 : 1) : 0);
  d.expect_operands(expected, expected);
  if (d.failed()) return;
  const Operand& results = d.operand(0);
  u32 d_count = half ? n / 4 : n / 2;
  if (results.kind != Operand::Kind::vector || results.elements.size() != d_count)
    return d.fail(fmt::format("{} result registers are expected", d_count));
  for (const Operand& o : results.elements) d.add_list(d.destination(o, 32));
  for (const Operand& o : results.elements) d.source(o, 32);  // the sums are read too
  d.op.mods = k | static_cast<u32>(*a) << 8 | static_cast<u32>(*b) << 12 | (half ? kHalf : 0) |
              (shared_a ? kSharedA : 0) | (saturate ? kSaturate : 0);
  if (shared_a) {
    d.op.a = d.source(1, 64);
  } else {
    if (d.operand(1).elements.size() != 4) return d.fail("A has four registers");
    for (const Operand& o : d.operand(1).elements) d.add_list(d.source(o, 32));
  }
  d.op.b = d.source(2, 64);
  if (auto constant = d.immediate(3)) {
    d.op.mods |= (*constant ? 1u : 0u) << 22;
  } else {
    bool negated = false;
    d.op.c = d.predicate_source(d.operand(3), &negated);
    d.op.mods |= 2u << 22 | (negated ? kNotScale : 0);
  }
  d.op.imm = n;
  if (integer) {
    d.op.run = run_integers;
    return;
  }
  auto flag = [&](size_t index, u32 bit, int64_t unset, int64_t set) {
    auto value = d.immediate(index);
    if (!value || (*value != unset && *value != set))
      return d.fail(fmt::format("operand {} must be {} or {}", index + 1, unset, set));
    if (*value == set) d.op.mods |= bit;
  };
  flag(4, kNegateA, 1, -1);
  flag(5, kNegateB, 1, -1);
  if (can_transpose && shared_a) flag(6, kTransA, 0, 1);
  if (can_transpose) flag(expected - 1, kTransB, 0, 1);
  d.op.run = run_wgmma;
}

void decode_wgmma(Decoder& d) {
  if (d.take("mma_async")) {
    if (d.take("sp")) return d.fail("sparse wgmma is not supported");
    return decode_product(d);
  }
  bool commit = d.take("commit_group"), wait = !commit && d.take("wait_group");
  if (!commit && !wait && !d.take("fence")) return d.fail("this form of wgmma is not known");
  d.take("sync");
  d.take("aligned");
  if (wait) {
    auto keep = d.immediate(0);
    if (!keep) return d.fail("wait_group needs a constant");
    d.op.imm = static_cast<u64>(*keep);
    d.op.run = run_wait;
  } else if (commit) {
    d.op.run = [](Warp& w, const Op&) { ++w.warpgroup_groups; };
  } else {
    d.op.run = [](Warp&, const Op&) {};
  }
}

}  // namespace

void add_warpgroup_instructions(InstructionTable& table) { table["wgmma"] = decode_wgmma; }

}  // namespace rtjit::emu

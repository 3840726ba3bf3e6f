// wmma, mma.sync of f64 and of single bits, and cvt.pack, against loops over plain arrays.
#include <gmock/gmock.h>

#include <algorithm>
#include <cfenv>
#include <cmath>
#include <cstring>

#include "tests/emulator/instruction_harness.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

std::string number(uint64_t n) { return std::to_string(n); }

// A matrix in memory: elements of `bits`, `stride` of them from one line to the next.
struct Memory {
  uint32_t bits, stride;
  bool by_column;
  std::vector<uint8_t> bytes;
  Memory(uint32_t b, uint32_t rows, uint32_t columns, uint32_t pad, bool column)
      : bits(b),
        stride(((column ? rows : columns) * b + 127) / 128 * 128 / b + pad),
        by_column(column),
        bytes(size_t(stride) * (column ? columns : rows) * b / 8 + 32) {}
  size_t bit(uint32_t row, uint32_t column) const {
    return (by_column ? size_t(column) * stride + row : size_t(row) * stride + column) * bits;
  }
  uint64_t get(uint32_t row, uint32_t column) const {
    uint64_t value = 0;
    for (uint32_t i = 0; i < bits; ++i) {
      size_t at = bit(row, column) + i;
      value |= uint64_t(bytes[at / 8] >> at % 8 & 1) << i;
    }
    return value;
  }
  void set(uint32_t row, uint32_t column, uint64_t value) {
    for (uint32_t i = 0; i < bits; ++i) {
      size_t at = bit(row, column) + i;
      bytes[at / 8] = static_cast<uint8_t>((bytes[at / 8] & ~(1u << at % 8)) | (value >> i & 1) << at % 8);
    }
  }
};

double half_value(uint64_t bits, int exponent, int mantissa) {
  double m = static_cast<double>(bits & ((1u << mantissa) - 1));
  int e = static_cast<int>(bits >> mantissa & ((1u << exponent) - 1)), bias = (1 << (exponent - 1)) - 1;
  double v = e ? std::ldexp(1 + std::ldexp(m, -mantissa), e - bias) : std::ldexp(m, 1 - bias - mantissa);
  return bits >> (exponent + mantissa) & 1 ? -v : v;
}

double value_of(const std::string& type, uint64_t bits) {
  if (type == "f16") return half_value(bits & 0xffff, 5, 10);
  if (type == "bf16") return half_value(bits & 0xffff, 8, 7);
  if (type == "f64") return std::bit_cast<double>(bits);
  if (type == "tf32") return std::bit_cast<float>(static_cast<uint32_t>(bits & 0xffffe000));
  if (type == "f32") return std::bit_cast<float>(static_cast<uint32_t>(bits));
  if (type == "s8") return static_cast<int8_t>(bits);
  if (type == "s4") return static_cast<int>(bits ^ 8) - 8;
  if (type == "s32") return static_cast<int32_t>(bits);
  return static_cast<double>(bits);
}

struct WmmaCase {
  const char* shape;
  uint32_t m, n, k;
  const char *a, *b, *c, *d;
  const char* types;  // of wmma.mma, behind the shape
  bool column_a = false, column_b = true, column_d = false;
  const char* operation = "";     // ".xor.popc"
  const char* space = ".global";  // or generic
};

uint32_t bits_of(const std::string& type) {
  return type == "f64"          ? 64
         : type.ends_with("32") ? 32
         : type.ends_with("16") ? 16
         : type.ends_with("8")  ? 8
         : type == "b1"         ? 1
                                : 4;
}

uint32_t registers_of(const WmmaCase& c, char which) {
  std::string type = which == 'a' ? c.a : which == 'b' ? c.b : which == 'c' ? c.c : c.d;
  uint32_t elements = which == 'a' ? c.m * c.k : which == 'b' ? c.k * c.n : c.m * c.n;
  if (type == "f16" && (which == 'a' || which == 'b')) return 8;
  return type == "f64" ? elements / 32 : elements * bits_of(type) / 1024;
}

std::string registers(const WmmaCase& c, char which) {
  std::string list = "{", name = "%" + std::string(1, which);
  for (uint32_t i = 0; i < registers_of(c, which); ++i) list += (i ? ", " : "") + name + number(i);
  return list + "}";
}

std::string kernel(const WmmaCase& c, uint32_t stride_a, uint32_t stride_b, uint32_t stride_c) {
  std::string p =
      ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_0, .param .u64 k_1, "
      ".param .u64 k_2, .param .u64 k_3) {\n.reg .b64 %p<4>;\n";
  for (char which : {'a', 'b', 'c', 'd'}) {
    std::string type = which == 'a' ? c.a : which == 'b' ? c.b : which == 'c' ? c.c : c.d;
    p += std::string(".reg ") +
         (type == "f64"   ? ".f64"
          : type == "f32" ? ".f32"
                          : ".b32") +
         " %" + which + "<" + number(registers_of(c, which)) + ">;\n";
  }
  for (int i = 0; i < 4; ++i)
    p += "ld.param.u64 %p" + number(static_cast<uint64_t>(i)) + ", [k_" + number(static_cast<uint64_t>(i)) +
         "];\n";
  auto layout = [](bool column) { return column ? std::string(".col.") : std::string(".row."); };
  p += "wmma.load.a.sync.aligned" + layout(c.column_a) + c.shape + c.space + "." + c.a + " " +
       registers(c, 'a') + ", [%p0], " + number(stride_a) + ";\n";
  p += "wmma.load.b.sync.aligned" + layout(c.column_b) + c.shape + c.space + "." + c.b + " " +
       registers(c, 'b') + ", [%p1], " + number(stride_b) + ";\n";
  p += "wmma.load.c.sync.aligned" + layout(c.column_d) + c.shape + c.space + "." + c.c + " " +
       registers(c, 'c') + ", [%p2], " + number(stride_c) + ";\n";
  p += "wmma.mma" + std::string(c.operation) + ".sync.aligned" + layout(c.column_a) +
       (c.column_b ? "col." : "row.") + c.shape + c.types + " " + registers(c, 'd') + ", " +
       registers(c, 'a') + ", " + registers(c, 'b') + ", " + registers(c, 'c') + ";\n";
  p += "wmma.store.d.sync.aligned" + layout(c.column_d) + c.shape + c.space + "." + c.d + " [%p3], " +
       registers(c, 'd') + ", " + number(stride_c) + ";\nret;\n}\n";
  return p;
}

void check(const WmmaCase& c) {
  SCOPED_TRACE(testing::Message() << c.shape << c.types << " " << c.a << " " << c.column_a << c.column_b
                                  << c.column_d);
  std::mt19937_64 generator(5);
  uint32_t bits_a = bits_of(c.a), bits_c = bits_of(c.c);
  Memory a(bits_a, c.m, c.k, 128 / bits_a * 2, c.column_a),
      b(bits_of(c.b), c.k, c.n, 128 / bits_a * 2, c.column_b), sums(bits_c, c.m, c.n, 16, c.column_d),
      d(bits_of(c.d), c.m, c.n, 16, c.column_d);
  auto fill = [&](Memory& m, const std::string& type, uint32_t rows, uint32_t columns) {
    for (uint32_t r = 0; r < rows; ++r) {
      for (uint32_t col = 0; col < columns; ++col) {
        uint64_t bits = generator();
        if (type == "f16") bits = (bits & 0x83ff) | (10 + generator() % 8) << 10;
        if (type == "bf16") bits = (bits & 0x807f) | (123 + generator() % 6) << 7;
        if (type == "tf32" || type == "f32") bits = (bits & 0x807fffff) | (123 + generator() % 6) << 23;
        if (type == "f64") bits = (bits & 0x800fffffffffffff) | (1019 + generator() % 6) << 52;
        m.set(r, col, bits);
      }
    }
  };
  fill(a, c.a, c.m, c.k);
  fill(b, c.b, c.k, c.n);
  fill(sums, c.c, c.m, c.n);
  if (std::string(c.types).find("satfinite") != std::string::npos)
    for (uint32_t n = 0; n < c.n; ++n) sums.set(n % c.m, n, n % 2 ? 0x7fffffff : 0x80000000);
  Emulator emulator("sm_90a");
  emulator.load(kernel(c, a.stride, b.stride, sums.stride));
  auto pa = emulator.buffer(a.bytes), pb = emulator.buffer(b.bytes), pc = emulator.buffer(sums.bytes),
       pd = emulator.buffer(d.bytes);
  Status status = emulator.run("k", 1, 32, 0, pa, pb, pc, pd);
  ASSERT_TRUE(status.ok()) << status.error().message;
  Memory untouched = d;
  d.bytes = emulator.read(pd);
  std::string type = c.d;
  for (uint32_t r = 0; r < c.m; ++r) {
    for (uint32_t col = 0; col < c.n; ++col) {
      uint64_t got = d.get(r, col);
      if (type == "s32") {
        int64_t sum = static_cast<int32_t>(sums.get(r, col));
        for (uint32_t k = 0; k < c.k; ++k) {
          uint64_t x = a.get(r, k), y = b.get(k, col);
          sum += std::string(c.operation).empty() ? static_cast<int64_t>(value_of(c.a, x) * value_of(c.b, y))
                 : std::string(c.operation) == ".and.popc" ? static_cast<int64_t>(x & y)
                                                           : static_cast<int64_t>(x ^ y);
        }
        if (std::string(c.types).find("satfinite") != std::string::npos)
          sum = std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX);
        ASSERT_EQ(got, static_cast<uint32_t>(sum)) << r << " " << col;
      } else {
        double sum = value_of(c.c, sums.get(r, col)), magnitude = std::fabs(sum);
        for (uint32_t k = 0; k < c.k; ++k) {
          double product = value_of(c.a, a.get(r, k)) * value_of(c.b, b.get(k, col));
          sum += product;
          magnitude += std::fabs(product);
        }
        double unit = type == "f64" ? std::ldexp(1, -52) : std::ldexp(1, -24);
        double bound = c.k * magnitude * unit + (type == "f16" ? std::fabs(sum) * std::ldexp(1, -11) : 0);
        ASSERT_NEAR(value_of(c.d, got), sum, bound) << r << " " << col;
      }
      d.set(r, col, untouched.get(r, col));
    }
  }
  EXPECT_EQ(d.bytes, untouched.bytes) << "something between the lines changed";
}

TEST(Wmma, Halves) {
  for (auto [shape, m, n] : {std::tuple("m16n16k16", 16u, 16u), std::tuple("m8n32k16", 8u, 32u),
                             std::tuple("m32n8k16", 32u, 8u)}) {
    for (auto [d, c, types] : {std::tuple("f32", "f32", ".f32.f32"), std::tuple("f16", "f16", ".f16.f16"),
                               std::tuple("f32", "f16", ".f32.f16"), std::tuple("f16", "f32", ".f16.f32")})
      check({shape, m, n, 16, "f16", "f16", c, d, types});
    check({shape, m, n, 16, "bf16", "bf16", "f32", "f32", ".f32.bf16.bf16.f32", true, false, true, "", ""});
  }
  for (int layouts = 0; layouts < 8; ++layouts)
    check({"m16n16k16", 16, 16, 16, "f16", "f16", "f32", "f32", ".f32.f32", bool(layouts & 1),
           bool(layouts & 2), bool(layouts & 4)});
}

TEST(Wmma, OtherElements) {
  check({"m16n16k8", 16, 16, 8, "tf32", "tf32", "f32", "f32", ".f32.tf32.tf32.f32"});
  check({"m8n8k4", 8, 8, 4, "f64", "f64", "f64", "f64", ".f64.f64.f64.f64"});
  check({"m8n8k4", 8, 8, 4, "f64", "f64", "f64", "f64", ".rn.f64.f64.f64.f64", true, false, true});
  for (auto [shape, m, n] : {std::tuple("m16n16k16", 16u, 16u), std::tuple("m8n32k16", 8u, 32u),
                             std::tuple("m32n8k16", 32u, 8u)}) {
    check({shape, m, n, 16, "s8", "s8", "s32", "s32", ".s32.s8.s8.s32"});
    check({shape, m, n, 16, "u8", "u8", "s32", "s32", ".s32.u8.u8.s32.satfinite", true, false});
  }
  check({"m8n8k32", 8, 8, 32, "s4", "s4", "s32", "s32", ".s32.s4.s4.s32"});
  check({"m8n8k32", 8, 8, 32, "u4", "u4", "s32", "s32", ".s32.u4.u4.s32.satfinite"});
  check({"m8n8k128", 8, 8, 128, "b1", "b1", "s32", "s32", ".s32.b1.b1.s32", false, true, false, ".xor.popc"});
  check({"m8n8k128", 8, 8, 128, "b1", "b1", "s32", "s32", ".s32.b1.b1.s32", false, true, true, ".and.popc"});
}

TEST(Wmma, SharedMemoryAndMistakes) {
  auto run = [](const std::string& before, const std::string& stride, int threads, int offset) {
    Emulator emulator("sm_90a");
    emulator.load(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_0) {\n.reg .b64 "
        "%p;\n"
        ".reg .b32 %a<8>, %t, %x, %s;\n.reg .pred %q;\n.shared .align 32 .b8 s[1024];\nld.param.u64 %p, "
        "[k_0];\n"
        "mov.u32 %t, %tid.x;\nmov.u32 %s, s;\nmad.lo.u32 %x, %t, 16, %s;\n" +
        before + "add.u32 %s, %s, " + std::to_string(offset) +
        ";\n"
        "wmma.load.a.sync.aligned.row.m16n16k16.shared.f16 {%a0, %a1, %a2, %a3, %a4, %a5, %a6, %a7}, [%s], " +
        stride + ";\nmad.wide.u32 %p, %t, 4, %p;\nst.global.u32 [%p], %a0;\nret;\n}\n");
    auto out = emulator.buffer(std::vector<uint32_t>(64, 0));
    Status status = emulator.run("k", 1, threads, 0, out);
    return status.ok() ? std::string() : status.error().message;
  };
  std::string fill = "st.shared.v4.u32 [%x], {%t, %t, %t, %t};\n";
  EXPECT_EQ(run(fill, "16", 32, 0), "");
  EXPECT_THAT(run("", "16", 32, 0), HasSubstr("uninitialised"));
  EXPECT_THAT(run(fill, "16", 32, 16), HasSubstr("misaligned"));
  EXPECT_THAT(run(fill, "12", 32, 0), HasSubstr("misaligned"));
  EXPECT_THAT(run(fill, "%t", 32, 0), HasSubstr("the same address and stride"));
  EXPECT_THAT(run(fill + "st.shared.v4.u32 [%x+512], {%t, %t, %t, %t};\n", "40", 32, 512),
              HasSubstr("out-of-bounds"));
  EXPECT_THAT(run(fill, "16", 16, 0), HasSubstr("needs all 32 lanes"));
  EXPECT_THAT(run(fill, "16", 64, 0), testing::AnyOf(HasSubstr("race"), HasSubstr("uninitialised")));
}

// --- mma.sync ---
// One register per lane and operand element; `rows` of A, k, and what a register holds.
struct MmaCase {
  std::string text;
  uint32_t rows, k, per_register;
};

std::vector<uint64_t> run_mma(const MmaCase& c, const std::vector<uint64_t>& a,
                              const std::vector<uint64_t>& b, const std::vector<uint64_t>& sums) {
  bool wide = c.per_register == 1;
  std::string width = wide ? "64" : "32", size = wide ? "8" : "4";
  size_t na = a.size() / 32, nb = b.size() / 32, nc = sums.size() / 32;
  std::string p =
      ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_0, .param .u64 k_1, "
      ".param .u64 k_2, .param .u64 k_3) {\n.reg .b64 %p<4>, %x;\n.reg .b32 %t;\nmov.u32 %t, %tid.x;\n.reg "
      ".b" +
      width + " %a<16>, %b<8>, %c<8>, %d<8>;\n";
  auto list = [](const std::string& name, size_t n) {
    std::string l = "{";
    for (size_t i = 0; i < n; ++i) l += (i ? ", " : "") + name + number(i);
    return l + "}";
  };
  auto each = [&](int parameter, const std::string& name, size_t n, bool load) {
    std::string i = number(static_cast<uint64_t>(parameter));
    p += "ld.param.u64 %p" + i + ", [k_" + i + "];\nmad.wide.u32 %p" + i + ", %t, " + number(n * 8) + ", %p" +
         i + ";\n";
    for (size_t r = 0; r < n; ++r) {
      std::string at = "[%p" + i + "+" + number(r * 8) + "]";
      p += load ? "ld.global.b" + width + " " + name + number(r) + ", " + at + ";\n"
                : "st.global.b" + width + " " + at + ", " + name + number(r) + ";\n";
    }
  };
  each(0, "%a", na, true);
  each(1, "%b", nb, true);
  each(2, "%c", nc, true);
  p += c.text + " " + list("%d", nc) + ", " + list("%a", na) + ", " + list("%b", nb) + ", " + list("%c", nc) +
       ";\n";
  each(3, "%d", nc, false);
  p += "ret;\n}\n";
  Emulator emulator("sm_90a");
  emulator.load(p);
  auto pa = emulator.buffer(a), pb = emulator.buffer(b), pc = emulator.buffer(sums),
       pd = emulator.buffer(std::vector<uint64_t>(sums.size(), 0));
  Status status = emulator.run("k", 1, 32, 0, pa, pb, pc, pd);
  EXPECT_TRUE(status.ok()) << c.text << status.error().message;
  return status.ok() ? emulator.read(pd) : std::vector<uint64_t>(sums.size());
}

// Register r of lane l: row and first column, from the ISA's tables (A; B with rows and columns exchanged;
// C).
uint32_t row_of(uint32_t rows, uint32_t lane, uint32_t r) { return lane / 4 + (rows == 16 ? r % 2 * 8 : 0); }
uint32_t column_of(uint32_t rows, uint32_t lane, uint32_t r, uint32_t per) {
  return (lane % 4 + r / (rows / 8) * 4) * per;
}

TEST(PlainMma, Doubles) {
  std::mt19937_64 generator(3);
  for (auto [shape, rows, k] : {std::tuple("m8n8k4", 8u, 4u), std::tuple("m16n8k4", 16u, 4u),
                                std::tuple("m16n8k8", 16u, 8u), std::tuple("m16n8k16", 16u, 16u)}) {
    for (auto [rounding, mode] :
         {std::pair("", FE_TONEAREST), std::pair(".rn", FE_TONEAREST), std::pair(".rz", FE_TOWARDZERO),
          std::pair(".rm", FE_DOWNWARD), std::pair(".rp", FE_UPWARD)}) {
      std::vector<uint64_t> a(32 * k * rows / 32), b(k * 8), c(rows * 8);
      auto corners = corner_values<uint64_t>();
      for (auto* v : {&a, &b, &c}) {
        for (uint64_t& x : *v) {
          x = generator() % 16 == 0 ? corners[generator() % corners.size()]
                                    : (generator() & 0x800fffffffffffff) | (1000 + generator() % 50) << 52;
          if ((x & 0x7ff0000000000000) == 0x7ff0000000000000)
            x = 0x3ff0000000000001;  // payloads are the ISA's to choose
        }
      }
      std::vector<uint64_t> got = run_mma(
          {std::string("mma.sync.aligned.") + shape + ".row.col" + rounding + ".f64.f64.f64.f64", rows, k, 1},
          a, b, c);
      size_t na = a.size() / 32, nb = b.size() / 32, nc = c.size() / 32;
      std::vector<double> left(rows * k), right(k * 8);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (uint32_t r = 0; r < na; ++r)
          left[row_of(rows, lane, r) * k + column_of(rows, lane, r, 1)] =
              std::bit_cast<double>(a[lane * na + r]);
        for (uint32_t r = 0; r < nb; ++r)
          right[(lane % 4 + 4 * r) * 8 + lane / 4] = std::bit_cast<double>(b[lane * nb + r]);
      }
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (uint32_t r = 0; r < nc; ++r) {
          uint32_t row = lane / 4 + r / 2 * 8, column = lane % 4 * 2 + r % 2;
          std::fesetround(mode);
          volatile double sum = std::bit_cast<double>(c[lane * nc + r]);
          for (uint32_t i = 0; i < k; ++i) {
            volatile double x = left[row * k + i], y = right[i * 8 + column];
            sum = std::fma(x, y, sum);
          }
          std::fesetround(FE_TONEAREST);
          ASSERT_EQ(got[lane * nc + r], std::bit_cast<uint64_t>(static_cast<double>(sum)))
              << shape << rounding << " " << row << " " << column;
        }
      }
    }
  }
}

TEST(PlainMma, SingleBits) {
  std::mt19937 generator(4);
  for (auto [shape, rows, k] : {std::tuple("m8n8k128", 8u, 128u), std::tuple("m16n8k128", 16u, 128u),
                                std::tuple("m16n8k256", 16u, 256u)}) {
    for (std::string operation : {"xor", "and"}) {
      std::vector<uint64_t> a(rows * k / 32), b(k * 8 / 32), c(rows * 8);
      for (auto* v : {&a, &b, &c}) {
        for (uint64_t& x : *v) x = generator() % 8 ? generator() : generator() % 2 ? 0xffffffff : 0;
      }
      std::vector<uint64_t> got =
          run_mma({std::string("mma.sync.aligned.") + shape + ".row.col.s32.b1.b1.s32." + operation + ".popc",
                   rows, k, 32},
                  a, b, c);
      size_t na = a.size() / 32, nb = b.size() / 32, nc = c.size() / 32;
      std::vector<uint8_t> left(rows * k), right(8 * k);
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (uint32_t i = 0; i < 32; ++i) {
          for (uint32_t r = 0; r < na; ++r)
            left[row_of(rows, lane, r) * k + column_of(rows, lane, r, 32) + i] = a[lane * na + r] >> i & 1;
          for (uint32_t r = 0; r < nb; ++r)
            right[lane / 4 * k + (lane % 4 + 4 * r) * 32 + i] = b[lane * nb + r] >> i & 1;
        }
      }
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (uint32_t r = 0; r < nc; ++r) {
          uint32_t row = lane / 4 + r / 2 * 8, column = lane % 4 * 2 + r % 2,
                   sum = static_cast<uint32_t>(c[lane * nc + r]);
          for (uint32_t i = 0; i < k; ++i) {
            uint8_t x = left[row * k + i], y = right[column * k + i];
            sum += operation == "xor" ? x ^ y : x & y;
          }
          ASSERT_EQ(static_cast<uint32_t>(got[lane * nc + r]), sum)
              << shape << operation << row << " " << column;
        }
      }
    }
  }
}

TEST(ConvertPack, EveryType) {
  using U = uint32_t;
  for (auto [name, bits, is_signed] :
       {std::tuple("u16", 16, false), std::tuple("s16", 16, true), std::tuple("u8", 8, false),
        std::tuple("s8", 8, true), std::tuple("u4", 4, false), std::tuple("s4", 4, true),
        std::tuple("u2", 2, false), std::tuple("s2", 2, true)}) {
    int width = bits;
    bool sign = is_signed;
    auto narrow = [=](U x) {
      int64_t least = sign ? -(int64_t(1) << (width - 1)) : 0,
              most = sign ? (int64_t(1) << (width - 1)) - 1 : (int64_t(1) << width) - 1;
      return static_cast<U>(std::clamp<int64_t>(static_cast<int32_t>(x), least, most)) & ((1u << width) - 1);
    };
    std::string text = std::string("cvt.pack.sat.") + name + ".s32" +
                       (width == 16 ? " %d, %a, %b;" : ".b32 %d, %a, %b, %c;");
    check_instruction<U, U, U, U>(text, [=](U a, U b, U c) {
      return narrow(b) | narrow(a) << width | (width == 16 ? 0 : c << (2 * width));
    });
  }
}

// The pending count of a state is that from before the arrival.
TEST(Mbarriers, PendingCountAndNoComplete) {
  auto run = [](const std::string& body) {
    Emulator emulator("sm_90a");
    emulator.compile(
        "extern \"C\" __global__ void k(unsigned* p) { __shared__ __align__(8) unsigned long long bar; "
        "unsigned long long s = 0;"
        "unsigned b = (unsigned)__cvta_generic_to_shared(&bar), n; asm "
        "volatile(\"mbarrier.init.shared::cta.b64 [%0], 5;\" ::\"r\"(b) : \"memory\");" +
        body +
        "asm volatile(\"mbarrier.pending_count.b64 %0, %1;\" : \"=r\"(n) : \"l\"(s)); p[0] = n;"
        "asm volatile(\"{.reg .pred q;\\nmbarrier.test_wait.shared::cta.b64 q, [%1], %2;\\nselp.u32 %0, 1, "
        "0, q;}\" : \"=r\"(n) : \"r\"(b), \"l\"(s) : \"memory\"); p[1] = n; }");
    auto p = emulator.buffer(std::vector<uint32_t>(2, 9));
    Status status = emulator.run("k", 1, 1, 0, p);
    return status.ok()
               ? emulator.read(p)
               : std::vector<uint32_t>{
                     static_cast<uint32_t>(status.error().message.find("with .noComplete are the last") !=
                                           std::string::npos),
                     77};
  };
  std::string arrive =
      "asm volatile(\"mbarrier.arrive.shared::cta.b64 %0, [%1];\" : \"=l\"(s) : \"r\"(b) : \"memory\");";
  std::string three =
      "asm volatile(\"mbarrier.arrive.noComplete.shared::cta.b64 %0, [%1], 3;\" : \"=l\"(s) : \"r\"(b) : "
      "\"memory\");";
  std::string drop =
      "asm volatile(\"mbarrier.arrive_drop.expect_tx.shared::cta.b64 %0, [%1], 0;\" : \"=l\"(s) : \"r\"(b) : "
      "\"memory\");";
  using V = std::vector<uint32_t>;
  EXPECT_EQ(run(arrive), (V{5, 0}));
  EXPECT_EQ(run(three + arrive), (V{2, 0}));
  EXPECT_EQ(run(three + arrive + arrive), (V{1, 1}));
  EXPECT_EQ(run(three + arrive + drop + arrive), (V{4, 0}));  // the next phase waits for one less
  EXPECT_EQ(run(three + three.substr(0, three.size())), (V{0, 77}));
  EXPECT_EQ(run(arrive + arrive + three), (V{1, 77}));
}

}  // namespace
}  // namespace rtjit

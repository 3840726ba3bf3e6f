// mma in its dense kinds against a double-precision product, with the fragment layouts written down here once
// more from the ISA's tables; ldmatrix and stmatrix against plain indexing.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using u32 = uint32_t;

struct ElementCase {
  const char* name;
  int bits;  // in the register
  int exponent, mantissa, bias;
  int shift;  // of the element within its container
};

double value_of(u32 bits, const ElementCase& e) {
  bits = bits >> e.shift & ((1u << (1 + e.exponent + e.mantissa)) - 1);
  u32 m = bits & ((1u << e.mantissa) - 1), x = bits >> e.mantissa & ((1u << e.exponent) - 1);
  double sign = bits >> (e.exponent + e.mantissa) ? -1 : 1;
  return x == 0 ? sign * std::ldexp(m, 1 - e.bias - e.mantissa)
                : sign * std::ldexp(m + (1 << e.mantissa), int(x) - e.bias - e.mantissa);
}

// A finite pattern of moderate size.
u32 random_element(const ElementCase& e, std::mt19937& generator) {
  u32 exponents = 1u << e.exponent, exponent = e.exponent > 4 ? e.bias - 4 + generator() % 8
                                                              : generator() % (exponents - (e.exponent >= 4));
  u32 bits = (generator() % 2) << (e.exponent + e.mantissa) | exponent << e.mantissa |
             generator() % (1u << e.mantissa);
  return bits << e.shift;
}

struct MmaCase {
  std::string instruction, target;
  ElementCase a, b;
  int k;
  bool half_accumulator = false;
  int scales = 0;  // scale_vec
  bool ue4m3 = false;
};

void run_mma(const MmaCase& c) {
  std::mt19937 generator(17);
  int per_register = 32 / c.a.bits, a_registers = c.k * c.a.bits / 64, b_registers = a_registers / 2,
      c_registers = c.half_accumulator ? 2 : 4;
  std::vector<u32> a(16 * static_cast<size_t>(c.k)), b(8 * static_cast<size_t>(c.k));
  for (u32& x : a) x = random_element(c.a, generator);
  for (u32& x : b) x = random_element(c.b, generator);
  std::vector<float> acc(16 * 8);
  for (float& x : acc) x = static_cast<float>(static_cast<int>(generator() % 64) - 32) / 8;
  std::vector<u32> fa(32 * static_cast<size_t>(a_registers)), fb(32 * static_cast<size_t>(b_registers)),
      fc(32 * static_cast<size_t>(c_registers)), scale_a(32), scale_b(32);
  auto position = [&](int r, int e, int t) { return (r * 4 + t) * per_register + e; };
  for (int l = 0; l < 32; ++l) {
    for (int r = 0; r < a_registers; ++r) {
      for (int e = 0; e < per_register; ++e)
        fa[static_cast<size_t>(r * 32 + l)] |=
            a[static_cast<size_t>((l / 4 + r % 2 * 8) * c.k + position(r / 2, e, l % 4))] << (c.a.bits * e);
    }
    for (int r = 0; r < b_registers; ++r) {
      for (int e = 0; e < per_register; ++e)
        fb[static_cast<size_t>(r * 32 + l)] |= b[static_cast<size_t>(l / 4 * c.k + position(r, e, l % 4))]
                                               << (c.b.bits * e);
    }
    for (int i = 0; i < 4; ++i) {
      float x = acc[static_cast<size_t>((l / 4 + i / 2 * 8) * 8 + l % 4 * 2 + i % 2)];
      if (c.half_accumulator)
        fc[static_cast<size_t>(i / 2 * 32 + l)] |= emu::float_to_half(x) << (16 * (i % 2));
      else
        fc[static_cast<size_t>(i * 32 + l)] = emu::as_bits(x);
    }
  }
  for (u32 i = 0; i < 32; ++i) {
    for (int byte = 0; byte < 4; ++byte) {
      scale_a[i] |= (c.ue4m3 ? 0x30 + generator() % 16 : 120 + generator() % 12) << (8 * byte);
      scale_b[i] |= (c.ue4m3 ? 0x30 + generator() % 16 : 120 + generator() % 12) << (8 * byte);
    }
  }
  std::string text = ".version 8.8\n.target " + c.target +
                     "\n.address_size 64\n.visible .entry k(.param .u64 k_a, .param .u64 k_b, .param .u64 "
                     "k_c, .param .u64 k_s, .param .u64 k_t) {\n"
                     ".reg .b64 %p<6>; .reg .b32 %a<4>, %b<2>, %c<4>, %t, %s, %u; mov.u32 %t, %tid.x;\n";
  auto pointer = [&](int i, const char* name) {
    text += "ld.param.u64 %p" + std::to_string(i) + ", [k_" + name + "]; mad.wide.u32 %p" +
            std::to_string(i) + ", %t, 4, %p" + std::to_string(i) + ";\n";
  };
  auto list = [](const char* prefix, int count) {
    std::string s = "{";
    for (int i = 0; i < count; ++i) s += (i ? ", " : "") + std::string(prefix) + std::to_string(i);
    return s + "}";
  };
  auto move = [&](const char* op, const char* prefix, int p, int count) {
    for (int i = 0; i < count; ++i) {
      std::string reg = prefix + std::to_string(i),
                  address = "[%p" + std::to_string(p) + "+" + std::to_string(i * 128) + "]";
      text +=
          std::string(op) + (op[0] == 'l' ? " " + reg + ", " + address : " " + address + ", " + reg) + ";\n";
    }
  };
  pointer(0, "a"), pointer(1, "b"), pointer(2, "c"), pointer(3, "s"), pointer(4, "t");
  move("ld.global.u32", "%a", 0, a_registers), move("ld.global.u32", "%b", 1, b_registers),
      move("ld.global.u32", "%c", 2, c_registers);
  text += "ld.global.u32 %s, [%p3]; ld.global.u32 %u, [%p4];\n";
  // byte 1 of thread pair 1 for A, byte 0 of thread 2 for B where one byte is taken.
  int byte_a = c.scales == 1 ? 1 : c.scales == 2 ? 2 : 0;
  text += c.instruction + " " + list("%c", c_registers) + ", " + list("%a", a_registers) + ", " +
          list("%b", b_registers) + ", " + list("%c", c_registers);
  if (c.scales) text += ", %s, {" + std::to_string(byte_a) + ", 1}, %u, {0, 2}";
  text += ";\n";
  move("st.global.u32", "%c", 2, c_registers);
  text += "ret; }\n";
  Emulator emulator(c.target);
  emulator.load(text);
  auto da = emulator.buffer(fa), db = emulator.buffer(fb), dc = emulator.buffer(fc),
       ds = emulator.buffer(scale_a), dt = emulator.buffer(scale_b);
  Status status = emulator.run("k", 1, 32, 0, da, db, dc, ds, dt);
  ASSERT_TRUE(status.ok()) << status.error().message;
  std::vector<u32> result = emulator.read(dc);
  auto scale = [&](u32 bits) {
    return c.ue4m3 ? std::ldexp(8 + (bits & 7), int(bits >> 3) - 7 - 3) : std::ldexp(1.0, int(bits) - 127);
  };
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double sum = acc[static_cast<size_t>(row * 8 + column)], magnitude = std::fabs(sum);
      for (int k = 0; k < c.k; ++k) {
        double x = value_of(a[static_cast<size_t>(row * c.k + k)], c.a),
               y = value_of(b[static_cast<size_t>(column * c.k + k)], c.b);
        if (c.scales) {
          int v = k / (c.k / c.scales);
          x *= scale(scale_a[static_cast<size_t>(row % 8 * 4 + 2 + row / 8)] >> (8 * (byte_a + v)) & 255);
          y *= scale(scale_b[static_cast<size_t>(column * 4 + 2)] >> (8 * v) & 255);
        }
        sum += x * y;
        magnitude += std::fabs(x * y);
      }
      int lane = row % 8 * 4 + column / 2, i = row / 8 * 2 + column % 2;
      double got = c.half_accumulator
                       ? emu::half_to_float(
                             result[static_cast<size_t>(row / 8 * 32 + lane)] >> (16 * (column % 2)) & 0xffff)
                       : emu::as_float(result[static_cast<size_t>(i * 32 + lane)]);
      // k roundings of the running sum; one more of the result when it is half precision.
      double bound = magnitude * (c.k * 6e-8 + (c.half_accumulator ? 5e-4 : 0));
      ASSERT_NEAR(got, sum, bound) << c.instruction << " row " << row << " column " << column;
    }
  }
}

constexpr ElementCase kBf16{"bf16", 16, 8, 7, 127, 0}, kF16{"f16", 16, 5, 10, 15, 0},
    kE4m3{"e4m3", 8, 4, 3, 7, 0}, kE5m2{"e5m2", 8, 5, 2, 15, 0}, kE3m2{"e3m2", 8, 3, 2, 3, 0},
    kE2m3{"e2m3", 8, 2, 3, 1, 0}, kE2m1InByte{"e2m1", 8, 2, 1, 1, 2}, kE2m1{"e2m1", 4, 2, 1, 1, 0},
    kTf32{"tf32", 32, 8, 10, 127, 13};

TEST(MatrixInstructions, Mma) {
  run_mma({"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", "sm_80", kBf16, kBf16, 16});
  run_mma({"mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32", "sm_80", kBf16, kBf16, 8});
  run_mma({"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "sm_80", kF16, kF16, 16});
  run_mma({"mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16", "sm_80", kF16, kF16, 16, true});
  run_mma({"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", "sm_80", kTf32, kTf32, 8});
  run_mma({"mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32", "sm_80", kTf32, kTf32, 4});
  run_mma({"mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e5m2.f32", "sm_89", kE4m3, kE5m2, 32});
  run_mma({"mma.sync.aligned.m16n8k16.row.col.f32.e5m2.e5m2.f32", "sm_90a", kE5m2, kE5m2, 16});
}

TEST(MatrixInstructions, MmaOfSmallFloats) {
  for (const ElementCase& e : {kE4m3, kE5m2, kE3m2, kE2m3, kE2m1InByte}) {
    run_mma({std::string("mma.sync.aligned.m16n8k32.row.col.kind::f8f6f4.f32.") + e.name + ".e4m3.f32",
             "sm_120a", e, kE4m3, 32});
    run_mma(
        {std::string("mma.sync.aligned.m16n8k32.row.col.kind::mxf8f6f4.block_scale.scale_vec::1X.f32.e5m2.") +
             e.name + ".f32.ue8m0",
         "sm_120a", kE5m2, e, 32, false, 1});
  }
}

// Both orders are PTX that ptxas takes.
TEST(MatrixInstructions, KindBeforeTheShape) {
  run_mma({"mma.sync.aligned.kind::f8f6f4.m16n8k32.row.col.f32.e4m3.e2m3.f32", "sm_120a", kE4m3, kE2m3, 32});
  run_mma(
      {"mma.sync.aligned.kind::mxf8f6f4.block_scale.scale_vec::1X.m16n8k32.row.col.f32.e4m3.e5m2.f32.ue8m0",
       "sm_120a", kE4m3, kE5m2, 32, false, 1});
  run_mma(
      {"mma.sync.aligned.kind::mxf4nvf4.block_scale.scale_vec::4X.m16n8k64.row.col.f32.e2m1.e2m1.f32.ue4m3",
       "sm_120a", kE2m1, kE2m1, 64, false, 4, true});
}

TEST(MatrixInstructions, BlockScaledMma) {
  run_mma({"mma.sync.aligned.m16n8k64.row.col.kind::mxf4.block_scale.scale_vec::2X.f32.e2m1.e2m1.f32.ue8m0",
           "sm_121a", kE2m1, kE2m1, 64, false, 2});
  run_mma(
      {"mma.sync.aligned.m16n8k64.row.col.kind::mxf4nvf4.block_scale.scale_vec::4X.f32.e2m1.e2m1.f32.ue4m3",
       "sm_120a", kE2m1, kE2m1, 64, false, 4, true});
}

TEST(MatrixInstructions, IntegerMma) {
  Emulator emulator("sm_80");
  emulator.compile(R"(extern "C" __global__ void k(const int* a, const int* b, int* d) {
    int l = threadIdx.x, c[4] = {l, -l, 1, 2};
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[l]), "r"(a[l + 32]), "r"(a[l + 64]), "r"(a[l + 96]), "r"(b[l]), "r"(b[l + 32]));
    for (int i = 0; i < 4; ++i) d[i * 32 + l] = c[i];
  })");
  std::mt19937 generator(4);
  std::vector<int> a(128), b(64);
  for (int& x : a) x = static_cast<int>(generator());
  for (int& x : b) x = static_cast<int>(generator());
  auto da = emulator.buffer(a), db = emulator.buffer(b);
  auto dd = emulator.empty<int>(128);
  Status status = emulator.run("k", 1, 32, 0, da, db, dd);
  ASSERT_TRUE(status.ok()) << status.error().message;
  auto d = emulator.read(dd);
  auto byte = [](int word, int i) { return word >> (8 * i) & 255; };
  for (int l = 0; l < 32; ++l) {
    int start[4] = {l, -l, 1, 2};
    for (int i = 0; i < 4; ++i) {
      int row = l / 4 + i / 2 * 8, column = l % 4 * 2 + i % 2, sum = start[i];
      for (int k = 0; k < 32; ++k) {
        int t = k / 4 % 4, half = k / 16;
        sum += static_cast<int8_t>(
                   byte(a[static_cast<size_t>((half * 2 + row / 8) * 32 + row % 8 * 4 + t)], k % 4)) *
               byte(b[static_cast<size_t>(half * 32 + column * 4 + t)], k % 4);
      }
      EXPECT_EQ(d[static_cast<size_t>(i * 32 + l)], sum);
    }
  }
}

// m8n8: one register each of A and B, two sums.
TEST(MatrixInstructions, IntegerMmaOfEightRows) {
  struct Form {
    const char* types;
    int bits;
    bool a_signed, b_signed;
  };
  for (const Form& form : {Form{"m8n8k16.row.col.satfinite.s32.s8.u8.s32", 8, true, false},
                           Form{"m8n8k16.row.col.s32.s8.s8.s32", 8, true, true},
                           Form{"m8n8k32.row.col.s32.u4.s4.s32", 4, false, true}}) {
    Emulator emulator("sm_80");
    emulator.compile(R"(extern "C" __global__ void k(const int* a, const int* b, int* d) {
      int l = threadIdx.x, c[2] = {l, -3 * l};
      asm("mma.sync.aligned.)" +
                     std::string(form.types) + R"( {%0,%1}, {%2}, {%3}, {%0,%1};"
          : "+r"(c[0]), "+r"(c[1]) : "r"(a[l]), "r"(b[l]));
      d[l] = c[0], d[32 + l] = c[1];
    })");
    std::mt19937 generator(5);
    std::vector<int> a(32), b(32);
    for (int& x : a) x = static_cast<int>(generator());
    for (int& x : b) x = static_cast<int>(generator());
    auto da = emulator.buffer(a), db = emulator.buffer(b);
    auto dd = emulator.empty<int>(64);
    Status status = emulator.run("k", 1, 32, 0, da, db, dd);
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto d = emulator.read(dd);
    const int each = 32 / form.bits;  // elements of a register
    auto element = [&](const std::vector<int>& words, int line, int k, bool is_signed) {
      const int word = words[static_cast<size_t>(line * 4 + k / each)] >> (form.bits * (k % each));
      const int value = word & ((1 << form.bits) - 1);
      return is_signed && value >> (form.bits - 1) ? value - (1 << form.bits) : value;
    };
    for (int row = 0; row < 8; ++row) {
      for (int column = 0; column < 8; ++column) {
        const int lane = row * 4 + column / 2;
        int sum = column % 2 ? -3 * lane : lane;
        for (int k = 0; k < 4 * each; ++k)
          sum += element(a, row, k, form.a_signed) * element(b, column, k, form.b_signed);
        EXPECT_EQ(d[static_cast<size_t>(column % 2 * 32 + lane)], sum) << form.types;
      }
    }
  }
}

// m16n16: what one lane gets of its two registers' lower halves, then upper halves, are four rows of a
// column.
TEST(MatrixInstructions, LoadMatrixOfBytes) {
  struct Form {
    const char* type;
    int bits;  // of an element in memory
  };
  for (const Form& form : {Form{"b8", 8}, Form{"b8x16.b6x16_p32", 6}, Form{"b8x16.b4x16_p64", 4}}) {
    Emulator emulator("sm_120a");
    emulator.compile(R"(extern "C" __global__ void k(const unsigned* in, unsigned* out) {
      __shared__ __align__(16) unsigned s[128];
      int l = threadIdx.x;
      for (int i = l; i < 128; i += 32) s[i] = in[i];
      __syncwarp();
      unsigned r[6], at = (unsigned)__cvta_generic_to_shared(s) + l * 16;
      asm volatile("ldmatrix.sync.aligned.m16n16.x2.trans.shared.)" +
                     std::string(form.type) +
                     R"( {%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at));
      asm volatile("ldmatrix.sync.aligned.m16n16.x1.trans.shared.)" +
                     std::string(form.type) +
                     R"( {%0,%1}, [%2];" : "=r"(r[4]), "=r"(r[5]) : "r"(l < 16 ? at : 0xffffffffu));
      for (int i = 0; i < 6; ++i) out[i * 32 + l] = r[i];
    })");
    std::mt19937 generator(6);
    std::vector<u32> in(128);
    for (u32& x : in) x = static_cast<u32>(generator());
    auto di = emulator.buffer(in);
    auto dout = emulator.empty<u32>(192);
    Status status = emulator.run("k", 1, 32, 0, di, dout);
    ASSERT_TRUE(status.ok()) << status.error().message;
    const auto out = emulator.read(dout);
    auto memory = [&](u32 matrix, u32 row, u32 column) {  // bit by bit
      u32 value = 0;
      for (u32 b = 0; b < static_cast<u32>(form.bits); ++b) {
        const u32 at = column * static_cast<u32>(form.bits) + b;
        value |= (in[(matrix * 16 + row) * 4 + at / 32] >> at % 32 & 1) << b;
      }
      return value;
    };
    for (u32 l = 0; l < 32; ++l) {
      for (u32 matrix = 0; matrix < 2; ++matrix) {
        const u32 first = out[matrix * 64 + l], second = out[matrix * 64 + 32 + l];
        for (u32 upper = 0; upper < 2; ++upper) {
          const u32 rows = (first >> 16 * upper & 0xffff) | (second >> 16 * upper & 0xffff) << 16;
          for (u32 i = 0; i < 4; ++i)
            ASSERT_EQ(rows >> 8 * i & 255, memory(matrix, l % 4 * 4 + i, l / 4 + 8 * upper)) << form.type;
        }
      }
      EXPECT_EQ(out[128 + l], out[l]);
      EXPECT_EQ(out[160 + l], out[32 + l]);
    }
  }
}

// m16n8: the sums of an m16n8 product, narrowed to bytes, become rows of its transpose.
TEST(MatrixInstructions, StoreMatrixOfBytes) {
  Emulator emulator("sm_100a");
  emulator.compile(R"(extern "C" __global__ void k(const unsigned* in, unsigned* out) {
    __shared__ __align__(16) unsigned s[128 + 32];
    int l = threadIdx.x;
    unsigned at = (unsigned)__cvta_generic_to_shared(s) + l * 16;
    asm volatile("stmatrix.sync.aligned.m16n8.x4.trans.shared.b8 [%0], {%1,%2,%3,%4};" ::"r"(at), "r"(in[l]), "r"(in[32 + l]), "r"(in[64 + l]), "r"(in[96 + l]) : "memory");
    asm volatile("stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [%0], {%1};" ::"r"(l < 8 ? at + 512 : 0xffffffffu), "r"(in[l]) : "memory");
    __syncwarp();
    for (int i = l; i < 160; i += 32) out[i] = s[i];
  })");
  std::vector<std::vector<uint8_t>> sums(4, std::vector<uint8_t>(128));
  std::mt19937 generator(7);
  for (auto& matrix : sums)
    for (uint8_t& x : matrix) x = static_cast<uint8_t>(generator());
  std::vector<u32> in(128);
  for (size_t m = 0; m < 4; ++m) {
    for (size_t row = 0; row < 16; ++row) {
      for (size_t column = 0; column < 8; ++column)  // the accumulators of mma: lane 4g + t, register 2h + j
        in[m * 32 + row % 8 * 4 + column / 2] |= u32(sums[m][row * 8 + column])
                                                 << 8 * (row / 8 * 2 + column % 2);
    }
  }
  auto di = emulator.buffer(in);
  auto dout = emulator.empty<u32>(160);
  Status status = emulator.run("k", 1, 32, 0, di, dout);
  ASSERT_TRUE(status.ok()) << status.error().message;
  const auto out = emulator.read(dout);
  auto byte = [&](size_t at) { return out[at / 4] >> 8 * (at % 4) & 255; };
  for (size_t m = 0; m < 5; ++m) {
    for (size_t row = 0; row < 16; ++row) {
      for (size_t column = 0; column < 8; ++column)
        ASSERT_EQ(byte(m * 128 + column * 16 + row), sums[m % 4][row * 8 + column]) << m;
    }
  }
}

TEST(MatrixInstructions, LoadAndStoreMatrix) {
  Emulator emulator("sm_90a");
  emulator.compile(
      R"(extern "C" __global__ void k(const unsigned short* in, unsigned* out, unsigned short* back) {
    __shared__ __align__(16) unsigned short s[256], r[256];
    int l = threadIdx.x;
    for (int i = l; i < 256; i += 32) s[i] = in[i], r[i] = 0;
    __syncwarp();
    unsigned v[4], a = (unsigned)__cvta_generic_to_shared(s + l * 8), b = (unsigned)__cvta_generic_to_shared(r + l * 8);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3]) : "r"(a));
    for (int i = 0; i < 4; ++i) out[i * 32 + l] = v[i];
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(v[0]), "=r"(v[1]) : "r"(a));
    for (int i = 0; i < 2; ++i) out[128 + i * 32 + l] = v[i];
    asm volatile("stmatrix.sync.aligned.m8n8.x2.trans.shared.b16 [%0], {%1,%2};" ::"r"(b), "r"(v[0]), "r"(v[1]) : "memory");
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(v[2]) : "r"(v[0]));
    out[192 + l] = v[2];
    __syncwarp();
    for (int i = l; i < 128; i += 32) back[i] = r[i];
  })");
  std::vector<uint16_t> in(256);
  for (size_t i = 0; i < 256; ++i) in[i] = static_cast<uint16_t>(i * 259 + 7);
  auto di = emulator.buffer(in);
  auto dout = emulator.empty<u32>(224);
  auto dback = emulator.empty<uint16_t>(128);
  Status status = emulator.run("k", 1, 32, 0, di, dout, dback);
  ASSERT_TRUE(status.ok()) << status.error().message;
  auto out = emulator.read(dout);
  auto at = [&](size_t m, size_t row, size_t column) {
    return static_cast<u32>(in[m * 64 + row * 8 + column]);
  };
  for (size_t l = 0; l < 32; ++l) {
    for (size_t m = 0; m < 4; ++m)
      EXPECT_EQ(out[m * 32 + l], at(m, l / 4, l % 4 * 2) | at(m, l / 4, l % 4 * 2 + 1) << 16);
    for (size_t m = 0; m < 2; ++m)
      EXPECT_EQ(out[128 + m * 32 + l], at(m, l % 4 * 2, l / 4) | at(m, l % 4 * 2 + 1, l / 4) << 16);
    EXPECT_EQ(out[192 + l], at(0, l / 4, l % 4 * 2) | at(0, l / 4, l % 4 * 2 + 1) << 16);
  }
  // Loading transposed and storing transposed gives back what was there.
  auto back = emulator.read(dback);
  EXPECT_TRUE(std::equal(back.begin(), back.end(), in.begin()));
}

}  // namespace
}  // namespace rtjit

// tcgen05.mma of every kind against sums in double, with the layouts of operands, results and scales written
// from the PTX ISA's canonical forms.
#include <gmock/gmock.h>

#include "tensor_core_harness.h"
#include "tensor_matrix.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

struct Case {
  const char* instruction;  // the kind with what follows it
  Element a, b;
  uint32_t m, n, depth;
  uint32_t mode_a = 2, mode_b = 2;
  bool transpose_a = false, transpose_b = false, negate_a = false, negate_b = false;
  bool tensor_a = false, stationary = false, half_sums = false, enable = true, saturate = false;
  uint32_t exponent = 0;  // scale-input-d
  uint32_t vectors = 0, id_a = 0, id_b = 0;
  bool e4m3_scales = false, mask = false;
  uint32_t lane = 0;         // of D and A
  uint64_t column_mask = 0;  // .ws: the zero-column mask, and what it says: a digit per column, 1 for zeros
  std::string zeros = "";
  uint32_t shift = 0;
};

std::string text_of(const Case& c) {
  std::string text = std::string("tcgen05.mma.") + (c.stationary ? "ws." : "") +
                     "cta_group::1.kind::" + c.instruction + " [%d], " + (c.tensor_a ? "[%ta]" : "%da") +
                     ", %db, %id, ";
  if (c.vectors) text += "[%sa], [%sb], ";
  if (c.mask) text += "{%m0, %m1, %m2, %m3}, ";
  if (c.column_mask) return text + "%p, " + std::to_string(c.column_mask) + ";";
  return text + "%p" + (c.exponent ? ", " + std::to_string(c.exponent) : "") + ";";
}

float half_value(uint32_t bits) { return static_cast<float>(value_of(bits & 0xffff, kF16)); }

class Tcgen05Products : public testing::Test {
 protected:
  void check(const Case& c) {
    std::string text = text_of(c);
    SCOPED_TRACE(testing::Message() << text << " M " << c.m << " N " << c.n << " " << c.a.name << " "
                                    << c.b.name << " modes " << c.mode_a << " " << c.mode_b << " transposed "
                                    << c.transpose_a << c.transpose_b << " lane " << c.lane);
    auto found = kernels_.find(text);
    if (found == kernels_.end())
      found = kernels_.emplace(text, std::make_unique<TensorInstruction>(text)).first;
    bool padded = std::string(c.instruction).find("f8f6f4") != std::string::npos;
    bool integer = c.a.exponent == 0, half_rows = c.m == 64 && !c.stationary;
    Matrix a = random_matrix(generator_, c.m, c.depth, c.a),
           b = random_matrix(generator_, c.n + (c.shift ? 16 : 0), c.depth, c.b);
    auto zeroed = [&](uint32_t n) { return n < c.zeros.size() && c.zeros[n] == '1'; };
    for (uint32_t n = 0; n < c.n; ++n) {  // not even a NaN of a zeroed column may count
      if (zeroed(n) && c.b.exponent) b.bits[(n + c.shift) * c.depth] = (1u << (c.b.bits - 1)) - 1;
    }
    std::vector<uint8_t> shared;
    std::vector<uint32_t> before = random_tensor(static_cast<uint32_t>(generator_()));
    TensorCall call;
    call.d = c.lane << 16 | 8;
    call.a = c.lane << 16 | 272;
    call.enable = c.enable;
    uint32_t parts = !c.stationary || c.m == 128 ? 1 : 128 / c.m, columns = c.n / parts;
    auto lane_of = [&](uint32_t row, uint32_t part) {
      return c.lane + (half_rows ? row / 16 * 32 + row % 16 : row) + part * (128 / parts);
    };
    if (c.tensor_a) {
      for (uint32_t part = 0; part < parts; ++part) {
        for (uint32_t row = 0; row < c.m; ++row) {
          uint8_t bytes[32] = {};
          for (uint32_t k = 0; k < c.depth; ++k) {
            bool container = padded && c.a.bits < 8;
            put_bits(bytes, container ? k * 8 + (c.a.bits == 4 ? 2 : 0) : k * static_cast<size_t>(c.a.bits),
                     a.at(row, k), c.a.bits);
          }
          std::memcpy(&before[lane_of(row, part) * kTensorColumns + 272], bytes, 32);
        }
      }
    } else {
      call.descriptor_a = place(a, c.a, padded && c.a.bits < 8, c.transpose_a, c.mode_a, &shared);
    }
    call.descriptor_b = place(b, c.b, padded && c.b.bits < 8, c.transpose_b, c.mode_b, &shared);
    auto scale_bits = [&](uint32_t address, uint32_t row, uint32_t byte) -> uint8_t* {
      auto* word = reinterpret_cast<uint8_t*>(&before[row % 32 * kTensorColumns + address + row / 32]);
      return word + byte;
    };
    auto scale_value = [&](uint32_t address, uint32_t id, uint32_t row, uint32_t k) {
      if (!c.vectors) return 1.0;
      uint32_t bits = *scale_bits(address, row, id + k / (c.depth / c.vectors));
      return c.e4m3_scales ? value_of(bits & 0x7f, kE4m3) : std::ldexp(1.0, static_cast<int>(bits) - 127);
    };
    if (c.vectors) {
      for (uint32_t lane = 0; lane < 32; ++lane) {
        for (uint32_t column = 320; column < 384; ++column) {
          auto* bytes = reinterpret_cast<uint8_t*>(&before[lane * kTensorColumns + column]);
          for (int i = 0; i < 4; ++i)
            bytes[i] =
                static_cast<uint8_t>(c.e4m3_scales ? 0x28 + generator_() % 32 : 122 + generator_() % 11);
          for (uint32_t quarter = 1; quarter < 4; ++quarter)
            before[(lane + 32 * quarter) * kTensorColumns + column] = before[lane * kTensorColumns + column];
        }
      }
      call.scale_a = 320;
      call.scale_b = 352;
    }
    for (uint32_t lane = 0; lane < kTensorLanes; ++lane) {
      for (uint32_t n = 0; n < columns; ++n) {
        uint32_t& cell = before[lane * kTensorColumns + 8 + n];
        if (integer) continue;
        float value = static_cast<float>(static_cast<int>(generator_() % 4001) - 2000) / 64;
        if (c.half_sums)
          cell = (cell & 0xffff0000) | (generator_() & 0x83ff) | (10 + generator_() % 8) << 10;
        else
          std::memcpy(&cell, &value, 4);
      }
    }
    if (c.mask) {
      for (uint32_t& m : call.masks) m = generator_();
    }
    call.instruction = c.a.code << 7 | c.b.code << 10 | u(c.negate_a) << 13 | u(c.negate_b) << 14 |
                       u(c.transpose_a) << 15 | u(c.transpose_b) << 16 | (c.n / 8) << 17 | (c.m / 16) << 24;
    if (c.vectors)
      call.instruction |= c.id_b << 4 | c.id_a << 29 | u(!c.e4m3_scales) << 23;
    else
      call.instruction |= (integer ? 2u : c.half_sums ? 0u : 1u) << 4 | u(c.saturate) << 3;
    if (c.shift) call.instruction |= 1u << 30;
    std::vector<uint32_t> after = found->second->run(shared, before, call);
    ASSERT_EQ(found->second->error, "");
    for (uint32_t row = 0; row < c.m; ++row) {
      for (uint32_t n = 0; n < c.n; ++n) {
        uint32_t lane = lane_of(row, n / columns);
        size_t at = lane * kTensorColumns + 8 + n % columns;
        if (call.masks[lane / 32] >> lane % 32 & 1) continue;
        double sum = 0, magnitude = 0;
        for (uint32_t k = 0; k < c.depth; ++k) {
          double product = value_of(a.at(row, k), c.a) * scale_value(320, c.id_a, row, k) *
                           (zeroed(n) ? 0.0 : value_of(b.at(n + c.shift, k), c.b)) *
                           scale_value(352, c.id_b, n, k);
          if (c.negate_a != c.negate_b) product = -product;
          sum += product;
          magnitude += std::fabs(product);
        }
        uint32_t old = before[at], got = after[at];
        after[at] = before[at];
        if (integer) {
          int64_t exact = static_cast<int64_t>(sum) + (c.enable ? static_cast<int32_t>(old) : 0);
          if (c.saturate) exact = std::min<int64_t>(std::max<int64_t>(exact, INT32_MIN), INT32_MAX);
          ASSERT_EQ(got, static_cast<uint32_t>(exact)) << row << " " << n;
          continue;
        }
        float value;
        std::memcpy(&value, &old, 4);
        if (c.half_sums) value = half_value(old);
        if (c.enable) sum += std::ldexp(value, -static_cast<int>(c.exponent)), magnitude += std::fabs(value);
        std::memcpy(&value, &got, 4);
        if (c.half_sums) value = half_value(got);
        double bound = c.depth * magnitude * std::ldexp(1.0, -24);
        if (c.half_sums) bound += std::fabs(sum) * std::ldexp(1.0, -11) + std::ldexp(1.0, -25);
        ASSERT_NEAR(value, sum, bound) << row << " " << n;
        if (c.half_sums) {
          ASSERT_EQ(got >> 16, 0u);
        }
      }
    }
    ASSERT_TRUE(after == before) << "something beside D changed";
  }
  static uint32_t u(bool b) { return b; }
  std::map<std::string, std::unique_ptr<TensorInstruction>> kernels_;
  std::mt19937 generator_{7};
};

TEST_F(Tcgen05Products, SixteenBitElements) {
  for (uint32_t mode : {0u, 2u, 4u, 6u}) {
    for (int transposed = 0; transposed < 4; ++transposed) {
      check({.instruction = "f16",
             .a = kBf16,
             .b = kBf16,
             .m = 128,
             .n = 64,
             .depth = 16,
             .mode_a = mode,
             .mode_b = mode,
             .transpose_a = bool(transposed & 1),
             .transpose_b = bool(transposed & 2)});
    }
    check({.instruction = "f16",
           .a = kF16,
           .b = kF16,
           .m = 64,
           .n = 40,
           .depth = 16,
           .mode_b = mode,
           .lane = 16});
  }
  check({.instruction = "f16", .a = kF16, .b = kF16, .m = 128, .n = 256, .depth = 16, .half_sums = true});
  check({.instruction = "f16",
         .a = kF16,
         .b = kBf16,
         .m = 64,
         .n = 8,
         .depth = 16,
         .negate_a = true,
         .enable = false});
  check({.instruction = "f16",
         .a = kF16,
         .b = kF16,
         .m = 128,
         .n = 48,
         .depth = 16,
         .negate_b = true,
         .mask = true});
  check({.instruction = "f16", .a = kBf16, .b = kBf16, .m = 128, .n = 48, .depth = 16, .tensor_a = true});
  check({.instruction = "f16",
         .a = kBf16,
         .b = kF16,
         .m = 64,
         .n = 16,
         .depth = 16,
         .negate_a = true,
         .negate_b = true,
         .tensor_a = true,
         .lane = 16});
  check({.instruction = "f16", .a = kBf16, .b = kF16, .m = 128, .n = 16, .depth = 16, .exponent = 5});
}

TEST_F(Tcgen05Products, Tf32) {
  for (uint32_t mode : {0u, 2u, 4u, 6u})
    check({.instruction = "tf32",
           .a = kTf32,
           .b = kTf32,
           .m = 128,
           .n = 24,
           .depth = 8,
           .mode_a = mode,
           .mode_b = mode});
  check({.instruction = "tf32",
         .a = kTf32,
         .b = kTf32,
         .m = 128,
         .n = 64,
         .depth = 8,
         .mode_a = 1,
         .mode_b = 1,
         .transpose_a = true,
         .transpose_b = true});
  check({.instruction = "tf32",
         .a = kTf32,
         .b = kTf32,
         .m = 64,
         .n = 8,
         .depth = 8,
         .mode_b = 1,
         .transpose_b = true,
         .tensor_a = true,
         .exponent = 15});
}

TEST_F(Tcgen05Products, SmallFloats) {
  const Element all[] = {kE4m3, kE5m2, kE2m3, kE3m2, kE2m1};
  for (const Element& a : all) {
    for (const Element& b : all) {
      bool tensor = (a.code + b.code) % 2;
      check({.instruction = "f8f6f4",
             .a = a,
             .b = b,
             .m = tensor ? 128u : 64u,
             .n = 16,
             .depth = 32,
             .tensor_a = tensor});
    }
  }
  for (uint32_t mode : {0u, 4u, 6u})
    check({.instruction = "f8f6f4",
           .a = kE4m3,
           .b = kE2m3,
           .m = 128,
           .n = 32,
           .depth = 32,
           .mode_a = mode,
           .mode_b = mode,
           .transpose_a = true,
           .negate_a = true});
  check({.instruction = "f8f6f4",
         .a = kE2m1,
         .b = kE5m2,
         .m = 128,
         .n = 48,
         .depth = 32,
         .transpose_b = true,
         .half_sums = true});
}

TEST_F(Tcgen05Products, Integers) {
  for (bool saturate : {false, true}) {
    check({.instruction = "i8", .a = kS8, .b = kU8, .m = 128, .n = 32, .depth = 32, .saturate = saturate});
    check({.instruction = "i8",
           .a = kU8,
           .b = kS8,
           .m = 64,
           .n = 24,
           .depth = 32,
           .mode_b = 0,
           .tensor_a = true,
           .saturate = saturate});
    check({.instruction = "i8",
           .a = kU8,
           .b = kU8,
           .m = 128,
           .n = 64,
           .depth = 32,
           .mode_a = 4,
           .mode_b = 6,
           .transpose_a = true,
           .transpose_b = true,
           .enable = false,
           .saturate = saturate});
  }
}

TEST_F(Tcgen05Products, BlockScales) {
  for (uint32_t id : {0u, 1u, 2u, 3u}) {
    check({.instruction = "mxf8f6f4.block_scale.scale_vec::1X",
           .a = kE4m3,
           .b = kE2m1,
           .m = 128,
           .n = 40,
           .depth = 32,
           .vectors = 1,
           .id_a = id,
           .id_b = 3 - id});
  }
  check({.instruction = "mxf8f6f4.block_scale.block32",
         .a = kE3m2,
         .b = kE5m2,
         .m = 128,
         .n = 256,
         .depth = 32,
         .mode_b = 4,
         .transpose_b = true,
         .negate_a = true,
         .tensor_a = true,
         .vectors = 1});
  for (uint32_t id : {0u, 2u}) {
    check({.instruction = "mxf4.block_scale",
           .a = kPackedE2m1,
           .b = kPackedE2m1,
           .m = 128,
           .n = 64,
           .depth = 64,
           .vectors = 2,
           .id_a = id,
           .id_b = 2 - id});
    check({.instruction = "mxf4nvf4.block_scale.block32",
           .a = kPackedE2m1,
           .b = kPackedE2m1,
           .m = 128,
           .n = 8,
           .depth = 64,
           .mode_a = 0,
           .mode_b = 6,
           .enable = false,
           .vectors = 2,
           .id_a = id,
           .id_b = id});
  }
  for (bool e4m3 : {true, false}) {
    check({.instruction = "mxf4nvf4.block_scale.scale_vec::4X",
           .a = kPackedE2m1,
           .b = kPackedE2m1,
           .m = 128,
           .n = 136,
           .depth = 64,
           .negate_b = true,
           .vectors = 4,
           .e4m3_scales = e4m3});
    check({.instruction = "mxf4nvf4.block_scale.block16",
           .a = kPackedE2m1,
           .b = kPackedE2m1,
           .m = 128,
           .n = 64,
           .depth = 64,
           .tensor_a = true,
           .vectors = 4,
           .e4m3_scales = e4m3});
  }
}

TEST_F(Tcgen05Products, WeightStationary) {
  for (uint32_t m : {32u, 64u, 128u}) {
    check({.instruction = "f16", .a = kBf16, .b = kBf16, .m = m, .n = 64, .depth = 16, .stationary = true});
    check({.instruction = "f8f6f4.collector::b1::fill",
           .a = kE4m3,
           .b = kE4m3,
           .m = m,
           .n = 128,
           .depth = 32,
           .tensor_a = true,
           .stationary = true});
    check({.instruction = "i8",
           .a = kS8,
           .b = kS8,
           .m = m,
           .n = 256,
           .depth = 32,
           .transpose_b = true,
           .stationary = true});
  }
}

// The masks are the examples of the PTX ISA, spelt out from their first columns.
TEST_F(Tcgen05Products, ZeroColumnMasks) {
  auto spell = [](uint32_t columns, std::vector<std::string> starts) {
    std::string all;
    for (const std::string& start : starts) {
      std::string part = start;
      while (part.size() < columns / starts.size()) part += start.substr(start.size() - 7);
      all += part.substr(0, columns / starts.size());
    }
    return all;
  };
  const uint64_t spans = uint64_t(2) << 40 | uint64_t(3) << 48 | uint64_t(1) << 39;
  for (bool transposed : {false, true}) {
    check({.instruction = "f16",
           .a = kBf16,
           .b = kBf16,
           .m = 128,
           .n = 64,
           .depth = 16,
           .transpose_b = transposed,
           .stationary = true,
           .column_mask = spans,
           .zeros = spell(64, {"0000111"})});
    check({.instruction = "f16",
           .a = kBf16,
           .b = kBf16,
           .m = 64,
           .n = 128,
           .depth = 16,
           .transpose_b = transposed,
           .stationary = true,
           .column_mask = spans | uint64_t(1) << 32,
           .zeros = spell(128, {"1110000", "0000111"})});
    uint64_t fourth = spans | uint64_t(3) << 32 | uint64_t(2) << 56 | 0x01020100;
    check({.instruction = "f16",
           .a = kBf16,
           .b = kBf16,
           .m = 32,
           .n = 128,
           .depth = 16,
           .transpose_b = transposed,
           .stationary = true,
           .column_mask = fourth,
           .zeros = spell(128, {"1110000", "110000111", "001110000", "0001110000"}),
           .shift = 2});
  }
  uint64_t off = uint64_t(4) << 40 | uint64_t(3) << 48;  // the mask is not to be generated
  check({.instruction = "i8",
         .a = kS8,
         .b = kS8,
         .m = 128,
         .n = 64,
         .depth = 32,
         .stationary = true,
         .column_mask = off});
}

// Infinities and NaNs of an operand, through the emulator's one path for all kinds.
TEST_F(Tcgen05Products, NotANumber) {
  TensorInstruction product("tcgen05.mma.cta_group::1.kind::f16 [%d], %da, %db, %id, %p;");
  Matrix a{128, 16, std::vector<uint32_t>(128 * 16, 0x3c00)}, b{8, 16, std::vector<uint32_t>(8 * 16, 0x3c00)};
  a.bits[0] = 0x7c00;                        // row 0: infinity
  a.bits[16] = 0x7c00, a.bits[17] = 0xfc00;  // row 1: infinity - infinity
  a.bits[32] = 0x7e00;                       // row 2: NaN
  std::vector<uint8_t> shared;
  TensorCall call;
  call.descriptor_a = place(a, kF16, false, false, 2, &shared);
  call.descriptor_b = place(b, kF16, false, false, 2, &shared);
  call.instruction = 1u << 4 | 1u << 17 | 8u << 24;
  auto after = product.run(shared, random_tensor(1), call);
  ASSERT_EQ(product.error, "");
  EXPECT_EQ(after[0], 0x7f800000u);
  EXPECT_EQ(after[kTensorColumns], 0x7fffffffu);
  EXPECT_EQ(after[2 * kTensorColumns], 0x7fffffffu);
  EXPECT_EQ(after[3 * kTensorColumns], 0x41800000u);  // 16
}

// Descriptors that mean nothing are refused, each with the reason.
TEST_F(Tcgen05Products, WrongDescriptors) {
  const uint64_t matrix = uint64_t(2) << 61 | uint64_t(1) << 46 | uint64_t(64) << 32;
  const uint32_t instruction = 1u << 4 | 1u << 17 | 8u << 24;
  auto error = [&](uint32_t id, uint64_t a, uint64_t b, uint32_t d = 0) {
    TensorInstruction product("tcgen05.mma.cta_group::1.kind::f16 [%d], %da, %db, %id, %p;");
    TensorCall call;
    call.descriptor_a = a, call.descriptor_b = b, call.instruction = id, call.d = d;
    product.run(std::vector<uint8_t>(32768, 0), random_tensor(1), call);
    return product.error;
  };
  EXPECT_EQ(error(instruction, matrix, matrix), "");
  EXPECT_THAT(error(instruction | 4, matrix, matrix), HasSubstr("sparse"));
  EXPECT_THAT(error(instruction | 2u << 7, matrix, matrix), HasSubstr("element types 2 and 0"));
  EXPECT_THAT(error(instruction | 2u << 24, matrix, matrix), HasSubstr("M = 160"));
  EXPECT_THAT(error(instruction | 63u << 17, matrix, matrix), HasSubstr("N = 504"));
  EXPECT_THAT(error(instruction, matrix | uint64_t(1) << 61, matrix), HasSubstr("swizzle mode 3"));
  EXPECT_THAT(error(instruction, matrix, matrix & ~(uint64_t(1) << 46)), HasSubstr("fixed bits"));
  EXPECT_THAT(error(instruction, matrix | uint64_t(1) << 49, matrix), HasSubstr("base offset"));
  EXPECT_THAT(error(instruction, matrix | 0x3fff, matrix), HasSubstr("of shared memory"));
  EXPECT_THAT(error(instruction, matrix, matrix, 3 << 16), HasSubstr("begins at lane 3"));
  EXPECT_THAT(error(instruction, matrix, matrix, 508), HasSubstr("columns 508 to 515"));
}

}  // namespace
}  // namespace rtjit

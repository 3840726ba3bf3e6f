// wgmma with both operands in shared memory in every swizzle, with A in registers, and its waits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

// 64 x 16 sums of 16 k. Rows of A and B are written to shared memory as the canonical k-major layout of a
// swizzle of `span` bytes (0: none): rows of `span` bytes, groups of 8 rows one after the other.
const char kSource[] = R"(
using u16 = unsigned short; using u32 = unsigned; using u64 = unsigned long long;
extern __shared__ __align__(1024) unsigned char raw[];
__device__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ void put(unsigned char* base, int row, int k, u16 value, int span, int rows) {
  u32 offset = span ? row / 8 * 8 * span + row % 8 * span + k * 2 : k / 8 * rows * 16 + row * 16 + k % 8 * 2;
  if (span) offset ^= (offset >> 7 & (span / 16 - 1)) << 4;
  *(u16*)(base + offset) = value;
}
__device__ u64 descriptor(const void* p, int span, int rows) {
  u64 mode = span == 128 ? 1 : span == 64 ? 2 : span == 32 ? 3 : 0, lead = span ? 1 : rows, stride = span ? span * 8 / 16 : 8;
  return mode << 62 | stride << 32 | lead << 16 | (at(p) & 0x3ffff) >> 4;
}
extern "C" __global__ void k(const u16* a, const u16* b, float* d, int span, int negate) {
  unsigned char *sa = raw, *sb = raw + 8192;
  int t = threadIdx.x;
  for (int i = t; i < 64 * 16; i += 128) put(sa, i / 16, i % 16, a[i], span, 64);
  for (int i = t; i < 16 * 16; i += 128) put(sb, i / 16, i % 16, b[i], span, 16);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  float c[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  u64 da = descriptor(sa, span, 64), db = descriptor(sb, span, 16);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  if (SHARED_A) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %10, 0; wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7}, %8, %9, p, 1, -1, 0, 0; }"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7]) : "l"(da), "l"(db), "r"(negate));
  } else {
    int row = t / 32 * 16 + t % 32 / 4, k0 = t % 4 * 2;
    auto pair = [&](int r, int k) { return (u32)a[r * 16 + k] | (u32)a[r * 16 + k + 1] << 16; };
    asm volatile("wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%0,%1,%2,%3,%4,%5,%6,%7}, {%8,%9,%10,%11}, %12, 1, 1, -1, 0;"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3]), "+f"(c[4]), "+f"(c[5]), "+f"(c[6]), "+f"(c[7])
      : "r"(pair(row, k0)), "r"(pair(row + 8, k0)), "r"(pair(row, k0 + 8)), "r"(pair(row + 8, k0 + 8)), "l"(db));
  }
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  BEFORE
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  AFTER
  for (int i = 0; i < 8; ++i) d[(t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8) * 16 + i / 4 * 8 + t % 4 * 2 + i % 2] = c[i];
}
)";

std::string source(bool shared_a, const std::string& before = "", const std::string& after = "") {
  std::string text = kSource;
  for (auto [name, value] : {std::pair<std::string, std::string>("SHARED_A", shared_a ? "1" : "0"),
                             {"BEFORE", before},
                             {"AFTER", after}})
    text.replace(text.find(name), name.size(), value);
  return text;
}

TEST(Wgmma, EverySwizzle) {
  for (bool shared_a : {true, false}) {
    Emulator emulator("sm_90a");
    emulator.compile(source(shared_a));
    std::mt19937 generator(2);
    auto values = [&](size_t count) {
      std::vector<uint16_t> v(count);
      for (auto& x : v)
        x = static_cast<uint16_t>(
            emu::float_to_bf16(static_cast<float>(static_cast<int>(generator() % 255) - 127) / 32));
      return v;
    };
    auto a = values(64 * 16), b = values(16 * 16);
    auto da = emulator.buffer(a), db = emulator.buffer(b);
    for (int span : {128, 64, 32, 0}) {
      for (int accumulate : {1, 0}) {
        auto dd = emulator.empty<float>(64 * 16);
        Status status = emulator.run("k", 1, 128, 16384, da, db, dd, span, accumulate);
        ASSERT_TRUE(status.ok()) << status.error().message;
        auto d = emulator.read(dd);
        for (size_t row = 0; row < 64; ++row) {
          for (size_t column = 0; column < 16; ++column) {
            double sum = accumulate || !shared_a
                             ? static_cast<double>(column / 8 * 4 + row % 16 / 8 * 2 + column % 2 + 1)
                             : 0;
            for (size_t k = 0; k < 16; ++k)
              sum -= static_cast<double>(emu::bf16_to_float(a[row * 16 + k])) *
                     emu::bf16_to_float(b[column * 16 + k]);
            ASSERT_EQ(d[row * 16 + column], sum)
                << "span " << span << " row " << row << " column " << column;  // small integers: exact
          }
        }
      }
    }
  }
}

// 64 x 16 sums of 32 k of bytes, signed and not; the sums begin near the ends of the range.
TEST(Wgmma, Integers) {
  const char text[] = R"(
extern "C" __global__ void bytes(const unsigned char* a, const unsigned char* b, int* d, int span, int accumulate) {
  unsigned char *sa = raw, *sb = raw + 8192;
  int t = threadIdx.x;
  auto put_byte = [&](unsigned char* base, int row, int k, unsigned char value, int rows) {
    u32 offset = span ? row / 8 * 8 * span + row % 8 * span + k : k / 16 * rows * 16 + row * 16 + k % 16;
    if (span) offset ^= (offset >> 7 & (span / 16 - 1)) << 4;
    base[offset] = value;
  };
  for (int i = t; i < 64 * 32; i += 128) put_byte(sa, i / 32, i % 32, a[i], 64);
  for (int i = t; i < 16 * 32; i += 128) put_byte(sb, i / 32, i % 32, b[i], 16);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  int c[8];
  for (int i = 0; i < 8; ++i) c[i] = i % 2 ? 0x7fffff00 : (int)0x80000100;
  u64 da = descriptor(sa, span, 64), db = descriptor(sb, span, 16);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  if (SHARED) {
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %10, 0; wgmma.mma_async.sync.aligned.m64n16k32.s32.TYPES {%0,%1,%2,%3,%4,%5,%6,%7}, %8, %9, p; }"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3]), "+r"(c[4]), "+r"(c[5]), "+r"(c[6]), "+r"(c[7]) : "l"(da), "l"(db), "r"(accumulate));
  } else {
    int row = t / 32 * 16 + t % 32 / 4, k0 = t % 4 * 4;
    auto four = [&](int r, int k) { return *(const u32*)(a + r * 32 + k); };
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %13, 0; wgmma.mma_async.sync.aligned.m64n16k32.s32.TYPES {%0,%1,%2,%3,%4,%5,%6,%7}, {%8,%9,%10,%11}, %12, p; }"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3]), "+r"(c[4]), "+r"(c[5]), "+r"(c[6]), "+r"(c[7])
      : "r"(four(row, k0)), "r"(four(row + 8, k0)), "r"(four(row, k0 + 16)), "r"(four(row + 8, k0 + 16)), "l"(db), "r"(accumulate));
  }
  asm volatile("wgmma.commit_group.sync.aligned;\n wgmma.wait_group.sync.aligned 0;" ::: "memory");
  for (int i = 0; i < 8; ++i) d[(t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8) * 16 + i / 4 * 8 + t % 4 * 2 + i % 2] = c[i];
})";
  std::mt19937 generator(6);
  for (std::string types : {"s8.s8", "u8.u8", "s8.u8", "u8.s8", "s8.s8.satfinite", "u8.u8.satfinite"}) {
    for (bool shared_a : {true, false}) {
      std::string kernel = source(true) + text;
      for (size_t at; (at = kernel.find("TYPES")) != std::string::npos;) kernel.replace(at, 5, types);
      kernel.replace(kernel.find("SHARED)"), 6, shared_a ? "1" : "0");
      Emulator emulator("sm_90a");
      emulator.compile(kernel);
      std::vector<uint8_t> a(64 * 32), b(16 * 32);
      for (auto* v : {&a, &b}) {
        for (uint8_t& x : *v)
          x = static_cast<uint8_t>(generator() % 4 ? generator() : generator() % 2 ? 0x7f : 0x80);
      }
      auto da = emulator.buffer(a), db = emulator.buffer(b);
      for (int span : {128, 32, 0}) {
        for (int accumulate : {1, 0}) {
          auto dd = emulator.buffer(std::vector<int>(64 * 16, 0));
          Status status = emulator.run("bytes", 1, 128, 16384, da, db, dd, span, accumulate);
          ASSERT_TRUE(status.ok()) << types << status.error().message;
          auto d = emulator.read(dd);
          for (size_t row = 0; row < 64; ++row) {
            for (size_t column = 0; column < 16; ++column) {
              int64_t sum = !accumulate ? 0 : column % 2 ? 0x7fffff00 : INT32_MIN + 0x100;
              for (size_t k = 0; k < 32; ++k) {
                int x = a[row * 32 + k], y = b[column * 32 + k];
                if (types[0] == 's') x = static_cast<int8_t>(x);
                if (types[3] == 's') y = static_cast<int8_t>(y);
                sum += x * y;
              }
              if (types.size() > 5) sum = std::clamp<int64_t>(sum, INT32_MIN, INT32_MAX);
              ASSERT_EQ(d[row * 16 + column], static_cast<int>(static_cast<uint32_t>(sum)))
                  << types << " span " << span << " row " << row << " column " << column;
            }
          }
        }
      }
    }
  }
}

// Overwriting an operand before the wait is a race with the product; after the wait and a barrier it is not.
TEST(Wgmma, OperandsMustStayUntilTheWait) {
  auto run = [](const std::string& before, const std::string& after) {
    Emulator emulator("sm_90a");
    emulator.compile(source(true, before, after));
    auto a = emulator.buffer(std::vector<uint16_t>(64 * 16, 0x3f80)),
         b = emulator.buffer(std::vector<uint16_t>(16 * 16, 0x3f80));
    auto d = emulator.empty<float>(64 * 16);
    Status status = emulator.run("k", 1, 128, 16384, a, b, d, 128, 1);
    return status.ok() ? std::string() : status.error().message;
  };
  std::string overwrite = "if (t < 16) put(sb, t, 3, 0, span, 16);";
  EXPECT_EQ(run("", "__syncthreads();" + overwrite), "");
  EXPECT_THAT(run("", overwrite), HasSubstr("race"));
  EXPECT_THAT(run("__syncthreads();" + overwrite, ""),
              testing::AnyOf(HasSubstr("race"), HasSubstr("missing-proxy-fence")));
  // Ordered by barriers and made visible, and yet too early.
  EXPECT_THAT(run("__syncthreads();" + overwrite +
                      "asm volatile(\"fence.proxy.async;\" ::: \"memory\"); __syncthreads();",
                  ""),
              HasSubstr("changed before the product was waited for"));
}

TEST(Wgmma, UnwrittenOperand) {
  Emulator emulator("sm_90a");
  std::string text = source(true);
  text.replace(text.find("i < 16 * 16"), 11, "i < 15 * 16");
  emulator.compile(text);
  auto a = emulator.buffer(std::vector<uint16_t>(64 * 16, 0)),
       b = emulator.buffer(std::vector<uint16_t>(16 * 16, 0));
  auto d = emulator.empty<float>(64 * 16);
  Status status = emulator.run("k", 1, 128, 16384, a, b, d, 64, 1);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("nobody has written"));
}

}  // namespace
}  // namespace rtjit

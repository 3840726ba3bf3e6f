// Every header of templates/device on every target that has its instructions, against plain C++.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <filesystem>
#include <functional>
#include <set>

#include "emulator/emulator.h"
#include "templates/includes.h"
#include "templates/registry.h"

namespace rtjit {
namespace {

using Check = std::function<void(Emulator&)>;
struct Header {
  const char* name;
  const char* targets;  // as a manifest writes it
  std::string kernel;   // the body of k(float* out, const unsigned* in), 128 threads
  Check check;
};

float from_bf16(uint32_t bits) { return std::bit_cast<float>(bits << 16); }

std::vector<float> launch(Emulator& emulator, const std::vector<uint32_t>& in, size_t results,
                          uint32_t shared = 0) {
  auto to = emulator.empty<float>(results);
  auto from = emulator.buffer(in);
  Status status = emulator.run("k", 1, 128, shared, to, from);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return status.ok() ? emulator.read(to) : std::vector<float>(results);
}

std::vector<uint32_t> counting(size_t count) {
  std::vector<uint32_t> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<uint32_t>(i);
  return values;
}

// Codes of a float format by their definition; NaN where `code` is its NaN.
float small_float(uint32_t code, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int mantissa = static_cast<int>(code & ((1u << mantissa_bits) - 1));
  const int exponent = static_cast<int>(code >> mantissa_bits & ((1u << exponent_bits) - 1));
  const float sign = code >> (exponent_bits + mantissa_bits) & 1 ? -1.0f : 1.0f;
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits)
                               : std::ldexp(static_cast<float>(mantissa + (1 << mantissa_bits)),
                                            exponent - bias - mantissa_bits));
}

void expect_same(float got, float expected, size_t at) {
  if (std::isnan(expected))
    EXPECT_TRUE(std::isnan(got)) << at;
  else
    EXPECT_EQ(got, expected) << at;
}

// a[row][k] and b[column][k] of the matrix tests: small integers, so that sums are exact.
float a_value(int row, int k) { return static_cast<float>((row * 3 + k * 5) % 7 - 3); }
float b_value(int column, int k) { return static_cast<float>((column * 2 + k * 3) % 5 - 2); }
float product(int row, int column, int depth) {
  float sum = 0;
  for (int k = 0; k < depth; ++k) sum += a_value(row, k) * b_value(column, k);
  return sum;
}
const char kValues[] = R"(
  auto a_at = [](int row, int k) { return float((row * 3 + k * 5) % 7 - 3); };
  auto b_at = [](int column, int k) { return float((column * 2 + k * 3) % 5 - 2); };
  auto pair = [](float low, float high) { return u32(float_to_bf16(low)) | u32(float_to_bf16(high)) << 16; };
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
)";

std::vector<Header> headers() {
  const std::string values = kValues;
  return {
      {"types.cuh", "sm_75+",
       "for (int i = threadIdx.x; i < 4096; i += 128) out[i] = "
       "bf16_to_float(float_to_bf16(bits_float(in[i]))); static_assert(round_up(5, 4) == 8 && min_of(1, 2) "
       "== 1 && max_of(1, 2) == 2);",
       [](Emulator& emulator) {
         std::vector<uint32_t> in(4096);
         for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<uint32_t>(i * 0x100801 + i % 3 * 0x7fff);
         in[0] = 0x7f800000, in[1] = 0xff800000, in[2] = 0x7fc00001, in[3] = 0x7f7fffff, in[4] = 0x3f808000,
         in[5] = 0x3f818000, in[6] = 1;
         std::vector<float> out = launch(emulator, in, in.size());
         for (size_t i = 0; i < in.size(); ++i) {
           // Nearest, ties to even: half of the last place is added, one less when it is even.
           const uint32_t rounded = in[i] + 0x7fff + (in[i] >> 16 & 1);
           expect_same(out[i], std::isnan(std::bit_cast<float>(in[i])) ? NAN : from_bf16(rounded >> 16), i);
         }
       }},
      {"warp.cuh", "sm_75+",
       "__shared__ u32 scratch[32]; u32 total; const u32 before = block_exclusive_sum<u32>(in[threadIdx.x], "
       "scratch, &total); out[threadIdx.x] = float(before); out[128 + threadIdx.x] = float(total);",
       [](Emulator& emulator) {
         std::vector<float> out = launch(emulator, counting(128), 256);
         for (size_t i = 0; i < 128; ++i) {
           EXPECT_EQ(out[i], static_cast<float>(i * (i - 1) / 2)) << i;
           EXPECT_EQ(out[128 + i], 127.0f * 64) << i;
         }
       }},
      {"pdl.cuh", "sm_75+",
       "wait_for_predecessor(); out[threadIdx.x] = float(in[threadIdx.x]); let_successor_start();",
       [](Emulator& emulator) { EXPECT_EQ(launch(emulator, counting(128), 128)[77], 77.0f); }},
      {"fp8.cuh", "sm_80+", R"(
         for (int i = threadIdx.x; i < 256; i += 128) {
           out[i] = e4m3_to_float(in[i]);
           out[256 + i] = e8m0_to_float(in[i]);
           u32 low, high;
           widen_e4m3(in[i] | in[i] << 8 | in[255 - i] << 16 | in[255 - i] << 24, low, high);
           out[512 + i] = bf16_to_float(u16(low)), out[768 + i] = bf16_to_float(u16(high >> 16));
         })",
       [](Emulator& emulator) {
         std::vector<float> out = launch(emulator, counting(256), 1024);
         auto e4m3 = [](uint32_t code) { return (code & 0x7f) == 0x7f ? NAN : small_float(code, 4, 3); };
         for (uint32_t i = 0; i < 256; ++i) {
           expect_same(out[i], e4m3(i), i);
           expect_same(out[256 + i], i == 255 ? NAN : std::ldexp(1.0f, static_cast<int>(i) - 127), i);
           expect_same(out[512 + i], e4m3(i), i);
           expect_same(out[768 + i], e4m3(255 - i), i);
         }
       }},
      {"fp8.cuh", "sm_89+", values + R"(
         // 16 x 8 x 32 in e4m3, whose codes of 0 to 3 are 0x00 0x38 0x40 0x44.
         auto code = [](float x) { const float m = x < 0 ? -x : x; return (x < 0 ? 0x80u : 0u) | (m == 0 ? 0u : m == 1 ? 0x38u : m == 2 ? 0x40u : 0x44u); };
         auto four = [&](auto at, int index, int k) { return code(at(index, k)) | code(at(index, k + 1)) << 8 | code(at(index, k + 2)) << 16 | code(at(index, k + 3)) << 24; };
         u32 a[4];
         for (int i = 0; i < 4; ++i) a[i] = four(a_at, g + i % 2 * 8, 4 * t + i / 2 * 16);
         float sum[4] = {};
         mma_e4m3(sum, a, four(b_at, g, 4 * t), four(b_at, g, 4 * t + 16));
         if (threadIdx.x < 32) for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i] + 0 * in[0];)",
       [](Emulator& emulator) {
         std::vector<float> out = launch(emulator, {0}, 128);
         for (int i = 0; i < 128; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], product(i / 8, i % 8, 32)) << i;
       }},
      {"mxfp4.cuh", "sm_80+", R"(
         for (int i = threadIdx.x; i < 256; i += 128) {
           const u32 low = in[i] & 15, high = in[i] >> 4;
           u32 word = 0, pairs[4];
           for (int p = 0; p < 4; ++p) word |= place_e2m1(p % 2 ? high : low, p, 0) | place_e2m1(p % 2 ? low : high, p, 1);
           widen_e2m1(word, pairs);
           u32 factors[2];
           scale_factor_pairs<1>(0xfdfd00u, factors[0], factors[1]);  // both 2^126
           for (int p = 0; p < 4; ++p) {
             const u32 value = multiply_bf16x2(pairs[p], factors[p % 2]);
             out[i * 8 + p * 2] = bf16_to_float(u16(value)), out[i * 8 + p * 2 + 1] = bf16_to_float(u16(value >> 16));
           }
         }
         out[2048 + threadIdx.x] = row_factor(threadIdx.x == 127 ? kNanRow : threadIdx.x);)",
       [](Emulator& emulator) {
         std::vector<float> out = launch(emulator, counting(256), 2176);
         for (uint32_t i = 0; i < 256; ++i) {
           for (uint32_t p = 0; p < 8; ++p) {
             // Pairs 0 and 2 hold (low, high), 1 and 3 the other way round.
             const bool low = (p / 2 + p) % 2 == 0;
             EXPECT_EQ(out[i * 8 + p], small_float(low ? i & 15 : i >> 4, 2, 1)) << i << ' ' << p;
           }
         }
         for (uint32_t i = 0; i < 128; ++i)
           expect_same(out[2048 + i], i == 127 ? NAN : std::ldexp(1.0f, static_cast<int>(i)), i);
       }},
      {"matrix.cuh", "sm_80+", values + R"(
         __shared__ __align__(16) u16 rows[16][16];
         for (int i = threadIdx.x; i < 256; i += 128) rows[i / 16][i % 16] = float_to_bf16(a_at(i / 16, i % 16));
         __syncthreads();
         u32 a[4];
         load_matrix_x4(a, u32(__cvta_generic_to_shared(&rows[lane % 16][lane / 16 * 8])));
         float sum[4] = {};
         mma_bf16(sum, a, pair(b_at(g, 2 * t), b_at(g, 2 * t + 1)), pair(b_at(g, 2 * t + 8), b_at(g, 2 * t + 9)));
         const u32 turned = transpose_matrix(pair(float(g * 8 + 2 * t), float(g * 8 + 2 * t + 1)));
         if (threadIdx.x < 32) {
           for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i] + 0 * in[0];
           out[128 + 2 * lane] = bf16_to_float(u16(turned)), out[129 + 2 * lane] = bf16_to_float(u16(turned >> 16));
         })",
       [](Emulator& emulator) {
         std::vector<float> out = launch(emulator, {0}, 192);
         for (int i = 0; i < 128; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], product(i / 8, i % 8, 16)) << i;
         for (int i = 0; i < 64; ++i)
           EXPECT_EQ(out[static_cast<size_t>(128 + i)], static_cast<float>(i % 8 * 8 + i / 8)) << i;
       }},
      {"add_global.cuh", "sm_90+", R"(
         u16* sums = reinterpret_cast<u16*>(out);
         if (threadIdx.x < 8) out[threadIdx.x] = 0;
         __syncthreads();
         add_bf16x4_if(threadIdx.x % 2 == 0, sums + 4, 0x3f80u | 0x4000u << 16, 0x4040u | 0xbf80u << 16);  // 1 2 3 -1
         add_bf16x8(sums + 8, make_uint4(0x3f80u, 0, 0, 0x40000000u));  // 1 and 2 at the ends
         __syncthreads();
         if (threadIdx.x < 16) out[8 + threadIdx.x] = bf16_to_float(sums[threadIdx.x]) + 0 * in[0];)",
       [](Emulator& emulator) {
         const float expected[16] = {0, 0, 0, 0, 64, 128, 192, -64, 128, 0, 0, 0, 0, 0, 0, 256};
         std::vector<float> out = launch(emulator, {0}, 24);
         for (size_t i = 0; i < 16; ++i) EXPECT_EQ(out[8 + i], expected[i]) << i;
       }},
      {"async_copy.cuh", "sm_80+", R"(
         __shared__ __align__(16) u32 s[2][512];
         const bool take = threadIdx.x % 3 != 0;
         for (int i = 0; i < 2; ++i) {
           copy_async_16(shared_address(&s[i][threadIdx.x * 4]), in + i * 512 + threadIdx.x * 4, take);
           copy_async_commit();
         }
         copy_async_wait<1>();
         for (int j = 0; j < 4; ++j) out[threadIdx.x * 4 + j] = float(s[0][threadIdx.x * 4 + j]);
         copy_async_wait<0>();
         __syncthreads();
         for (int j = 0; j < 4; ++j) out[512 + threadIdx.x * 4 + j] = float(s[1][(threadIdx.x ^ 1) * 4 + j]);)",
       [](Emulator& emulator) {
         std::vector<float> out = launch(emulator, counting(1024), 1024);
         for (size_t i = 0; i < 512; ++i) {
           const size_t other = (i / 4 ^ 1) * 4 + i % 4;
           EXPECT_EQ(out[i], i / 4 % 3 ? static_cast<float>(i) : 0.0f) << i;
           EXPECT_EQ(out[512 + i], other / 4 % 3 ? static_cast<float>(512 + other) : 0.0f) << i;
         }
       }},
      // Two warps hand a buffer over and back.
      {"mbarrier.cuh", "sm_90+", R"(
         __shared__ __align__(16) u32 s[128];
         __shared__ u64 full, empty;
         if (threadIdx.x == 0) barrier_init(&full, 32), barrier_init(&empty, 32);
         __syncthreads();
         const int lane = threadIdx.x % 32;
         for (int i = 0; i < 4; ++i) {
           if (threadIdx.x < 32) {
             barrier_wait(&empty, (i & 1) ^ 1);
             copy_async_16(shared_address(s + lane * 4), in + i * 128 + lane * 4, true);
             barrier_arrive_after_copies(&full);
           } else if (threadIdx.x < 64) {
             barrier_wait(&full, i & 1);
             for (int j = lane; j < 128; j += 32) out[i * 128 + j] = float(s[127 - j]);
             barrier_arrive(&empty);
           }
         })",
       [](Emulator& emulator) {
         std::vector<float> out = launch(emulator, counting(512), 512);
         for (size_t i = 0; i < 512; ++i)
           EXPECT_EQ(out[i], static_cast<float>(i / 128 * 128 + 127 - i % 128)) << i;
       }},
      {"mbarrier.cuh", "sm_90a",
       "give_registers<40>(); take_registers<232>(); out[threadIdx.x] = float(in[threadIdx.x]);",
       [](Emulator& emulator) { EXPECT_EQ(launch(emulator, counting(128), 128)[99], 99.0f); }},
      {"wgmma.cuh", "sm_90a", values + R"(
         extern __shared__ __align__(1024) u16 rows[];
         for (int i = threadIdx.x; i < 256 * 32; i += 128) rows[i / 32 * 64 + ((i % 32 / 8) ^ (i / 32 % 8)) * 8 + i % 8] = float_to_bf16(b_at(i / 32, i % 32));
         asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
         __syncthreads();
         const int row = threadIdx.x / 32 * 16 + g;
         u32 a[2][4];
         for (int i = 0; i < 8; ++i) a[i / 4][i % 4] = pair(a_at(row + i % 2 * 8, 2 * t + i / 2 * 8), a_at(row + i % 2 * 8, 2 * t + i / 2 * 8 + 1));
         const u32 address = u32(__cvta_generic_to_shared(rows));
         int start = 0;
         auto run = [&](auto columns) {
           constexpr int kN = decltype(columns)::value;
           float sum[kN / 2] = {};
           wgmma_fence();
           Wgmma<kN>::multiply(sum, a, swizzled_128_descriptor(address), swizzled_128_descriptor(address + 32));
           wgmma_commit();
           wgmma_wait<0>();
           for (int i = 0; i < kN / 2; ++i) out[start + (row + i / 2 % 2 * 8) * kN + i / 4 * 8 + 2 * t + i % 2] = sum[i] + 0 * in[0];
           start += 64 * kN;
         };
         run(N<8>()), run(N<16>()), run(N<24>()), run(N<32>()), run(N<40>()), run(N<48>()), run(N<56>()), run(N<64>()), run(N<80>()), run(N<96>()),
             run(N<112>()), run(N<128>()), run(N<144>()), run(N<160>()), run(N<176>()), run(N<192>()), run(N<256>());)",
       [](Emulator& emulator) {
         const std::vector<int> columns = {8,  16,  24,  32,  40,  48,  56,  64, 80,
                                           96, 112, 128, 144, 160, 176, 192, 256};
         size_t results = 0;
         for (int n : columns) results += static_cast<size_t>(64 * n);
         std::vector<float> out = launch(emulator, {0}, results, 256 * 128);
         size_t at = 0;
         for (int n : columns) {
           for (int i = 0; i < 64 * n; ++i)
             ASSERT_EQ(out[at++], product(i / n, i % n, 32)) << n << " columns, " << i;
         }
       }},
  };
}

std::string source_of(const Header& header) {
  return std::string("#include \"device/") + header.name +
         "\"\nusing namespace rtjit::device;\ntemplate <int kValue> struct N { static constexpr int value = "
         "kValue; };\n"
         "extern \"C\" __global__ void k(float* out, const unsigned* in) {" +
         header.kernel + "}\n";
}

TEST(DeviceHeaders, EachIsRightOnEveryTargetThatHasIt) {
  for (const Header& header : headers()) {
    SCOPED_TRACE(std::string(header.name) + ", " + header.targets);
    int ran = 0;
    for (const Target& target : Target::all()) {
      auto matches = target.matches(header.targets);
      ASSERT_TRUE(matches.ok()) << matches.error().message;
      if (!*matches) continue;
      SCOPED_TRACE(target.name());
      Emulator emulator(target.name());
      emulator.compile(source_of(header), {"-I" RTJIT_SOURCE_DIR "/templates"});
      ASSERT_TRUE(emulator.status().ok()) << emulator.status().error().message;
      header.check(emulator);
      ++ran;
    }
    EXPECT_GT(ran, 0);
  }
}

// Rows of a matrix through a tensor map, which the kernel above cannot take.
TEST(DeviceHeaders, ScatterOfFourRows) {
  for (const Target& target : Target::all()) {
    if (!*target.matches("sm_100a sm_100f sm_103a sm_103f sm_110a sm_110f")) continue;
    SCOPED_TRACE(target.name());
    Emulator emulator(target.name());
    emulator.compile(R"(#include "device/tensor_map.cuh"
      using namespace rtjit::device;
      extern "C" __global__ void k(const __grid_constant__ TensorMap map) {
        __shared__ __align__(128) int s[4 * 16];
        for (int i = threadIdx.x; i < 64; i += 32) s[i] = i;
        fence_async_shared();
        __syncwarp();
        const int rows[4] = {6, 1, 9, 3};  // there is no row 9
        if (threadIdx.x == 0) store_scatter4(map, shared_address(s), 16, rows), bulk_commit(), bulk_wait_read();
      })",
                     {"-I" RTJIT_SOURCE_DIR "/templates"});
    auto matrix = emulator.buffer(std::vector<int>(8 * 32, -1));
    TensorMapRequest request;
    request.base = matrix.address;
    request.dtype = DType::i32;
    request.rank = 2;
    request.dims = {32, 8};
    request.strides = {128};
    request.box = {16, 1};
    TensorMapBytes map;
    ASSERT_TRUE(emulator.device().encode_tensor_map(request, &map).ok());
    Status status = emulator.run("k", 1, 32, 0, map);
    ASSERT_TRUE(status.ok()) << status.error().message;
    std::vector<int> out = emulator.read(matrix);
    for (int row = 0; row < 8; ++row) {
      for (int column = 0; column < 32; ++column) {
        const int source = row == 6 ? 0 : row == 1 ? 1 : row == 3 ? 3 : -1;
        EXPECT_EQ(out[static_cast<size_t>(row * 32 + column)],
                  source < 0 || column < 16 ? -1 : source * 16 + column - 16);
      }
    }
  }
}

// What is not tested here belongs to a template whose variants every_target_test.cc runs.
TEST(DeviceHeaders, NoneIsLeftOut) {
  std::set<std::string> run = {"device/tensor_map.cuh"}, present;
  for (const Header& header : headers()) run.insert(std::string("device/") + header.name);
  auto registry = TemplateRegistry::create();
  ASSERT_TRUE(registry.ok());
  for (const std::string& name : (*registry)->names()) {
    auto tmpl = (*registry)->find(name);
    ASSERT_TRUE(tmpl.ok());
    std::vector<std::string> roots;
    for (const Stage& stage : (*tmpl)->stages) {
      for (const Variant& variant : stage.variants) roots.push_back(variant.source);
    }
    auto sources = reachable_sources((*tmpl)->sources, roots);
    ASSERT_TRUE(sources.ok()) << sources.error().message;
    run.insert(sources->begin(), sources->end());
  }
  for (const auto& file : std::filesystem::directory_iterator(RTJIT_SOURCE_DIR "/templates/device"))
    present.insert("device/" + file.path().filename().string());
  EXPECT_FALSE(present.empty());
  for (const std::string& header : present) EXPECT_TRUE(run.contains(header)) << header << " runs nowhere";
}

}  // namespace
}  // namespace rtjit

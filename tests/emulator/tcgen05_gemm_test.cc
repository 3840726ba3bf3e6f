// Whole matrix products on tcgen05, written in CUDA as a kernel for sm_100a would be, against sums in double.
#include <gtest/gtest.h>

#include <cmath>
#include <ctime>
#include <random>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

const char kPrelude[] = R"(
using u8 = unsigned char; using u16 = unsigned short; using u32 = unsigned; using u64 = unsigned long long;
extern __shared__ __align__(1024) u8 raw[];
__shared__ __align__(8) u64 full[2], done[2];
__shared__ u32 slot;
__device__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ u64 swizzled(const void* p) {  // rows of 128 bytes, 128-byte swizzled
  return (u64)2 << 61 | (u64)1 << 46 | (u64)64 << 32 | (u64)1 << 16 | (at(p) & 0x3ffff) >> 4;
}
__device__ u64 plain(const void* p) {  // rows of 16 bytes, one after the other
  return (u64)1 << 46 | (u64)8 << 32 | (u64)1 << 16 | (at(p) & 0x3ffff) >> 4;
}
__device__ void init(u64* b, u32 n) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at(b)), "r"(n) : "memory"); }
__device__ void wait(u64* b, u32 parity) {
  asm volatile("{ .reg .pred p; L: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @!p bra L; }" ::"r"(at(b)), "r"(parity) : "memory");
}
__device__ void commit(u64* b) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(at(b)) : "memory");
}
__device__ void fence_before() { asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory"); }
__device__ void fence_after() { asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory"); }
__device__ u32 alloc(u32 columns) {  // by all threads; the first warp allocates
  if (threadIdx.x < 32) {
    asm volatile("tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(at(&slot)), "r"(columns) : "memory");
    asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::: "memory");
  }
  fence_before();
  __syncthreads();
  fence_after();
  return slot;
}
__device__ void dealloc(u32 a, u32 columns) {
  fence_before();
  __syncthreads();
  if (threadIdx.x < 32) asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(a), "r"(columns) : "memory");
}
__device__ void load8(u32 a, float* x) {
  asm volatile("tcgen05.ld.sync.aligned.32x32b.x8.b32 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8];"
    : "=f"(x[0]), "=f"(x[1]), "=f"(x[2]), "=f"(x[3]), "=f"(x[4]), "=f"(x[5]), "=f"(x[6]), "=f"(x[7]) : "r"(a) : "memory");
  asm volatile("tcgen05.wait::ld.sync.aligned;" ::: "memory");
}
// A row of 128 bytes from global memory into a swizzled tile, 16 bytes at a time, and the arrival behind them.
__device__ void copy_tile(u8* tile, const u8* from, u64 pitch, int rows) {
  for (int i = threadIdx.x; i < rows * 8; i += blockDim.x) {
    int row = i / 8, piece = i % 8;
    *(uint4*)(tile + row * 128 + (piece ^ row % 8) * 16) = *(const uint4*)(from + row * pitch + piece * 16);
  }
}
__device__ void store(u32 base, float* d, int n_total, int columns) {
  u32 w = threadIdx.x / 32;
  float* row = d + (u64)threadIdx.x * n_total;
  for (int c = 0; c < columns; c += 8) {
    float x[8];
    load8(base + (w << 21) + c, x);
    for (int i = 0; i < 8; ++i) row[c + i] = x[i];
  }
}
)";

// Tiles of 128 x 128, 64 of k, in two stages; every thread copies, the first one multiplies.
const char kHalfKernel[] = R"(
extern "C" __global__ void gemm(const u16* a, const u16* b, float* d, int n, int k) {
  int m0 = blockIdx.y * 128, n0 = blockIdx.x * 128, steps = k / 64;
  if (threadIdx.x == 0) for (int s = 0; s < 2; ++s) init(&full[s], 128), init(&done[s], 1);
  __syncwarp();
  u32 base = alloc(128);
  for (int i = 0; i < steps; ++i) {
    int s = i % 2;
    u8* tile = raw + s * 32768;
    if (i >= 2) wait(&done[s], (i / 2 - 1) & 1);
    copy_tile(tile, (const u8*)(a + (u64)m0 * k + i * 64), k * 2, 128);
    copy_tile(tile + 16384, (const u8*)(b + (u64)n0 * k + i * 64), k * 2, 128);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    asm volatile("{ .reg .b64 x; mbarrier.arrive.shared::cta.b64 x, [%0]; }" ::"r"(at(&full[s])) : "memory");
    if (threadIdx.x == 0) {
      wait(&full[s], i / 2 & 1);
      fence_after();
      for (int j = 0; j < 4; ++j) {
        u32 id = 1u << 4 | 1u << 7 | 1u << 10 | 16u << 17 | 8u << 24;
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %4, 0; tcgen05.mma.cta_group::1.kind::f16 [%0], %1, %2, %3, p; }"
          ::"r"(base), "l"(swizzled(tile + j * 32)), "l"(swizzled(tile + 16384 + j * 32)), "r"(id), "r"(i + j) : "memory");
      }
      commit(&done[s]);
    }
    __syncwarp();
  }
  wait(&done[(steps - 1) % 2], (steps - 1) / 2 & 1);
  fence_after();
  store(base, d + (u64)m0 * n + n0, n, 128);
  dealloc(base, 128);
}
)";

// e4m3 with a power of two per 32 elements. Scales come in tiles of 128 rows x 4 as the tensor core takes
// them.
const char kScaledKernel[] = R"(
extern "C" __global__ void gemm(const u8* a, const u8* b, const u8* sa, const u8* sb, float* d, int n, int k) {
  int m0 = blockIdx.y * 128, n0 = blockIdx.x * 64, steps = k / 128;
  if (threadIdx.x == 0) init(&done[0], 1);
  __syncwarp();
  u32 base = alloc(128), scales_a = base + 64, scales_b = base + 68;
  u8 *ta = raw, *tb = raw + 16384, *fa = raw + 24576, *fb = fa + 512;
  for (int i = 0; i < steps; ++i) {
    if (i) wait(&done[0], (i - 1) & 1);
    copy_tile(ta, a + (u64)m0 * k + i * 128, k, 128);
    copy_tile(tb, b + (u64)n0 * k + i * 128, k, 64);
    for (int x = threadIdx.x; x < 512; x += 128) {  // row r: 16 bytes apart by r % 32, 4 by r / 32
      int row = x / 16 + x % 16 / 4 * 32;
      fa[x] = sa[(m0 + row) * (k / 32) + i * 4 + x % 4];
      fb[x] = row < 64 ? sb[(n0 + row) * (k / 32) + i * 4 + x % 4] : 127;
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (threadIdx.x == 0) {
      fence_after();
      asm volatile("tcgen05.cp.cta_group::1.32x128b.warpx4 [%0], %1;" ::"r"(scales_a), "l"(plain(fa)) : "memory");
      asm volatile("tcgen05.cp.cta_group::1.32x128b.warpx4 [%0], %1;" ::"r"(scales_b), "l"(plain(fb)) : "memory");
      for (u32 j = 0; j < 4; ++j) {
        u32 id = j << 4 | 8u << 17 | 1u << 23 | 8u << 24 | j << 29;
        asm volatile("{ .reg .pred p; setp.ne.u32 p, %6, 0; tcgen05.mma.cta_group::1.kind::mxf8f6f4.block_scale.scale_vec::1X "
                     "[%0], %1, %2, %3, [%4], [%5], p; }"
          ::"r"(base), "l"(swizzled(ta + j * 32)), "l"(swizzled(tb + j * 32)), "r"(id), "r"(scales_a), "r"(scales_b),
            "r"(i + j) : "memory");
      }
      commit(&done[0]);
    }
    __syncwarp();
  }
  wait(&done[0], (steps - 1) & 1);
  fence_after();
  store(base, d + (u64)m0 * n + n0, n, 64);
  dealloc(base, 128);
}
)";

TEST(Tcgen05Gemm, Bf16InTwoStages) {
  constexpr size_t kM = 256, kN = 256, kK = 320;
  std::mt19937 generator(3);
  std::normal_distribution<float> normal;
  auto values = [&](size_t count) {
    std::vector<uint16_t> v(count);
    for (uint16_t& x : v) x = static_cast<uint16_t>(emu::float_to_bf16(normal(generator)));
    return v;
  };
  std::vector<uint16_t> a = values(kM * kK), b = values(kN * kK);
  Emulator emulator("sm_100a");
  emulator.compile(std::string(kPrelude) + kHalfKernel);
  auto da = emulator.buffer(a), db = emulator.buffer(b);
  auto dd = emulator.empty<float>(kM * kN);
  Status status = emulator.run("gemm", Emulator::Dim(2, 2), 128, 65536, da, db, dd, int(kN), int(kK));
  ASSERT_TRUE(status.ok()) << status.error().message;
  std::vector<float> d = emulator.read(dd);
  for (size_t m = 0; m < kM; ++m) {
    for (size_t n = 0; n < kN; ++n) {
      double sum = 0, magnitude = 0;
      for (size_t k = 0; k < kK; ++k) {
        double product = double(emu::bf16_to_float(a[m * kK + k])) * emu::bf16_to_float(b[n * kK + k]);
        sum += product, magnitude += std::fabs(product);
      }
      ASSERT_NEAR(d[m * kN + n], sum, kK * magnitude * 0x1p-24) << m << " " << n;
    }
  }
}

TEST(Tcgen05Gemm, BlockScaledE4m3) {
  constexpr size_t kM = 128, kN = 128, kK = 384;
  std::mt19937 generator(4);
  auto bytes = [&](size_t count, auto make) {
    std::vector<uint8_t> v(count);
    for (uint8_t& x : v) x = static_cast<uint8_t>(make());
    return v;
  };
  auto element = [&] { return (generator() % 112) | (generator() % 2) << 7; };
  auto scale = [&] { return 120 + generator() % 14; };
  std::vector<uint8_t> a = bytes(kM * kK, element), b = bytes(kN * kK, element),
                       sa = bytes(kM * kK / 32, scale), sb = bytes(kN * kK / 32, scale);
  Emulator emulator("sm_100a");
  emulator.compile(std::string(kPrelude) + kScaledKernel);
  auto da = emulator.buffer(a), db = emulator.buffer(b), dsa = emulator.buffer(sa), dsb = emulator.buffer(sb);
  auto dd = emulator.empty<float>(kM * kN);
  Status status =
      emulator.run("gemm", Emulator::Dim(2, 1), 128, 25600, da, db, dsa, dsb, dd, int(kN), int(kK));
  ASSERT_TRUE(status.ok()) << status.error().message;
  std::vector<float> d = emulator.read(dd);
  auto number = [](uint8_t x) {
    int exponent = x >> 3 & 15, mantissa = x & 7;
    double magnitude = exponent ? std::ldexp(8 + mantissa, exponent - 10) : std::ldexp(mantissa, -9);
    return x & 0x80 ? -magnitude : magnitude;
  };
  for (size_t m = 0; m < kM; ++m) {
    for (size_t n = 0; n < kN; ++n) {
      double sum = 0, magnitude = 0;
      for (size_t k = 0; k < kK; ++k) {
        double product = number(a[m * kK + k]) * number(b[n * kK + k]) *
                         std::ldexp(1.0, sa[m * (kK / 32) + k / 32] + sb[n * (kK / 32) + k / 32] - 254);
        sum += product, magnitude += std::fabs(product);
      }
      ASSERT_NEAR(d[m * kN + n], sum, kK * magnitude * 0x1p-24) << m << " " << n;
    }
  }
}

TEST(Tcgen05Gemm, TargetsOfTheFamily) {
  for (const char* target : {"sm_100f", "sm_103a", "sm_110a"}) {
    Emulator emulator(target);
    emulator.compile(std::string(kPrelude) + kHalfKernel);
    auto a = emulator.buffer(std::vector<uint16_t>(128 * 64, 0x3f80)),
         b = emulator.buffer(std::vector<uint16_t>(128 * 64, 0x4000));
    auto d = emulator.empty<float>(128 * 128);
    Status status = emulator.run("gemm", 1, 128, 65536, a, b, d, 128, 64);
    ASSERT_TRUE(status.ok()) << target << ": " << status.error().message;
    EXPECT_EQ(emulator.read(d), std::vector<float>(128 * 128, 128.0f)) << target;
  }
}

// A tile of 128 x 128, 64 of k, takes a few milliseconds; the limit leaves room for slow machines and
// sanitizers.
TEST(Tcgen05Gemm, TimeOfATile) {
  constexpr size_t kM = 128, kN = 128, kSteps = 32, kK = kSteps * 64;
  Emulator emulator("sm_100a");
  emulator.compile(std::string(kPrelude) + kHalfKernel);
  auto a = emulator.buffer(std::vector<uint16_t>(kM * kK, 0x3f80)),
       b = emulator.buffer(std::vector<uint16_t>(kN * kK, 0x3f80));
  auto d = emulator.empty<float>(kM * kN);
  std::clock_t start = std::clock();
  Status status = emulator.run("gemm", 1, 128, 65536, a, b, d, int(kN), int(kK));
  double milliseconds = 1000.0 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / kSteps;
  ASSERT_TRUE(status.ok()) << status.error().message;
  RecordProperty("milliseconds_per_tile", std::to_string(milliseconds));
  EXPECT_LT(milliseconds, 50);
  EXPECT_EQ(emulator.read(d)[77], kK);
}

}  // namespace
}  // namespace rtjit

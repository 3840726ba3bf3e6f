// CUDA programs of different kinds, compiled by NVRTC and run on the emulator.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

std::vector<float> random_floats(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> distribution(-1, 1);
  std::vector<float> values(count);
  for (float& v : values) v = distribution(generator);
  return values;
}

#define EXPECT_OK(expression)                                                                              \
  do {                                                                                                     \
    Status expect_ok_status = (expression);                                                                \
    EXPECT_TRUE(expect_ok_status.ok()) << (expect_ok_status.ok() ? "" : expect_ok_status.error().message); \
  } while (0)

TEST(Programs, VectorAddition) {
  Emulator emulator("sm_90a");
  emulator.compile(R"(extern "C" __global__ void add(const float* a, const float* b, float* c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
  })");
  auto x = random_floats(1000, 1), y = random_floats(1000, 2);
  auto a = emulator.buffer(x), b = emulator.buffer(y), c = emulator.empty<float>(1000);
  EXPECT_OK(emulator.run("add", 8, 128, 0, a, b, c, 1000));
  auto z = emulator.read(c);
  for (size_t i = 0; i < 1000; ++i) ASSERT_EQ(z[i], x[i] + y[i]) << i;
}

// Policies change when data leaves a cache and nothing that a program can see.
TEST(Programs, CachePolicies) {
  Emulator emulator("sm_90a");
  emulator.compile(R"(extern "C" __global__ void k(const float* in, float* out) {
    unsigned long long first, range, last;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(first));
    asm("createpolicy.fractional.L2::evict_last.L2::evict_unchanged.b64 %0;" : "=l"(last));
    asm("createpolicy.range.global.L2::evict_last.L2::evict_first.b64 %0, [%1], 256, 512;" : "=l"(range) : "l"(in));
    float x, y;
    asm volatile("ld.global.L1::no_allocate.L2::cache_hint.f32 %0, [%1], %2;" : "=f"(x) : "l"(in + threadIdx.x), "l"(first));
    asm volatile("ld.global.nc.L2::cache_hint.f32 %0, [%1], %2;" : "=f"(y) : "l"(in + threadIdx.x), "l"(range));
    asm volatile("st.global.L2::cache_hint.f32 [%0], %1, %2;" ::"l"(out + threadIdx.x), "f"(x + y), "l"(last) : "memory");
  })");
  auto x = random_floats(64, 3);
  auto in = emulator.buffer(x), out = emulator.empty<float>(64);
  EXPECT_OK(emulator.run("k", 1, 64, 0, in, out));
  auto y = emulator.read(out);
  for (size_t i = 0; i < 64; ++i) ASSERT_EQ(y[i], 2 * x[i]) << i;
}

TEST(Programs, ReductionWithShuffles) {
  Emulator emulator("sm_80");
  emulator.compile(R"(extern "C" __global__ void sum(const int* in, int* out, int n) {
    __shared__ int partial[32];
    int total = 0;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) total += in[i];
    for (int d = 16; d; d /= 2) total += __shfl_down_sync(0xffffffffu, total, d);
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = total;
    __syncthreads();
    if (threadIdx.x < 32) {
      total = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : 0;
      total = __reduce_add_sync(0xffffffffu, total);
      if (threadIdx.x == 0) atomicAdd(out, total);
    }
  })");
  std::vector<int> x(12345);
  std::iota(x.begin(), x.end(), -3000);
  auto in = emulator.buffer(x);
  auto out = emulator.buffer<int>({0});
  EXPECT_OK(emulator.run("sum", 5, 256, 0, in, out, 12345));
  EXPECT_EQ(emulator.read(out)[0], std::accumulate(x.begin(), x.end(), 0));
}

TEST(Programs, InclusiveScan) {
  Emulator emulator("sm_120a");
  emulator.compile(R"(extern "C" __global__ void scan(const int* in, int* out) {
    extern __shared__ int s[];
    int i = threadIdx.x, n = blockDim.x;
    s[i] = in[i];
    __syncthreads();
    for (int d = 1; d < n; d *= 2) {
      int v = i >= d ? s[i - d] : 0;
      __syncthreads();
      s[i] += v;
      __syncthreads();
    }
    out[i] = s[i];
  })");
  std::vector<int> x(512), expected(512);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * 7 % 31) - 9;
  std::partial_sum(x.begin(), x.end(), expected.begin());
  auto in = emulator.buffer(x);
  auto out = emulator.empty<int>(512);
  EXPECT_OK(emulator.run("scan", 1, 512, 2048, in, out));
  EXPECT_EQ(emulator.read(out), expected);
}

TEST(Programs, TransposeThroughSharedMemory) {
  Emulator emulator("sm_89");
  emulator.compile(R"(extern "C" __global__ void transpose(const double* in, double* out, int w, int h) {
    __shared__ double tile[32][33];
    int x = blockIdx.x * 32 + threadIdx.x, y0 = blockIdx.y * 32;
    for (int r = threadIdx.y; r < 32; r += blockDim.y)
      if (x < w && y0 + r < h) tile[r][threadIdx.x] = in[(y0 + r) * w + x];
    __syncthreads();
    int ox = y0 + threadIdx.x;
    for (int r = threadIdx.y; r < 32; r += blockDim.y)
      if (ox < h && blockIdx.x * 32 + r < w) out[(blockIdx.x * 32 + r) * h + ox] = tile[threadIdx.x][r];
  })");
  int w = 70, h = 45;
  std::vector<double> x(static_cast<size_t>(w * h));
  std::iota(x.begin(), x.end(), 0.5);
  auto in = emulator.buffer(x);
  auto out = emulator.empty<double>(x.size());
  EXPECT_OK(emulator.run("transpose", {3, 2}, {32, 8}, 0, in, out, w, h));
  auto y = emulator.read(out);
  for (int r = 0; r < h; ++r)
    for (int c = 0; c < w; ++c)
      ASSERT_EQ(y[static_cast<size_t>(c * h + r)], x[static_cast<size_t>(r * w + c)]);
}

TEST(Programs, HistogramWithSharedAndGlobalAtomics) {
  Emulator emulator("sm_90a");
  emulator.compile(R"(extern "C" __global__ void histogram(const unsigned char* in, unsigned* out, int n) {
    __shared__ unsigned bins[256];
    for (int i = threadIdx.x; i < 256; i += blockDim.x) bins[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&bins[in[i]], 1u);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x) if (bins[i]) atomicAdd(&out[i], bins[i]);
  })");
  std::mt19937 generator(3);
  std::vector<unsigned char> x(9999);
  std::vector<unsigned> expected(256, 0);
  for (auto& v : x) v = static_cast<unsigned char>(generator() % 200 + generator() % 50), ++expected[v];
  auto in = emulator.buffer(x);
  auto out = emulator.buffer(std::vector<unsigned>(256, 0));
  EXPECT_OK(emulator.run("histogram", 6, 192, 0, in, out, 9999));
  EXPECT_EQ(emulator.read(out), expected);
}

TEST(Programs, Softmax) {
  Emulator emulator("sm_121a");
  emulator.compile(R"(extern "C" __global__ void softmax(const float* in, float* out, int n) {
    __shared__ float box[8];
    const float* row = in + blockIdx.x * n;
    auto reduce = [&](float v, bool max) {
      for (int d = 16; d; d /= 2) { float o = __shfl_xor_sync(~0u, v, d); v = max ? fmaxf(v, o) : v + o; }
      if (threadIdx.x % 32 == 0) box[threadIdx.x / 32] = v;
      __syncthreads();
      v = box[0];
      for (int i = 1; i < blockDim.x / 32; ++i) v = max ? fmaxf(v, box[i]) : v + box[i];
      __syncthreads();
      return v;
    };
    float m = -INFINITY, s = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) m = fmaxf(m, row[i]);
    m = reduce(m, true);
    for (int i = threadIdx.x; i < n; i += blockDim.x) s += __expf(row[i] - m);
    s = reduce(s, false);
    for (int i = threadIdx.x; i < n; i += blockDim.x) out[blockIdx.x * n + i] = __expf(row[i] - m) / s;
  })",
                   {"-DINFINITY=__int_as_float(0x7f800000)"});
  size_t n = 300, rows = 4;
  auto x = random_floats(n * rows, 5);
  auto in = emulator.buffer(x);
  auto out = emulator.empty<float>(n * rows);
  EXPECT_OK(emulator.run("softmax", static_cast<int>(rows), 128, 0, in, out, static_cast<int>(n)));
  auto y = emulator.read(out);
  for (size_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x[r * n + i]));
    for (size_t i = 0; i < n; ++i)
      ASSERT_NEAR(y[r * n + i], std::exp(static_cast<double>(x[r * n + i])) / sum, 1e-8);
  }
}

// Lanes that leave loops and functions at different times, a switch, and nested branches.
TEST(Programs, DivergentControlFlow) {
  Emulator emulator("sm_90a");
  emulator.compile(R"(__device__ __noinline__ int collatz(int n) {
    int steps = 0;
    while (n != 1) { n = n % 2 ? 3 * n + 1 : n / 2; if (++steps > 500) return -1; }
    return steps;
  }
  extern "C" __global__ void flow(const int* in, int* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    int v = in[i], r;
    switch (v % 7) {
      case 0: r = v; break;
      case 1: r = collatz(v); break;
      case 2: r = v / 3; for (int k = 0; k < v % 5; ++k) { if (k == 3) continue; r += k; } break;
      case 3: if (v & 8) { r = -v; break; } r = 5; break;
      case 4: r = __popc(v); break;
      case 5: r = collatz(v + 1) + collatz(v); break;
      default: r = 99;
    }
    out[i] = r;
  })");
  auto collatz = [](int n) {
    int steps = 0;
    while (n != 1) {
      n = n % 2 ? 3 * n + 1 : n / 2;
      if (++steps > 500) return -1;
    }
    return steps;
  };
  std::vector<int> x(333), expected;
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<int>(i * 37 % 1009) + 1;
  for (int v : x) {
    int r = 99;
    if (v % 7 == 0) r = v;
    if (v % 7 == 1) r = collatz(v);
    if (v % 7 == 2) {
      r = v / 3;
      for (int k = 0; k < v % 5; ++k) r += k == 3 ? 0 : k;
    }
    if (v % 7 == 3) r = v & 8 ? -v : 5;
    if (v % 7 == 4) r = __builtin_popcount(static_cast<unsigned>(v));
    if (v % 7 == 5) r = collatz(v + 1) + collatz(v);
    expected.push_back(r);
  }
  auto in = emulator.buffer(x);
  auto out = emulator.empty<int>(x.size());
  EXPECT_OK(emulator.run("flow", 3, 128, 0, in, out, 333));
  EXPECT_EQ(emulator.read(out), expected);
}

// A tiled GEMM with mma.sync, ldmatrix and a two-stage cp.async pipeline.
TEST(Programs, GemmWithMmaAndAsyncCopies) {
  Emulator emulator("sm_80");
  emulator.compile(R"(
  __device__ unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
  // C[64,64] = A[64,K] * B[64,K]^T, bf16 in, f32 out; 4 warps of 16 rows each.
  extern "C" __global__ void gemm(const unsigned short* a, const unsigned short* b, float* c, int K) {
    __shared__ __align__(16) unsigned short sa[2][64][40], sb[2][64][40];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    auto load = [&](int stage, int k0) {
      for (int i = threadIdx.x; i < 64 * 4; i += 128) {
        int r = i / 4, v = i % 4 * 8;
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(&sa[stage][r][v])), "l"(a + r * K + k0 + v));
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(&sb[stage][r][v])), "l"(b + r * K + k0 + v));
      }
      asm volatile("cp.async.commit_group;");
    };
    float acc[8][4] = {};
    load(0, 0);
    for (int t = 0; t < K / 32; ++t) {
      if (t + 1 < K / 32) load((t + 1) & 1, (t + 1) * 32); else asm volatile("cp.async.commit_group;");
      asm volatile("cp.async.wait_group 1;");
      __syncthreads();
      for (int k = 0; k < 32; k += 16) {
        unsigned fa[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(fa[0]), "=r"(fa[1]), "=r"(fa[2]), "=r"(fa[3])
                     : "r"(shared_address(&sa[t & 1][warp * 16 + lane % 16][k + lane / 16 * 8])));
        for (int n = 0; n < 8; ++n) {
          unsigned fb[2];
          asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];" : "=r"(fb[0]), "=r"(fb[1])
                       : "r"(shared_address(&sb[t & 1][n * 8 + lane % 8][k + lane / 8 % 2 * 8])));
          asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                       : "+f"(acc[n][0]), "+f"(acc[n][1]), "+f"(acc[n][2]), "+f"(acc[n][3])
                       : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[0]), "r"(fb[1]));
        }
      }
      __syncthreads();
    }
    for (int n = 0; n < 8; ++n)
      for (int e = 0; e < 4; ++e) c[(warp * 16 + lane / 4 + e / 2 * 8) * 64 + n * 8 + lane % 4 * 2 + e % 2] = acc[n][e];
  })");
  int K = 96;
  std::vector<uint16_t> a(64 * 96), b(64 * 96);
  auto fill = [](std::vector<uint16_t>& v, uint32_t seed) {
    auto values = random_floats(v.size(), seed);
    for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<uint16_t>(emu::float_to_bf16(values[i]));
  };
  fill(a, 7);
  fill(b, 8);
  auto da = emulator.buffer(a), db = emulator.buffer(b);
  auto dc = emulator.empty<float>(64 * 64);
  EXPECT_OK(emulator.run("gemm", 1, 128, 0, da, db, dc, K));
  auto c = emulator.read(dc);
  for (size_t i = 0; i < 64; ++i) {
    for (size_t j = 0; j < 64; ++j) {
      double sum = 0;
      for (size_t k = 0; k < 96; ++k)
        sum += static_cast<double>(emu::bf16_to_float(a[i * 96 + k])) * emu::bf16_to_float(b[j * 96 + k]);
      ASSERT_NEAR(c[i * 64 + j], sum, 1e-4) << i << "," << j;
    }
  }
}

}  // namespace
}  // namespace rtjit

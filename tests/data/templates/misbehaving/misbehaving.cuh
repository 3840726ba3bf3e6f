// out[i] = 2 * x[i] + 1, and what can go wrong on the way.
#pragma once

namespace rtjit::misbehaving {

enum class How {
  none,
  illegal_address,
  misaligned,
  loop,
  barrier_loop,
  nan,
  last_tile,
  third_run,
  past_end,
  before_start,
  resources,
  endless_compile,
  exit,  // the process that launches it ends: a matter of the tests
};

// Each level has two different ones below it: a hundred thousand classes, for which no limit on compiling waits.
template <int kDepth, unsigned long long kPath>
struct Tree {
  static constexpr int value = Tree<kDepth - 1, 2 * kPath>::value + Tree<kDepth - 1, 2 * kPath + 1>::value;
};
template <unsigned long long kPath>
struct Tree<0, kPath> {
  static constexpr int value = 1;
};

// How often third_run was launched since it was loaded.
__device__ unsigned runs;

__device__ inline float result(float x) { return 2 * x + 1; }

template <How kHow>
__global__ void __launch_bounds__(kHow == How::resources ? 64 : 128)
    bad(const float* x, float* out, long long n) {
  const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  const bool last_tile = blockIdx.x == gridDim.x - 1;
  if constexpr (kHow == How::endless_compile) {
    if (i < n) out[i] = static_cast<float>(Tree<kHow == How::endless_compile ? 17 : 0, 1>::value);
    return;
  }
  // No draw is that large, which the compiler cannot know.
  const volatile float* never = x;
  if constexpr (kHow == How::loop) {
    while (never[0] != 1e30f) {
    }
  }
  if constexpr (kHow == How::barrier_loop) {
    while (never[0] != 1e30f) __syncthreads();
  }
  if (i < n) out[i] = result(x[i]);
  if constexpr (kHow == How::illegal_address) {
    if (i == 0) *const_cast<volatile float*>(out + (1ll << 42)) = 1;
  }
  if constexpr (kHow == How::misaligned) {
    if (i == 0) {
      auto* pair = reinterpret_cast<float2*>(reinterpret_cast<char*>(out) + 4);
      *pair = make_float2(1, 1);
    }
  }
  if constexpr (kHow == How::nan) {
    if (i == n / 2) out[i] = __int_as_float(0x7fffffff);
  }
  if constexpr (kHow == How::last_tile) {
    if (last_tile && i < n) out[i] += 3;
  }
  if constexpr (kHow == How::third_run) {
    if (i == 0 && runs++ % 3 == 2) out[0] += 1;
  }
  if constexpr (kHow == How::past_end) {
    if (i == 0) out[n] = 1;
  }
  if constexpr (kHow == How::before_start) {
    if (i == 0) out[-1] = 1;
  }
}

__global__ void reference(const float* x, float* out, long long n) {
  const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) out[i] = result(x[i]);
}

}  // namespace rtjit::misbehaving

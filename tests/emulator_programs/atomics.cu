// Every kind of atomic, and one made of compare-and-swap.
#include <cuda_fp16.h>

__device__ double atomic_max_double(double* at, double value) {
  auto* bits = reinterpret_cast<unsigned long long*>(at);
  unsigned long long seen = *bits, assumed;
  do {
    assumed = seen;
    if (__longlong_as_double(assumed) >= value) break;
    seen = atomicCAS(bits, assumed, __double_as_longlong(value));
  } while (seen != assumed);
  return __longlong_as_double(seen);
}

struct Results {
  int sum, least, most;
  unsigned all, any, parity, wrapped, taken;
  unsigned long long wide;
  double largest, total;
  half2 halves;
};

extern "C" __global__ void atomics(const int* in, Results* r, int* turns) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, v = in[i];
  atomicAdd(&r->sum, v);
  atomicMin(&r->least, v);
  atomicMax(&r->most, v);
  atomicAnd(&r->all, static_cast<unsigned>(v) | 0x100u);
  atomicOr(&r->any, 1u << (i % 31));
  atomicXor(&r->parity, static_cast<unsigned>(v));
  atomicInc(&r->wrapped, 9u);
  turns[atomicAdd(&r->taken, 1u)] = i;
  atomicAdd(&r->wide, 0x100000001ull);
  atomic_max_double(&r->largest, v * 0.5);
  atomicAdd(&r->total, v * 0.25);
  atomicAdd(&r->halves, __halves2half2(__float2half(1.0f), __float2half(-0.5f)));
}

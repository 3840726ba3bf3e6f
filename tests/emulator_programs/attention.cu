// Causal attention of one head with a running softmax; one warp a query, 64 dimensions, halves.
#include <cuda_fp16.h>

extern "C" __global__ void attention(const half2* q, const half2* k, const half2* v, half2* out, int length, float scale) {
  int query = blockIdx.x * blockDim.y + threadIdx.y, lane = threadIdx.x;
  if (query >= length) return;
  float2 mine = __half22float2(q[query * 32 + lane]);
  float most = -INFINITY, sum = 0;
  float2 value = make_float2(0, 0);
  for (int key = 0; key <= query; key++) {
    float2 other = __half22float2(__ldg(&k[key * 32 + lane]));
    float score = mine.x * other.x + mine.y * other.y;
    for (int mask = 16; mask; mask >>= 1) score += __shfl_xor_sync(~0u, score, mask);
    score *= scale;
    float next = fmaxf(most, score);
    float shrink = exp2f((most - next) * 1.4426950408889634f), weight = exp2f((score - next) * 1.4426950408889634f);
    float2 with = __half22float2(v[key * 32 + lane]);
    sum = sum * shrink + weight;
    value.x = value.x * shrink + weight * with.x;
    value.y = value.y * shrink + weight * with.y;
    most = next;
  }
  out[query * 32 + lane] = __floats2half2_rn(value.x / sum, value.y / sum);
}

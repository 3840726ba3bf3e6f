// One thread per output, nothing staged: what the other variant is compared with, and the kernel that runs
// anywhere.
#pragma once

#include "gemm_fp8_block/common.cuh"

namespace rtjit::gemm_fp8_block {

template <Accumulator kAccumulator>
struct SumType {
  using type = float;
};
template <>
struct SumType<Accumulator::f64> {
  using type = double;
};

constexpr int kReferenceThreads = 128;

template <Accumulator kAccumulator, Format kOutput, Format kAScale, ScaleLayout kLayout, Format kBScale>
__global__ void __launch_bounds__(kReferenceThreads)
    gemm_reference(const u8* __restrict__ a, const void* __restrict__ a_scale, const u8* __restrict__ b,
                   const void* __restrict__ b_scale, void* __restrict__ d, int m, int n, int k, i64 a_stride,
                   i64 b_stride, i64 a_scale_stride, i64 d_stride) {
  using Sum = typename SumType<kAccumulator>::type;
  const int tiles_n = div_up(n, kReferenceThreads);
  const int row = int(blockIdx.x) / tiles_n;
  const int column = int(blockIdx.x) % tiles_n * kReferenceThreads + int(threadIdx.x);
  if (row >= m || column >= n) return;

  const u8* a_row = a + row * a_stride;
  const u8* b_row = b + column * b_stride;
  const int blocks = scale_blocks(k);
  const i64 b_scale_row = i64(column / kScaleBlock) * blocks;
  Sum sum = 0;
  for (int block = 0; block < blocks; ++block) {
    const int end = min_of(k, (block + 1) * kScaleBlock);
    Sum block_sum = 0;
    for (int i = block * kScaleBlock; i < end; i += 16) {
      const uint4 a_codes = *reinterpret_cast<const uint4*>(a_row + i);
      const uint4 b_codes = *reinterpret_cast<const uint4*>(b_row + i);
      const u32 a_words[4] = {a_codes.x, a_codes.y, a_codes.z, a_codes.w};
      const u32 b_words[4] = {b_codes.x, b_codes.y, b_codes.z, b_codes.w};
#pragma unroll
      for (int word = 0; word < 4; ++word) {
#pragma unroll
        for (int byte = 0; byte < 4; ++byte) {
          // A product of two E4M3 values has 8 significant bits: exact in fp32.
          block_sum += Sum(e4m3_to_float((a_words[word] >> (8 * byte)) & 0xffu) *
                           e4m3_to_float((b_words[word] >> (8 * byte)) & 0xffu));
        }
      }
    }
    sum += Sum(load_a_scale<kAScale, kLayout>(a_scale, a_scale_stride, row, block)) *
           Sum(load_scale<kBScale>(b_scale, b_scale_row + block)) * block_sum;
  }
  store_one<kOutput>(d, row * d_stride + column, float(sum));
}

}  // namespace rtjit::gemm_fp8_block

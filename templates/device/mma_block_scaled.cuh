// mma.sync with a scale per 32 k of both operands (sm_120a, sm_121a and their families).
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

// sum += a (16 x 32, row major, E2M1 in bytes) * b (32 x 8, column major, E4M3), each row of a and column of
// b times its UE8M0 scale. Fragments are those of mma_e4m3 (device/fp8.cuh). The scales of rows g and g + 8
// are byte kByteA of `scales_a` in lanes 4 g and 4 g + 1; that of column g is byte kByteB of `scales_b` in
// lane 4 g.
template <int kByteA, int kByteB>
__device__ inline void mma_e2m1_e4m3(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1, u32 scales_a,
                                     u32 scales_b) {
  asm("mma.sync.aligned.m16n8k32.row.col.kind::mxf8f6f4.block_scale.scale_vec::1X.f32.e2m1.e4m3.f32.ue8m0 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}, %10, {%12, 0}, %11, {%13, 0};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "r"(scales_a), "r"(scales_b),
        "n"(kByteA), "n"(kByteB));
}

}  // namespace rtjit::device

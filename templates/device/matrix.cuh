// ldmatrix and mma.sync m16n8k16 on bf16 with fp32 accumulation (sm_80 and up).
#pragma once

#include "device/types.cuh"

namespace rtjit::device {

// Four 8x8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8.
__device__ inline void load_matrix_x4(u32 (&values)[4], u32 row_address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(values[0]), "=r"(values[1]), "=r"(values[2]), "=r"(values[3])
               : "r"(row_address)
               : "memory");
}

// The transpose of an 8x8 matrix of 16-bit elements: lane 4 r + c holds elements 2c and 2c+1 of row r.
__device__ inline u32 transpose_matrix(u32 value) {
  u32 result;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(value));
  return result;
}

// sum += a (16 x 16, row major) * b (16 x 8, column major).
// With g = lane / 4 and t = lane % 4: a[0] = row g, k 2t and 2t+1; a[1] = row g+8, same k; a[2], a[3] = the
// same rows, k + 8. b0 = column g, k 2t and 2t+1; b1 = k + 8. sum[0], sum[1] = row g, columns 2t and 2t+1;
// sum[2], sum[3] = row g+8.
__device__ inline void mma_bf16(float (&sum)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace rtjit::device

// Tensor memory and its matrix products (sm_100a, sm_103a and their family), one thread block by itself.
//
// A tensor-memory address has the lane in its upper and the column in its lower half. Products, copies and
// loads are asynchronous: a commit makes an mbarrier arrive when all earlier products and copies of the
// thread are complete.
#pragma once

#include "device/mbarrier.cuh"
#include "device/types.cuh"

namespace rtjit::device {

// Allocates kColumns (a power of two, 32 to 512) and writes their address to `slot` in shared memory. One
// whole warp calls; nothing more can be allocated afterwards.
template <int kColumns>
__device__ inline void allocate_tensor_memory(u32* slot) {
  asm volatile(
      "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(shared_address(slot)),
      "n"(kColumns)
      : "memory");
  asm volatile("tcgen05.relinquish_alloc_permit.cta_group::1.sync.aligned;" ::: "memory");
}
template <int kColumns>
__device__ inline void free_tensor_memory(u32 address) {
  asm volatile("tcgen05.dealloc.cta_group::1.sync.aligned.b32 %0, %1;" ::"r"(address), "n"(kColumns)
               : "memory");
}

// Around barriers between threads that use tensor memory.
__device__ inline void tensor_fence_before_sync() {
  asm volatile("tcgen05.fence::before_thread_sync;" ::: "memory");
}
__device__ inline void tensor_fence_after_sync() {
  asm volatile("tcgen05.fence::after_thread_sync;" ::: "memory");
}

__device__ inline void tensor_commit(u64* barrier) {
  asm volatile("tcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%0];" ::"r"(
                   shared_address(barrier))
               : "memory");
}

// Rows of 128 bytes that lie one after another, their 16-byte pieces swizzled: piece p of row r stands at
// p ^ (r % 8). The tile begins at a multiple of 1,024 bytes; a product begins at any multiple of 32 in a row.
__device__ inline u64 swizzled_tile(u32 address) {
  return (u64(2) << 61) | (u64(1) << 46) | (u64(64) << 32) | (u64(1) << 16) | ((address & 0x3ffffu) >> 4);
}
// 32 rows of 16 bytes, one after another.
__device__ inline u64 scale_tile(u32 address) {
  return (u64(1) << 46) | (u64(8) << 32) | (u64(1) << 16) | ((address & 0x3ffffu) >> 4);
}

// Scales of 128 rows, four bytes each (four blocks along k), to four columns. In shared memory, row r has its
// bytes at 16 (r % 32) + 4 (r / 32).
__device__ inline void copy_tensor_scales(u32 columns, u64 tile) {
  asm volatile("tcgen05.cp.cta_group::1.32x128b.warpx4 [%0], %1;" ::"r"(columns), "l"(tile) : "memory");
}
constexpr int kScaleTileBytes = 512;
__host__ __device__ constexpr int scale_tile_offset(int row) {
  return row / 128 * kScaleTileBytes + row % 32 * 16 + row % 128 / 32 * 4;
}

// What a product of 128 rows of E2M1 and n columns of E4M3 is told; `block`: which of the four scales.
__device__ inline u32 e2m1_e4m3_product(int n, int block) {
  return (u32(block) << 4) | (5u << 7) | (u32(n) << 14) | (1u << 23) | (8u << 24) | (u32(block) << 29);
}

// sums (128 lanes x n columns) = or += a (128 x 32) * b (n x 32)^T, each row times its scale.
__device__ inline void tensor_multiply_scaled(u32 sums, u64 a, u64 b, u32 product, u32 scales_a, u32 scales_b,
                                              bool add) {
  asm volatile(
      "{.reg .pred add; setp.ne.u32 add, %6, 0;\n"
      "tcgen05.mma.cta_group::1.kind::mxf8f6f4.block_scale.block32 [%0], %1, %2, %3, [%4], [%5], add;}" ::"r"(
          sums),
      "l"(a), "l"(b), "r"(product), "r"(scales_a), "r"(scales_b), "r"(u32(add))
      : "memory");
}

// 16 columns of this thread's lane; `address` names the first lane of the warp, a multiple of 32 that is the
// warp's index modulo 4. Complete on return.
__device__ inline void load_tensor_columns(float (&values)[16], u32 address) {
  asm volatile(
      "tcgen05.ld.sync.aligned.32x32b.x16.b32 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, "
      "%14, %15}, [%16];\n"
      "tcgen05.wait::ld.sync.aligned;"
      : "=f"(values[0]), "=f"(values[1]), "=f"(values[2]), "=f"(values[3]), "=f"(values[4]), "=f"(values[5]),
        "=f"(values[6]), "=f"(values[7]), "=f"(values[8]), "=f"(values[9]), "=f"(values[10]),
        "=f"(values[11]), "=f"(values[12]), "=f"(values[13]), "=f"(values[14]), "=f"(values[15])
      : "r"(address)
      : "memory");
}

}  // namespace rtjit::device

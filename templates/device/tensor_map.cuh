// Tensor maps (TMA descriptors) and stores through them.
#pragma once

#include "device/async_copy.cuh"
#include "device/types.cuh"

namespace rtjit::device {

// The 128 bytes that the driver encodes. A kernel takes it as `const __grid_constant__ TensorMap`.
struct alignas(64) TensorMap {
  u64 words[16];
};

// Makes this thread's writes to shared memory visible to the asynchronous proxy that TMA reads through.
__device__ inline void fence_async_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Stores four rows of box-width elements that lie one after another in shared memory (128-byte aligned) to
// rows[0..3] of a matrix, from `column` on. Rows and columns outside the matrix are left out. sm_100a,
// sm_103a, sm_110a and families.
__device__ inline void store_scatter4(const TensorMap& map, u32 source, int column, const int (&rows)[4]) {
  asm volatile(
      "cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group [%0, {%1, %2, %3, %4, %5}], "
      "[%6];" ::"l"(&map),
      "r"(column), "r"(rows[0]), "r"(rows[1]), "r"(rows[2]), "r"(rows[3]), "r"(source)
      : "memory");
}

__device__ inline void bulk_commit() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }

// Waits until this thread's bulk stores have read their shared memory.
__device__ inline void bulk_wait_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }

}  // namespace rtjit::device

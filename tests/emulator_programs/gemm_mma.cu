// C = A * B^T of bf16: cp.async double buffering, ldmatrix and mma.sync by inline PTX.
#include <cuda_bf16.h>
#include <cuda_pipeline.h>

__device__ void load_matrix(unsigned (&r)[4], const void* row) {
  unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(address));
}

// Block: 32 threads, a tile of 16 x 16 of C; 32 of k at a time.
extern "C" __global__ void gemm_mma(const __nv_bfloat16* a, const __nv_bfloat16* b, __nv_bfloat16* c, int n, int k) {
  __shared__ __align__(16) __nv_bfloat16 tiles[2][2][16][32 + 8];
  int lane = threadIdx.x, row = blockIdx.y * 16, column = blockIdx.x * 16;
  auto fetch = [&](int stage, int start) {
    for (int i = lane; i < 16 * 4; i += 32) {
      int r = i / 4, part = i % 4 * 8;
      __pipeline_memcpy_async(&tiles[stage][0][r][part], &a[(row + r) * k + start + part], 16);
      __pipeline_memcpy_async(&tiles[stage][1][r][part], &b[(column + r) * k + start + part], 16);
    }
    __pipeline_commit();
  };
  float sum[2][4] = {};
  fetch(0, 0);
  int steps = k / 32;
  for (int step = 0; step < steps; step++) {
    if (step + 1 < steps) {
      fetch((step + 1) & 1, (step + 1) * 32);
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    __syncthreads();
    for (int inner = 0; inner < 32; inner += 16) {
      unsigned fa[4], fb[4];
      load_matrix(fa, &tiles[step & 1][0][lane % 16][inner + lane / 16 * 8]);
      load_matrix(fb, &tiles[step & 1][1][lane % 16][inner + lane / 16 * 8]);
      for (int half = 0; half < 2; half++)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                     "{%0,%1,%2,%3};"
                     : "+f"(sum[half][0]), "+f"(sum[half][1]), "+f"(sum[half][2]), "+f"(sum[half][3])
                     : "r"(fa[0]), "r"(fa[1]), "r"(fa[2]), "r"(fa[3]), "r"(fb[half]), "r"(fb[half + 2]));
    }
    __syncthreads();
  }
  for (int half = 0; half < 2; half++)
    for (int upper = 0; upper < 2; upper++) {
      auto pair = __floats2bfloat162_rn(sum[half][2 * upper], sum[half][2 * upper + 1]);
      int at = (row + lane / 4 + 8 * upper) * n + column + half * 8 + lane % 4 * 2;
      *reinterpret_cast<__nv_bfloat162*>(&c[at]) = pair;
    }
}

// C = A * B + C by the warp matrix functions: f16 with f32 sums, and 8-bit integers.
#include <mma.h>

using namespace nvcuda;

// One warp for a tile of 16 x 16; A row by row, B column by column.
extern "C" __global__ void wmma_halves(const half* a, const half* b, float* c, int n, int k) {
  int row = blockIdx.y * 16, column = blockIdx.x * 16;
  wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::load_matrix_sync(sum, c + row * n + column, n, wmma::mem_row_major);
  for (int i = 0; i < sum.num_elements; i++) sum.x[i] *= 0.5f;
  for (int i = 0; i < k; i += 16) {
    wmma::load_matrix_sync(left, a + row * k + i, k);
    wmma::load_matrix_sync(right, b + column * k + i, k);
    wmma::mma_sync(sum, left, right, sum);
  }
  wmma::store_matrix_sync(c + row * n + column, sum, n, wmma::mem_row_major);
}

extern "C" __global__ void wmma_bytes(const signed char* a, const signed char* b, int* c, int n, int k) {
  __shared__ __align__(32) signed char stage[2][8 * 16 + 16 * 32];
  int column = blockIdx.x * 32;
  wmma::fragment<wmma::matrix_a, 8, 32, 16, signed char, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 8, 32, 16, signed char, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, 8, 32, 16, int> sum;
  wmma::fill_fragment(sum, 0);
  for (int i = 0; i < k; i += 16) {
    signed char* now = stage[i / 16 % 2];
    for (int e = threadIdx.x; e < 8 * 16; e += 32) now[e] = a[e / 16 * k + i + e % 16];
    for (int e = threadIdx.x; e < 32 * 16; e += 32) now[128 + e] = b[(column + e / 16) * k + i + e % 16];
    __syncwarp();
    wmma::load_matrix_sync(left, now, 16);
    wmma::load_matrix_sync(right, now + 128, 16);
    wmma::mma_sync(sum, left, right, sum);
  }
  wmma::store_matrix_sync(c + column, sum, n, wmma::mem_row_major);
}

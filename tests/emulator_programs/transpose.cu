// Transposition of a matrix through a padded tile; edges are ragged. A template of three element types.
template <class T>
__device__ void transpose(const T* in, T* out, int rows, int columns) {
  __shared__ T tile[32][33];
  int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < columns && y + j < rows) tile[threadIdx.y + j][threadIdx.x] = in[(y + j) * columns + x];
  __syncthreads();
  x = blockIdx.y * 32 + threadIdx.x;
  y = blockIdx.x * 32 + threadIdx.y;
  for (int j = 0; j < 32; j += 8)
    if (x < rows && y + j < columns) out[(y + j) * rows + x] = tile[threadIdx.x][threadIdx.y + j];
}

extern "C" __global__ void transpose_u8(const unsigned char* in, unsigned char* out, int rows, int columns) {
  transpose(in, out, rows, columns);
}
extern "C" __global__ void transpose_f64(const double* in, double* out, int rows, int columns) {
  transpose(in, out, rows, columns);
}
extern "C" __global__ void transpose_v4(const int4* in, int4* out, int rows, int columns) {
  transpose(in, out, rows, columns);
}

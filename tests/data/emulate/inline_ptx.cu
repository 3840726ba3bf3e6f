// The position of the highest set bit by inline PTX; -1 for zero.
extern "C" __global__ void top_bit(const unsigned* in, int* out) {
  int position;
  asm("bfind.u32 %0, %1;" : "=r"(position) : "r"(in[threadIdx.x]));
  out[threadIdx.x] = position;
}

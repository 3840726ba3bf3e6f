// A filter from constant memory, a function that is not inlined, printf for what must not happen.
#include <cstdio>

__constant__ float weights[5] = {0.0625f, 0.25f, 0.375f, 0.25f, 0.0625f};
__device__ int calls;

struct Image {
  const float* pixels;
  int width, height;
};

__noinline__ __device__ float pixel(const Image& image, int x, int y) {
  x = min(max(x, 0), image.width - 1);
  return image.pixels[y * image.width + x];
}

extern "C" __global__ void stencil(Image image, float* out, int* count) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
  if (x == 0 && y == 0) printf("an image of %d x %d\n", image.width, image.height);
  if (x >= image.width) return;
  float sum = 0;
  for (int i = -2; i <= 2; i++) sum += weights[i + 2] * pixel(image, x + i, y);
  out[y * image.width + x] = sum;
  *count = atomicAdd(&calls, 1) >= 0;
}

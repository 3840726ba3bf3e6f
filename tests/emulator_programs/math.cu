// Library functions in single and double precision, a switch, recursion turned into a loop by a local array.
extern "C" __global__ void math(const double* in, double* out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  double x = in[i], y = 0;
  float f = static_cast<float>(x);
  switch (i % 8) {
    case 0: y = sqrt(fabs(x)); break;
    case 1: y = exp(x); break;
    case 2: y = log(fabs(x) + 1); break;
    case 3: y = sin(x); break;
    case 4: y = sinf(f); break;
    case 5: y = powf(fabsf(f), 1.5f); break;
    case 6: y = x / (1 + x * x); break;
    default: y = tanhf(f); break;
  }
  int digits[20], count = 0;
  for (long long rest = llrint(fabs(y) * 1e6); rest; rest /= 10) digits[count++] = rest % 10;
  int sum = 0;
  while (count) sum += digits[--count];
  out[2 * i] = y;
  out[2 * i + 1] = sum;
}

// wgmma as the fastest kernels use it (sm_90a): two warpgroups per SM, 64 rows each from registers, 256
// columns that they share in shared memory.
#pragma once

#include "device/async_copy.cuh"
#include "device/wgmma.cuh"
#include "tuner/ceilings/operands.cuh"

namespace rtjit::ceilings {

constexpr int kThreads = 256, kColumns = 256, kDepth = 4;  // kDepth products of a warpgroup per iteration

struct Bf16 {
  static __device__ u32 operand(u32 seed) { return bf16_operand(seed); }
  static __device__ void multiply(float (&sum)[128], const u32 (&a)[2][4], u64 b, u64 next_b) {
    Wgmma<kColumns>::multiply(sum, a, b, next_b);
  }
};

struct E4m3 {
  static __device__ u32 operand(u32 seed) { return e4m3_operand(seed); }
  static __device__ void multiply(float (&sum)[128], const u32 (&a)[2][4], u64 b, u64 next_b) {
    multiply(sum, a[0], b);
    multiply(sum, a[1], next_b);
  }
  static __device__ void multiply(float (&sum)[128], const u32 (&a)[4], u64 b) {
    asm volatile(
        "{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned.m64n256k32.f32.e4m3.e4m3 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, "
        "%20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, "
        "%38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, "
        "%56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, "
        "%74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, "
        "%92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, "
        "%108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, "
        "%123, %124, %125, %126, %127"
        "}, {%128, %129, %130, %131}, %132, p, 1, 1;}"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3]), "+f"(sum[4]), "+f"(sum[5]), "+f"(sum[6]),
          "+f"(sum[7]), "+f"(sum[8]), "+f"(sum[9]), "+f"(sum[10]), "+f"(sum[11]), "+f"(sum[12]),
          "+f"(sum[13]), "+f"(sum[14]), "+f"(sum[15]), "+f"(sum[16]), "+f"(sum[17]), "+f"(sum[18]),
          "+f"(sum[19]), "+f"(sum[20]), "+f"(sum[21]), "+f"(sum[22]), "+f"(sum[23]), "+f"(sum[24]),
          "+f"(sum[25]), "+f"(sum[26]), "+f"(sum[27]), "+f"(sum[28]), "+f"(sum[29]), "+f"(sum[30]),
          "+f"(sum[31]), "+f"(sum[32]), "+f"(sum[33]), "+f"(sum[34]), "+f"(sum[35]), "+f"(sum[36]),
          "+f"(sum[37]), "+f"(sum[38]), "+f"(sum[39]), "+f"(sum[40]), "+f"(sum[41]), "+f"(sum[42]),
          "+f"(sum[43]), "+f"(sum[44]), "+f"(sum[45]), "+f"(sum[46]), "+f"(sum[47]), "+f"(sum[48]),
          "+f"(sum[49]), "+f"(sum[50]), "+f"(sum[51]), "+f"(sum[52]), "+f"(sum[53]), "+f"(sum[54]),
          "+f"(sum[55]), "+f"(sum[56]), "+f"(sum[57]), "+f"(sum[58]), "+f"(sum[59]), "+f"(sum[60]),
          "+f"(sum[61]), "+f"(sum[62]), "+f"(sum[63]), "+f"(sum[64]), "+f"(sum[65]), "+f"(sum[66]),
          "+f"(sum[67]), "+f"(sum[68]), "+f"(sum[69]), "+f"(sum[70]), "+f"(sum[71]), "+f"(sum[72]),
          "+f"(sum[73]), "+f"(sum[74]), "+f"(sum[75]), "+f"(sum[76]), "+f"(sum[77]), "+f"(sum[78]),
          "+f"(sum[79]), "+f"(sum[80]), "+f"(sum[81]), "+f"(sum[82]), "+f"(sum[83]), "+f"(sum[84]),
          "+f"(sum[85]), "+f"(sum[86]), "+f"(sum[87]), "+f"(sum[88]), "+f"(sum[89]), "+f"(sum[90]),
          "+f"(sum[91]), "+f"(sum[92]), "+f"(sum[93]), "+f"(sum[94]), "+f"(sum[95]), "+f"(sum[96]),
          "+f"(sum[97]), "+f"(sum[98]), "+f"(sum[99]), "+f"(sum[100]), "+f"(sum[101]), "+f"(sum[102]),
          "+f"(sum[103]), "+f"(sum[104]), "+f"(sum[105]), "+f"(sum[106]), "+f"(sum[107]), "+f"(sum[108]),
          "+f"(sum[109]), "+f"(sum[110]), "+f"(sum[111]), "+f"(sum[112]), "+f"(sum[113]), "+f"(sum[114]),
          "+f"(sum[115]), "+f"(sum[116]), "+f"(sum[117]), "+f"(sum[118]), "+f"(sum[119]), "+f"(sum[120]),
          "+f"(sum[121]), "+f"(sum[122]), "+f"(sum[123]), "+f"(sum[124]), "+f"(sum[125]), "+f"(sum[126]),
          "+f"(sum[127])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
  }
};

// A product reads 32 bytes of every column: kDepth of them fill its 128 bytes.
template <class Type>
__global__ void __launch_bounds__(kThreads, 1) wgmma(int iterations, float* out) {
  __shared__ alignas(1024) u32 columns[kColumns * 32];
  for (int i = threadIdx.x; i < kColumns * 32; i += kThreads) columns[i] = Type::operand(i);
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  float sums[128];
  u32 a[kDepth / 2][2][4];
#pragma unroll
  for (int i = 0; i < 128; ++i) sums[i] = 0;
#pragma unroll
  for (int i = 0; i < kDepth * 4; ++i) a[i / 8][i / 4 % 2][i % 4] = Type::operand(threadIdx.x * kDepth * 4 + i);
  const u32 address = shared_address(columns);
  for (int n = 0; n < iterations; ++n) {
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < kDepth / 2; ++i) {
      Type::multiply(sums, a[i], swizzled_128_descriptor(address + 64 * i),
                     swizzled_128_descriptor(address + 64 * i + 32));
    }
    wgmma_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
  keep(sums, out);
}

}  // namespace rtjit::ceilings

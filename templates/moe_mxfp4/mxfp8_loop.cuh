// The main loop of a GEMM with MXFP8 tokens, by the tensor cores that it uses.
#pragma once

#include "moe_mxfp4/mma_mxfp8.cuh"
#include "moe_mxfp4/mxf8f6f4.cuh"

namespace rtjit::moe_mxfp4 {

// kBlockScaled: 1 for tensor cores that take both scales themselves, 0 for those for bf16.
template <int kBlockScaled, class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
struct Mxfp8Loop {
  using Type = WidenedLoop<T, kBlockM, kBlockN, kBlockK, kStages>;
};
template <class T, int kBlockM, int kBlockN, int kBlockK, int kStages>
struct Mxfp8Loop<1, T, kBlockM, kBlockN, kBlockK, kStages> {
  using Type = ScaledLoop<T, kBlockM, kBlockN, kBlockK, kStages>;
};

}  // namespace rtjit::moe_mxfp4

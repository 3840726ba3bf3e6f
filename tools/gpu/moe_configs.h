// A config of the moe_mxfp4 GEMMs, compiled, and the tables of all of them. Each variant is compiled on its
// own, which is what takes the time. For moe_check only: no part of the library.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "device/tensor_map.cuh"
#include "moe_mxfp4/common.cuh"

namespace rtjit::check {

using namespace rtjit::moe_mxfp4;

#define MOE_CUDA(call)                                                                                \
  do {                                                                                                \
    const cudaError_t status = (call);                                                                \
    if (status != cudaSuccess) {                                                                      \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(status)); \
      std::exit(2);                                                                                   \
    }                                                                                                 \
  } while (false)

// All variants take the same arguments, but for the mma one's tensor map.
using Gemm1 = void (*)(const u16*, i64, const u8*, const u8*, const u8*, const void*, const float*,
                       const float*, const float*, float, float, float, int, const i32*, const TokenTile*,
                       const i32*, u16*, int, int, int);
using Gemm2 = void (*)(const u16*, const u8*, const u8*, const u8*, const void*, const i32*, const TokenTile*,
                       const i32*, u16*, int, int);
using Gemm2Mma = void (*)(const u16*, const u8*, const u8*, const u8*, const void*, const i32*,
                          const TokenTile*, const i32*, u16*, int, int, int, const TensorMap);

// Where a GEMM may sort the slots itself (stream).
using Gemm1Routes = void (*)(const u16*, i64, const u8*, const u8*, const u8*, const void*, const float*,
                             const float*, const float*, float, float, float, int, const i32*,
                             const TokenTile*, const i32*, u16*, int, int, int, const void*, const i32*, int,
                             int, int, int, int);
using Gemm2Routes = void (*)(const u16*, const u8*, const u8*, const u8*, const void*, const i32*,
                             const TokenTile*, const i32*, u16*, int, int, const void*, const i32*, int, int,
                             int, int, int, int);

// With MXFP8 activations on Hopper (wgmma_fp8).
using Gemm1Fp8 = void (*)(const u8*, const float*, const u8*, const u8*, const u8*, const void*, const float*,
                          const float*, const float*, float, float, float, int, const i32*, const TokenTile*,
                          const i32*, u8*, float*, int, int, int, int);
using Gemm2Fp8 = void (*)(const u8*, const float*, const u8*, const u8*, const u8*, const void*, const i32*,
                          const TokenTile*, const i32*, u16*, int, int);

// Activation and bias that a kernel is compiled for. The last ones are compiled for a few configs only.
enum class Flavour { swiglu_bf16, swiglu_none, silu_none, gelu_f32, count };
constexpr int kFlavours = int(Flavour::count);
constexpr Activation activation_of(Flavour f) {
  return f == Flavour::silu_none  ? Activation::silu
         : f == Flavour::gelu_f32 ? Activation::gelu_tanh
                                  : Activation::swiglu_oai;
}
constexpr Bias bias_of(Flavour f) {
  return f == Flavour::swiglu_bf16 ? Bias::bf16 : f == Flavour::gelu_f32 ? Bias::f32 : Bias::none;
}

struct Config {
  std::string name;
  int block_m, block_n, threads, smem1, smem2;
  int max_grid = 0;                                     // 0: one thread block per tile
  int min_k = 32, max_k = 1 << 30, multiple_of_k = 32;  // what hidden and intermediate may be
  std::array<Gemm1, kFlavours> gemm1 = {};              // null: not compiled
  std::array<Gemm2, kFlavours> gemm2 = {};
  std::array<Gemm2Mma, kFlavours> gemm2_mma = {};
  std::array<Gemm1Routes, kFlavours> gemm1_routes = {};
  std::array<Gemm2Routes, kFlavours> gemm2_routes = {};
  bool mxfp8 = false;  // activations; then only these are compiled, and min_k is the one width they take
  std::array<Gemm1Fp8, kFlavours> gemm1_fp8 = {};
  std::array<Gemm2Fp8, kFlavours> gemm2_fp8 = {};

  bool has(Flavour flavour) const {
    return gemm1[int(flavour)] != nullptr || gemm1_routes[int(flavour)] != nullptr ||
           gemm1_fp8[int(flavour)] != nullptr;
  }
  bool routes() const { return gemm1_routes[int(Flavour::swiglu_bf16)] != nullptr; }
  bool takes(int hidden, int intermediate) const {
    return std::min(hidden, intermediate) >= min_k && std::max(hidden, intermediate) <= max_k &&
           hidden % multiple_of_k == 0 && intermediate % multiple_of_k == 0;
  }
  int grid(int token_tiles, int rows) const {
    const int tiles = token_tiles * ((rows + block_n - 1) / block_n);
    return max_grid == 0 || tiles < max_grid ? tiles : max_grid;
  }
};

std::vector<Config> mma_configs();
std::vector<Config> wgmma_configs();
std::vector<Config> stream_configs();
std::vector<Config> wgmma_fp8_configs();

}  // namespace rtjit::check

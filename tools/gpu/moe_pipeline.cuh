// The moe_mxfp4 kernels launched by hand, in the order and with the arguments of the manifest's plan. For
// moe_check only: no part of the library.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "moe_mxfp4/align.cuh"
#include "moe_mxfp4/combine.cuh"
#include "moe_mxfp4/pack_e5m2.cuh"
#include "moe_mxfp4/reference.cuh"
#include "tools/gpu/moe_configs.h"

namespace rtjit::check {

using namespace rtjit::moe_mxfp4;

// With MXFP8 activations everything is in the form that Hopper takes (wgmma_fp8).
constexpr int kFp8Form = 1;

using Reference1 = decltype(&gemm1_reference<Accumulator::f32, Activation::silu, Bias::none>);
using Reference2 = decltype(&gemm2_reference<Accumulator::f32, Bias::none>);

template <Accumulator kAccumulator, Activations kActivations, int kForm>
Reference1 reference1(Flavour flavour) {
  switch (flavour) {
    case Flavour::swiglu_bf16:
      return &gemm1_reference<kAccumulator, Activation::swiglu_oai, Bias::bf16, kActivations, kForm>;
    case Flavour::swiglu_none:
      return &gemm1_reference<kAccumulator, Activation::swiglu_oai, Bias::none, kActivations, kForm>;
    case Flavour::silu_none:
      return &gemm1_reference<kAccumulator, Activation::silu, Bias::none, kActivations, kForm>;
    default:
      return &gemm1_reference<kAccumulator, Activation::gelu_tanh, Bias::f32, kActivations, kForm>;
  }
}
template <Accumulator kAccumulator, Activations kActivations, int kForm>
Reference2 reference2(Flavour flavour) {
  switch (bias_of(flavour)) {
    case Bias::bf16:
      return &gemm2_reference<kAccumulator, Bias::bf16, kActivations, kForm>;
    case Bias::f32:
      return &gemm2_reference<kAccumulator, Bias::f32, kActivations, kForm>;
    default:
      return &gemm2_reference<kAccumulator, Bias::none, kActivations, kForm>;
  }
}
inline Reference1 reference1(Flavour flavour, bool f64, bool mxfp8) {
  if (mxfp8) {
    return f64 ? reference1<Accumulator::f64, Activations::mxfp8, kFp8Form>(flavour)
               : reference1<Accumulator::f32, Activations::mxfp8, kFp8Form>(flavour);
  }
  return f64 ? reference1<Accumulator::f64, Activations::bf16, 0>(flavour)
             : reference1<Accumulator::f32, Activations::bf16, 0>(flavour);
}
inline Reference2 reference2(Flavour flavour, bool f64, bool mxfp8) {
  if (mxfp8) {
    return f64 ? reference2<Accumulator::f64, Activations::mxfp8, kFp8Form>(flavour)
               : reference2<Accumulator::f32, Activations::mxfp8, kFp8Form>(flavour);
  }
  return f64 ? reference2<Accumulator::f64, Activations::bf16, 0>(flavour)
             : reference2<Accumulator::f32, Activations::bf16, 0>(flavour);
}

// Device memory between two guards of poison.
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    MOE_CUDA(cudaMalloc(&block_, bytes + 2 * kGuard));
    MOE_CUDA(cudaMemset(block_, 0xff, bytes + 2 * kGuard));
  }
  ~Buffer() { cudaFree(block_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(static_cast<char*>(block_) + kGuard);
  }
  size_t bytes() const { return bytes_; }
  void poison() { MOE_CUDA(cudaMemset(as<char>(), 0xff, bytes_)); }
  template <class T>
  void upload(const std::vector<T>& host) {
    MOE_CUDA(cudaMemcpy(as<T>(), host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  bool guards_intact() const {
    std::vector<unsigned char> guards(2 * kGuard);
    MOE_CUDA(cudaMemcpy(guards.data(), block_, kGuard, cudaMemcpyDeviceToHost));
    MOE_CUDA(cudaMemcpy(guards.data() + kGuard, as<char>() + bytes_, kGuard, cudaMemcpyDeviceToHost));
    for (unsigned char byte : guards) {
      if (byte != 0xff) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 1024;
  size_t bytes_;
  void* block_ = nullptr;
};

struct Dims {
  int hidden, intermediate, experts, top_k;
};

// The packed weights of one layer.
struct Packed {
  Packed(const Dims& d, int bias_bytes)
      : tiles1(size_t(d.experts) * 2 * d.intermediate * d.hidden / 2),
        scales1(size_t(d.experts) * 2 * d.intermediate * d.hidden / 32),
        exponents1(size_t(d.experts) * 2 * d.intermediate),
        bias1(size_t(d.experts) * 2 * d.intermediate * bias_bytes),
        tiles2(size_t(d.experts) * d.hidden * d.intermediate / 2),
        scales2(size_t(d.experts) * d.hidden * d.intermediate / 32),
        exponents2(size_t(d.experts) * d.hidden),
        bias2(size_t(d.experts) * d.hidden * bias_bytes) {}
  Buffer tiles1, scales1, exponents1, bias1, tiles2, scales2, exponents2, bias2;
  std::vector<const Buffer*> all() const {
    return {&tiles1, &scales1, &exponents1, &bias1, &tiles2, &scales2, &exponents2, &bias2};
  }
};

inline int tile_bound(const Dims& d, int tokens, int block_m) {
  const int slots = tokens * d.top_k;
  return std::min(slots, d.experts) + std::max(slots - d.experts, 0) / block_m;
}
inline int align_slots_per_block(int slots) { return std::max(2048, round_up(div_up(slots, 64), 32)); }

struct Workspace {
  Workspace(const Dims& d, int tokens, bool mxfp8)
      : slots(tokens * d.top_k),
        sorted_slots(size_t(slots) * 4),
        block_counts(
            slots <= kAlignRound ? 0 : size_t(d.experts) * div_up(slots, align_slots_per_block(slots)) * 4),
        tiles1(size_t(tile_bound(d, tokens, 8)) * 8),
        tiles2(size_t(tile_bound(d, tokens, 8)) * 8),
        tile_counts(8),
        h(size_t(slots) * d.intermediate * 2),
        y(size_t(slots) * d.hidden * 2),
        x_codes(mxfp8 ? size_t(tokens) * panels_of(d.hidden) * kPanelK : 0),
        x_scales(mxfp8 ? size_t(tokens) * panels_of(d.hidden) * 4 : 0),
        h_codes(mxfp8 ? size_t(slots) * panels_of(d.intermediate) * kPanelK : 0),
        h_scales(mxfp8 ? size_t(slots) * panels_of(d.intermediate) * 4 : 0) {}
  int slots;
  Buffer sorted_slots, block_counts, tiles1, tiles2, tile_counts, h, y, x_codes, x_scales, h_codes, h_scales;
  std::vector<Buffer*> all() {
    return {&sorted_slots, &block_counts, &tiles1,  &tiles2,  &tile_counts, &h, &y,
            &x_codes,      &x_scales,     &h_codes, &h_scales};
  }
};

// What a launch of the whole pipeline is given.
struct Launch {
  Dims dims;
  Flavour flavour = Flavour::swiglu_bf16;
  int tokens = 0;
  const u16* x = nullptr;
  i64 x_stride = 0;
  const void* ids = nullptr;
  const void* weights = nullptr;
  const float *alpha_e = nullptr, *beta_e = nullptr, *limit_e = nullptr;
  const i32* valid_tokens = nullptr;
  int id_bytes = 4, weight_bytes = 4, expert_offset = 0, limited = 0;
  float alpha = 1.702f, beta = 1.0f, limit = 7.0f;
  const Packed* packed = nullptr;
  Workspace* workspace = nullptr;
  u16* out = nullptr;
  bool mxfp8 = false;
  int h_panels = 1;  // see template.toml
  cudaStream_t stream = nullptr;
};

// For a GEMM2 of this config.
inline int h_panels_of(const Config& config2) { return config2.block_m <= 64 ? 1 : 2; }

// With programmatic dependent launch, as deployed.
template <class... P, class... A>
void start(cudaStream_t stream, void (*kernel)(P...), int grid, int block, int smem, A... arguments) {
  if (grid == 0) return;
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(unsigned(grid));
  config.blockDim = dim3(unsigned(block));
  config.dynamicSmemBytes = size_t(smem);
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = 1;
  MOE_CUDA(cudaLaunchKernelEx(&config, kernel, P(arguments)...));
}

inline void run_align(const Launch& l, int block_m1, int block_m2) {
  Workspace& w = *l.workspace;
  const Dims& d = l.dims;
  const int slots = w.slots;
  i32 *sorted = w.sorted_slots.as<i32>(), *counts = w.tile_counts.as<i32>();
  TokenTile *tiles1 = w.tiles1.as<TokenTile>(), *tiles2 = w.tiles2.as<TokenTile>();
  const int quantising = l.mxfp8 ? panel_quantising_blocks<kAlignThreads>(l.tokens, d.hidden) : 0;
  if (slots <= kAlignRound) {
    start(l.stream, l.mxfp8 ? align_small<Activations::mxfp8, kFp8Form> : align_small<Activations::bf16>,
          std::min(l.tokens, 1) + quantising, kAlignThreads, 0, l.ids, l.valid_tokens, l.id_bytes, l.tokens,
          d.top_k, d.experts, l.expert_offset, sorted, tiles1, tiles2, counts, block_m1, block_m2, l.x,
          l.x_stride, d.hidden, w.x_codes.as<u8>(), w.x_scales.as<u8>(), nullptr, 0, nullptr, 0, nullptr);
    return;
  }
  const int per_block = align_slots_per_block(slots), blocks = div_up(slots, per_block);
  i32* block_counts = w.block_counts.as<i32>();
  start(l.stream, align_count, blocks, kAlignThreads, 0, l.ids, l.valid_tokens, l.id_bytes, l.tokens, d.top_k,
        d.experts, l.expert_offset, per_block, block_counts);
  start(l.stream, l.mxfp8 ? align_place<Activations::mxfp8, kFp8Form> : align_place<Activations::bf16>,
        blocks + quantising, kAlignThreads, 0, l.ids, l.valid_tokens, l.id_bytes, l.tokens, d.top_k,
        d.experts, l.expert_offset, per_block, block_counts, sorted, tiles1, tiles2, counts, block_m1,
        block_m2, l.x, l.x_stride, d.hidden, w.x_codes.as<u8>(), w.x_scales.as<u8>(), nullptr, 0, nullptr, 0,
        nullptr);
}

// Whether a GEMM of this config sorts the slots itself. ROUTES=0 in the environment: none does.
inline bool routes(const Launch& l, const Config* config) {
  return config != nullptr && config->routes() && l.workspace->slots <= kFewSlots &&
         std::getenv("ROUTES") == nullptr;
}

// Without a config: the reference.
inline void run_gemm1(const Launch& l, const Config* config, bool f64 = true) {
  const Workspace& w = *l.workspace;
  const Packed& p = *l.packed;
  const Dims& d = l.dims;
  auto go = [&](auto kernel, int grid, int block, int smem, auto... rest) {
    start(l.stream, kernel, grid, block, smem, l.x, l.x_stride, p.tiles1.as<u8>(), p.scales1.as<u8>(),
          p.exponents1.as<u8>(), p.bias1.as<void>(), l.alpha_e, l.beta_e, l.limit_e, l.alpha, l.beta, l.limit,
          l.limited, w.sorted_slots.as<i32>(), w.tiles1.as<TokenTile>(), w.tile_counts.as<i32>(),
          w.h.as<u16>(), d.hidden, d.intermediate, d.top_k, rest...);
  };
  if (config == nullptr) {
    const int tiles = tile_bound(d, l.tokens, kReferenceTokens);
    go(reference1(l.flavour, f64, l.mxfp8), tiles * ((d.intermediate / 8 + 3) / 4), 128, 0,
       w.x_codes.as<u8>(), w.x_scales.as<u8>(), l.tokens);
    if (l.mxfp8)
      start(l.stream, quantise_panel_rows<256>, tiles, 256, 0, w.h.as<u16>(), d.intermediate, w.slots,
            w.h_codes.as<u8>(), w.h_scales.as<float>(), w.tiles1.as<TokenTile>(), w.tile_counts.as<i32>());
    return;
  }
  const int tiles = tile_bound(d, l.tokens, config->block_m);
  if (config->mxfp8) {
    const int together = 2 * l.h_panels,
              units = div_up(div_up(2 * d.intermediate, config->block_n), together);
    start(l.stream, config->gemm1_fp8[int(l.flavour)], std::min(config->max_grid, tiles * units),
          config->threads, config->smem1, w.x_codes.as<u8>(), w.x_scales.as<float>(), p.tiles1.as<u8>(),
          p.scales1.as<u8>(), p.exponents1.as<u8>(), p.bias1.as<void>(), l.alpha_e, l.beta_e, l.limit_e,
          l.alpha, l.beta, l.limit, l.limited, w.sorted_slots.as<i32>(), w.tiles1.as<TokenTile>(),
          w.tile_counts.as<i32>(), w.h_codes.as<u8>(), w.h_scales.as<float>(), d.intermediate, l.tokens,
          d.top_k, together);
  } else if (config->routes()) {
    go(config->gemm1_routes[int(l.flavour)], config->grid(tiles, 2 * d.intermediate), config->threads,
       config->smem1, l.ids, l.valid_tokens, l.id_bytes, l.tokens, d.experts, l.expert_offset,
       int(routes(l, config)));
  } else {
    go(config->gemm1[int(l.flavour)], config->grid(tiles, 2 * d.intermediate), config->threads,
       config->smem1);
  }
}

inline void run_gemm2(const Launch& l, const Config* config, bool f64 = true) {
  const Workspace& w = *l.workspace;
  const Packed& p = *l.packed;
  const Dims& d = l.dims;
  auto go = [&](auto kernel, int grid, int block, int smem, auto... rest) {
    start(l.stream, kernel, grid, block, smem, w.h.as<u16>(), p.tiles2.as<u8>(), p.scales2.as<u8>(),
          p.exponents2.as<u8>(), p.bias2.as<void>(), w.sorted_slots.as<i32>(), w.tiles2.as<TokenTile>(),
          w.tile_counts.as<i32>(), w.y.as<u16>(), d.hidden, d.intermediate, rest...);
  };
  if (config == nullptr) {
    go(reference2(l.flavour, f64, l.mxfp8),
       tile_bound(d, l.tokens, kReferenceTokens) * ((d.hidden / 16 + 3) / 4), 128, 0, w.h_codes.as<u8>(),
       w.h_scales.as<u8>(), w.slots);
    return;
  }
  const int grid = config->grid(tile_bound(d, l.tokens, config->block_m), d.hidden);
  if (config->mxfp8) {
    start(l.stream, config->gemm2_fp8[int(l.flavour)], grid, config->threads, config->smem2,
          w.h_codes.as<u8>(), w.h_scales.as<float>(), p.tiles2.as<u8>(), p.scales2.as<u8>(),
          p.exponents2.as<u8>(), p.bias2.as<void>(), w.sorted_slots.as<i32>(), w.tiles2.as<TokenTile>(),
          w.tile_counts.as<i32>(), w.y.as<u16>(), d.hidden, w.slots);
  } else if (config->gemm2_mma[int(l.flavour)] != nullptr) {
    go(config->gemm2_mma[int(l.flavour)], grid, config->threads, config->smem2, w.slots, TensorMap{});
  } else if (config->routes()) {
    go(config->gemm2_routes[int(l.flavour)], grid, config->threads, config->smem2, l.ids, l.valid_tokens,
       l.id_bytes, l.tokens, d.top_k, d.experts, l.expert_offset, int(routes(l, config)));
  } else {
    go(config->gemm2[int(l.flavour)], grid, config->threads, config->smem2);
  }
}

inline void run_combine(const Launch& l) {
  const Dims& d = l.dims;
  start(l.stream, combine, l.tokens * ((d.hidden / 8 + kCombineThreads - 1) / kCombineThreads),
        kCombineThreads, 0, l.workspace->y.as<u16>(), l.ids, l.weights, l.valid_tokens, l.id_bytes,
        l.weight_bytes, l.tokens, d.top_k, d.experts, l.expert_offset, d.hidden, l.out);
}

inline void run_all(Launch l, const Config* config1, const Config* config2, bool f64 = true) {
  if (config2 != nullptr) l.h_panels = h_panels_of(*config2);
  if (!routes(l, config1) || !routes(l, config2))
    run_align(l, config1 ? config1->block_m : kReferenceTokens, config2 ? config2->block_m : kReferenceTokens);
  run_gemm1(l, config1, f64);
  run_gemm2(l, config2, f64);
  run_combine(l);
}

}  // namespace rtjit::check

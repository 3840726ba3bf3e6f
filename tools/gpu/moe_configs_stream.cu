// Configs of the stream variant.
#include "moe_mxfp4/gemm1_stream.cuh"
#include "moe_mxfp4/gemm2_stream.cuh"
#include "tools/gpu/moe_configs.h"

namespace rtjit::check {
namespace {

template <int kBm, int kWarps, int kTiles, int kDepth, int kHalf, Flavour kFlavour>
void add_flavour(Config& config) {
  config.gemm1_routes[int(kFlavour)] =
      &gemm1_stream<kBm, kWarps, kTiles, kDepth, kHalf, activation_of(kFlavour), bias_of(kFlavour)>;
  config.gemm2_routes[int(kFlavour)] = &gemm2_stream<kBm, kWarps, kTiles, kDepth, kHalf, bias_of(kFlavour)>;
}

template <int kBm, int kWarps, int kTiles, int kDepth, int kHalf, bool kAllFlavours = false>
Config config(int sm_count) {
  using S = StreamShape<kBm, kWarps, kTiles, kDepth, kHalf != 0>;
  constexpr int kBytes = int(sizeof(StreamShared<S>));
  Config config{.name = "stream:block_m=" + std::to_string(kBm) + ",warps=" + std::to_string(kWarps) +
                        ",depth=" + std::to_string(kDepth) + ",tiles=" + std::to_string(kTiles) +
                        (kHalf ? " (half tiles)" : ""),
                .block_m = kBm,
                .block_n = kStripRows,
                .threads = 32 * kWarps,
                .smem1 = kBytes,
                .smem2 = kBytes,
                .max_grid = sm_count * (kWarps <= kWarpsOfHalfAnSm ? 2 : 1),
                .min_k = (kTiles - 1) * kTileK + 1,
                .max_k = kWarps * kTiles * kTileK,
                .multiple_of_k = kHalf ? 32 : 64};
  add_flavour<kBm, kWarps, kTiles, kDepth, kHalf, Flavour::swiglu_bf16>(config);
  if constexpr (kAllFlavours) {
    add_flavour<kBm, kWarps, kTiles, kDepth, kHalf, Flavour::swiglu_none>(config);
    add_flavour<kBm, kWarps, kTiles, kDepth, kHalf, Flavour::silu_none>(config);
    add_flavour<kBm, kWarps, kTiles, kDepth, kHalf, Flavour::gelu_f32>(config);
  }
  return config;
}

}  // namespace

std::vector<Config> stream_configs() {
  int sms = 0;
  MOE_CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  return {config<8, 16, 3, 4, 0>(sms),       config<8, 16, 3, 4, 1, true>(sms), config<8, 16, 4, 4, 0, true>(sms),
          config<8, 16, 1, 4, 1, true>(sms), config<8, 8, 6, 2, 0>(sms),        config<8, 8, 6, 3, 0>(sms),
          config<8, 8, 6, 3, 1, true>(sms),  config<8, 8, 8, 2, 0>(sms),        config<8, 8, 4, 4, 0>(sms),
          config<8, 8, 2, 4, 1, true>(sms)};
}

}  // namespace rtjit::check

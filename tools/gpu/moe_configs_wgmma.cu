// Configs of the wgmma variant (sm_90a).
#include "moe_mxfp4/gemm1_wgmma.cuh"
#include "moe_mxfp4/gemm2_wgmma.cuh"
#include "tools/gpu/moe_configs.h"

namespace rtjit::check {
namespace {

template <int kBm, int kBn, int kGroups, int kStages, int kHalf, Flavour kFlavour>
void add_flavour(Config& config) {
  config.gemm1[int(kFlavour)] =
      &gemm1_wgmma<kBm, kBn, kGroups, kStages, kHalf, activation_of(kFlavour), bias_of(kFlavour)>;
  config.gemm2[int(kFlavour)] = &gemm2_wgmma<kBm, kBn, kGroups, kStages, kHalf, bias_of(kFlavour)>;
}

template <int kBm, int kBn, int kGroups, int kStages, int kHalf = 0, bool kAllFlavours = false>
Config config(int sm_count) {
  using S = WgmmaShape<kBm, kBn, kGroups, kStages, kHalf != 0>;
  constexpr int kBytes = int(sizeof(WgmmaShared<S>));
  Config config{.name = "wgmma:block_m=" + std::to_string(kBm) + ",block_n=" + std::to_string(kBn) +
                        ",groups=" + std::to_string(kGroups) + ",stages=" + std::to_string(kStages) +
                        (kHalf ? " (half tiles)" : ""),
                .block_m = kBm,
                .block_n = kBn,
                .threads = S::kThreads,
                .smem1 = kBytes,
                .smem2 = kBytes,
                .max_grid = sm_count,
                .multiple_of_k = kHalf ? 32 : 64};
  add_flavour<kBm, kBn, kGroups, kStages, kHalf, Flavour::swiglu_bf16>(config);
  if constexpr (kAllFlavours) {
    add_flavour<kBm, kBn, kGroups, kStages, kHalf, Flavour::swiglu_none>(config);
    add_flavour<kBm, kBn, kGroups, kStages, kHalf, Flavour::silu_none>(config);
    add_flavour<kBm, kBn, kGroups, kStages, kHalf, Flavour::gelu_f32>(config);
  }
  return config;
}

}  // namespace

std::vector<Config> wgmma_configs() {
  int sms = 0;
  MOE_CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  return {
      config<16, 512, 4, 8>(sms),           config<24, 512, 4, 6>(sms),
      config<32, 512, 4, 6, 1>(sms),        config<16, 576, 3, 6>(sms),
      config<16, 576, 3, 8, 1>(sms),        config<24, 576, 3, 6>(sms),
      config<24, 576, 3, 6, 1, true>(sms),  config<24, 576, 3, 8>(sms),
      config<32, 576, 3, 6>(sms),           config<48, 576, 3, 6>(sms),
      config<48, 576, 3, 8, 1>(sms),        config<48, 384, 3, 6, 1>(sms),
      config<64, 384, 3, 6>(sms),           config<80, 384, 3, 6>(sms),
      config<96, 384, 3, 6>(sms),           config<96, 384, 3, 6, 1>(sms),
      config<128, 256, 2, 6>(sms),          config<144, 256, 2, 4>(sms),
      config<144, 256, 2, 8>(sms),          config<144, 256, 2, 6>(sms),
      config<144, 256, 2, 6, 1, true>(sms), config<160, 256, 2, 6>(sms),
      config<160, 256, 2, 6, 1>(sms),       config<160, 192, 3, 6, 1>(sms),
      config<192, 192, 3, 6>(sms),          config<192, 192, 3, 6, 1>(sms),
      // More computing warpgroups than the library offers: do they hide what four leave waiting?
      config<16, 384, 6, 8>(sms),           config<24, 384, 6, 8>(sms),
      config<16, 768, 6, 6>(sms),           config<16, 640, 5, 6>(sms),
  };
}

}  // namespace rtjit::check

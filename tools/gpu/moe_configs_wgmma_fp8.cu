// Configs of the wgmma_fp8 variant (sm_90a), which is compiled for one width each.
#include "moe_mxfp4/gemm1_wgmma_fp8.cuh"
#include "moe_mxfp4/gemm2_wgmma_fp8.cuh"
#include "tools/gpu/moe_configs.h"

namespace rtjit::check {
namespace {

template <int kBm, int kStages, int kK, Flavour kFlavour>
void add_flavour(Config& config) {
  constexpr int kSteps = kBm <= 64 ? 1 : 2;
  config.gemm1_fp8[int(kFlavour)] =
      &gemm1_wgmma_fp8<kBm, kStages, kSteps, kK, activation_of(kFlavour), bias_of(kFlavour)>;
  config.gemm2_fp8[int(kFlavour)] = &gemm2_wgmma_fp8<kBm, kStages, kSteps, kK, bias_of(kFlavour)>;
}

template <int kBm, int kStages, int kK, bool kAllFlavours = false>
Config config(int sm_count) {
  constexpr int kSteps = kBm <= 64 ? 1 : 2;
  using S1 = WgmmaFp8Shape<kBm, kStages, kSteps, kK, true>;
  using S2 = WgmmaFp8Shape<kBm, kStages, kSteps, kK, false>;
  Config config{.name = "wgmma_fp8:block_m=" + std::to_string(kBm) + ",stages=" + std::to_string(kStages),
                .block_m = kBm,
                .block_n = S1::kBlockN,
                .threads = S1::kThreads,
                .smem1 = int(sizeof(Gemm1Fp8Shared<S1>)),
                .smem2 = int(sizeof(Gemm2Fp8Shared<S2>)),
                .max_grid = sm_count,
                .min_k = kK,
                .max_k = kK,
                .mxfp8 = true};
  add_flavour<kBm, kStages, kK, Flavour::swiglu_bf16>(config);
  if constexpr (kAllFlavours) {
    add_flavour<kBm, kStages, kK, Flavour::swiglu_none>(config);
    add_flavour<kBm, kStages, kK, Flavour::silu_none>(config);
    add_flavour<kBm, kStages, kK, Flavour::gelu_f32>(config);
  }
  return config;
}

}  // namespace

std::vector<Config> wgmma_fp8_configs() {
  int sms = 0;
  MOE_CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  return {config<16, 4, 2880>(sms),      config<16, 6, 2880>(sms),      config<32, 4, 2880>(sms),
          config<32, 6, 2880>(sms),      config<64, 4, 2880>(sms),      config<64, 6, 2880>(sms),
          config<96, 6, 2880>(sms),      config<128, 6, 2880>(sms),     config<144, 6, 2880>(sms),
          config<160, 6, 2880>(sms),     config<16, 6, 320>(sms),       config<96, 6, 320>(sms),
          config<160, 6, 320>(sms),      config<64, 4, 608>(sms),       config<144, 6, 608>(sms),
          config<32, 6, 96, true>(sms),  config<128, 6, 96, true>(sms), config<16, 6, 224, true>(sms),
          config<160, 6, 224, true>(sms)};
}

}  // namespace rtjit::check

// All configs of the mma variant.
#include <utility>

#include "moe_mxfp4/gemm1_mma.cuh"
#include "moe_mxfp4/gemm2_mma.cuh"
#include "tools/gpu/moe_configs.h"

namespace rtjit::check {
namespace {

// The manifest's constraints.
constexpr bool feasible(int bm, int bn, int bk, int warps, int stages) {
  const int warps_m = max_of(1, bm / 64), warps_n = min_of(bn / 16, warps / warps_m);
  const int warps_k = warps / (warps_m * warps_n);
  return warps_k <= bk / 64 && (bn / (warps_n * 16)) * (bm / (warps_m * 8)) <= 32 &&
         bn >= min_of(2 * bm, 128) && bn <= 16 * bm && (warps == 8 || bn < 256 || bm >= 64) &&
         (warps == 4 || bm * bn >= 2048) && (bm > 32 || stages > 2);
}

template <int kBm, int kBn, int kBk, int kWarps, int kStages, Flavour kFlavour>
void add_flavour(Config& config) {
  config.gemm1[int(kFlavour)] =
      &gemm1_mma<kBm, kBn, kBk, kWarps, kStages, activation_of(kFlavour), bias_of(kFlavour)>;
  config.gemm2_mma[int(kFlavour)] =
      &gemm2_mma<kBm, kBn, kBk, kWarps, kStages, Store::plain, bias_of(kFlavour)>;
}

template <int kBm, int kBn, int kBk, int kWarps, int kStages>
void add_config(std::vector<Config>& configs) {
  if constexpr (feasible(kBm, kBn, kBk, kWarps, kStages)) {
    Config config{.name = "mma:block_m=" + std::to_string(kBm) + ",block_n=" + std::to_string(kBn) +
                          ",block_k=" + std::to_string(kBk) + ",warps=" + std::to_string(kWarps) +
                          ",stages=" + std::to_string(kStages),
                  .block_m = kBm,
                  .block_n = kBn,
                  .threads = 32 * kWarps,
                  .smem1 = int(sizeof(Storage1<kBm, kBn, kBk, kWarps, kStages>)),
                  .smem2 = int(sizeof(Storage2<kBm, kBn, kBk, kWarps, kStages, Store::plain>))};
    add_flavour<kBm, kBn, kBk, kWarps, kStages, Flavour::swiglu_bf16>(config);
    if constexpr (kStages == 3 &&
                  ((kBm == 8 && kBn == 64) || (kBm == 32 && kBn == 128 && kWarps == 4 && kBk == 64) ||
                   (kBm == 128 && kBn == 256 && kBk == 64))) {
      add_flavour<kBm, kBn, kBk, kWarps, kStages, Flavour::swiglu_none>(config);
      add_flavour<kBm, kBn, kBk, kWarps, kStages, Flavour::silu_none>(config);
      add_flavour<kBm, kBn, kBk, kWarps, kStages, Flavour::gelu_f32>(config);
    }
    configs.push_back(config);
  }
}

template <int kIndex>
void add_indexed(std::vector<Config>& configs) {
  add_config<8 << (kIndex % 5), 32 << (kIndex / 5 % 4), 64 << (kIndex / 20 % 2), 4 << (kIndex / 40 % 2),
             2 + kIndex / 80>(configs);
}

}  // namespace

std::vector<Config> mma_configs() {
  std::vector<Config> configs;
  [&]<int... kIndices>(std::integer_sequence<int, kIndices...>) { (add_indexed<kIndices>(configs), ...); }
  (std::make_integer_sequence<int, 240>());
  return configs;
}

}  // namespace rtjit::check

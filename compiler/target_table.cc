#include "compiler/target_table.h"

namespace rtjit {
namespace {

constexpr int64_t kKiB = 1024;
constexpr int64_t kMiB = 1024 * 1024;

// What the generations differ in; the rest of TargetLimits is the same for all of them.
constexpr TargetLimits limits(int64_t smem_block, int64_t smem_sm_kib, int threads_per_sm, int blocks_per_sm,
                              int max_cluster, int64_t reserved = 1024) {
  TargetLimits result;
  result.smem_per_block = smem_block;
  result.smem_per_sm = smem_sm_kib * kKiB;
  result.smem_reserved_per_block = reserved;
  result.threads_per_sm = threads_per_sm;
  result.blocks_per_sm = blocks_per_sm;
  result.max_cluster = max_cluster;
  return result;
}

// Shared memory of 90 and up is the largest array that the assembler accepts; the other columns are NVIDIA's
// documentation's. sm_88 has no published figures: those of its generation's small parts (sm_86) are assumed.
constexpr ArchitectureRow kArchitectureRows[] = {
    {75, "", "T4", limits(65536, 64, 1024, 16, 0, 0)},
    {80, "", "A100, A30", limits(166912, 164, 2048, 32, 0)},
    {86, "", "A10, RTX 3090", limits(101376, 100, 1536, 16, 0)},
    {87, "", "Jetson Orin", limits(166912, 164, 1536, 16, 0)},
    {88, "", "none announced", limits(101376, 100, 1536, 16, 0)},
    {89, "", "L4, L40S, RTX 4090", limits(101376, 100, 1536, 24, 0)},
    {90, "a", "H100, H200, GH200", limits(232448, 228, 2048, 32, 8)},
    {100, "af", "B200, GB200", limits(232448, 228, 2048, 32, 8)},
    {103, "af", "B300, GB300", limits(232448, 228, 2048, 32, 8)},
    {110, "af", "Jetson Thor", limits(232448, 228, 1536, 24, 8)},
    {120, "af", "RTX 5090, RTX PRO 6000 Blackwell", limits(101376, 100, 1536, 24, 8)},
    {121, "af", "GB10 (DGX Spark)", limits(101376, 100, 1536, 24, 8)},
};

}  // namespace

std::span<const ArchitectureRow> architecture_rows() { return kArchitectureRows; }

const std::vector<Sku>& all_skus() {
  // name, target, SMs, L2, GB/s, GHz, dense 16-bit TFLOP/s with fp32 accumulation.
  static const std::vector<Sku> skus = {
      {"T4", "sm_75", 40, 4 * kMiB, 320, 1.590, 65},
      {"A100", "sm_80", 108, 40 * kMiB, 2039, 1.410, 312},
      {"A30", "sm_80", 56, 24 * kMiB, 933, 1.440, 165},
      {"A10", "sm_86", 72, 6 * kMiB, 600, 1.695, 125},
      {"RTX 3090", "sm_86", 82, 6 * kMiB, 936, 1.695, 71},
      {"Jetson AGX Orin", "sm_87", 16, 4 * kMiB, 204.8, 1.300, 42.6},
      {"generic sm_88", "sm_88", 16, 4 * kMiB, 204.8, 1.300, 42.6},
      {"L40S", "sm_89", 142, 96 * kMiB, 864, 2.520, 362},
      {"L4", "sm_89", 58, 48 * kMiB, 300, 2.040, 121},
      {"RTX 4090", "sm_89", 128, 72 * kMiB, 1008, 2.520, 165.2},
      {"H200", "sm_90a", 132, 60 * kMiB, 4800, 1.980, 790},
      {"H100", "sm_90a", 132, 50 * kMiB, 3350, 1.980, 790},
      {"H20", "sm_90a", 78, 60 * kMiB, 4000, 1.980, 148},
      {"B200", "sm_100a", 148, 126 * kMiB, 8000, 1.965, 2250},
      {"B300", "sm_103a", 148, 126 * kMiB, 8000, 1.920, 2250},
      {"Jetson Thor", "sm_110a", 20, 32 * kMiB, 273, 1.575, 258},
      {"RTX 5090", "sm_120a", 170, 96 * kMiB, 1792, 2.407, 209.5},
      {"RTX PRO 6000", "sm_120a", 188, 128 * kMiB, 1792, 2.617, 503},
      {"RTX 5080", "sm_120a", 84, 64 * kMiB, 960, 2.617, 112.6},
      {"GB10", "sm_121a", 48, 24 * kMiB, 273, 2.418, 119},
  };
  return skus;
}

}  // namespace rtjit

// The problems that gemm_fp8_block is run on, with their operands drawn from a seed. No librtjit but base/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/templates/gemm_fp8_block/gemm_fp8_oracle.h"

namespace rtjit::gemm_fp8_oracle {

enum class ScaleType { f32, e8m0 };

struct Case {
  std::string name;
  int m = 1, n = 128, k = 128;
  bool out_f32 = false;
  ScaleType a_scale = ScaleType::f32, b_scale = ScaleType::f32;
  bool m_major = false;                             // layout of the scales of a
  int a_gap = 0, b_gap = 0, sa_gap = 0, d_gap = 0;  // elements between rows that no kernel may touch
  bool nans = false;                                // NaN codes and NaN scales here and there
  bool all_codes = false;                           // uniform codes instead of normal values
  bool extreme_scales = false;                      // E8M0 bytes 0 to 2 times 252 to 254
  bool every_config = false;                        // all configs instead of a rotating choice
};

std::vector<Case> all_cases();

// Operands in the formats of the template. Gaps hold NaN.
struct Operands {
  int blocks = 0, blocks_n = 0;  // of 128 k, of 128 n
  int64_t a_stride = 0, b_stride = 0, sa_stride = 0, d_stride = 0;
  std::vector<uint8_t> a, b, sa, sb;         // sa, sb: raw bytes of either format
  std::vector<double> sa_values, sb_values;  // dense, as the oracle takes them
};
Operands make_operands(const Case& c);

// Rows of d that are compared: all of a small problem; of a large one the ends and some between.
std::vector<int> compared_rows(const Case& c);
// d of those rows, dense, on all cores.
std::vector<double> expected_rows(const Case& c, const Operands& operands, const std::vector<int>& rows);

}  // namespace rtjit::gemm_fp8_oracle

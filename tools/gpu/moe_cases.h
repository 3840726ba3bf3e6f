// The problems that moe_check runs: shapes, routings and number ranges, each with its inputs drawn from a
// seed.
#pragma once

#include <string>
#include <vector>

#include "tests/templates/moe_mxfp4/moe_oracle.h"

namespace rtjit::check {

enum class BiasType { none, bf16, f32 };

struct Case {
  enum class Ids {
    random,        // distinct per token, uniform
    one_expert,    // every slot to the same expert
    some_skipped,  // a third negative or beyond the experts, with NaN weights
    all_skipped,
    beyond_32_bits,  // a third are ids of experts plus multiples of 2^32, or the least and greatest i64
    duplicates,      // the same expert several times in a token
    few,             // only experts 1 and 2
  };
  enum class Scales {
    usual,      // 117 to 122
    every,      // W1: each row another byte 0 to 254; small x
    tiny,       // W1: bytes 0 to 60; x near 2^90
    subnormal,  // W1: bytes 0 to 5, weights below the normal bf16; x near 2^110
    huge,       // W1: bytes 240 to 254 with x near 2^-115; W2: 200
    some_nan,   // a few bytes 255
    zero_rows,  // blocks of code 0 with scale bytes 0 and 254
  };

  std::string name;
  int hidden = 256, intermediate = 256, experts = 8, top_k = 4, tokens = 16;
  oracle::MoeLayout layout = oracle::MoeLayout::interleaved;
  oracle::MoeActivation activation = oracle::MoeActivation::swiglu_oai;
  BiasType bias = BiasType::bf16;
  bool limited = true, per_expert = false;
  int expert_offset = 0, id_bytes = 4, weight_bytes = 4, x_padding = 0, valid_tokens = -1;
  Ids ids = Ids::random;
  Scales scales = Scales::usual;
  bool mxfp8 = false;         // activations as MXFP8
  bool any_order = false;     // results may be added up in any order
  bool nan_x = false;         // one token's row holds a NaN
  bool every_config = false;  // all configs instead of a rotating choice
  double max_per_rms = 5e-2;  // error of a single element; see [[verify.case]] of the manifest
};

std::vector<Case> all_cases();
std::vector<Case> fp8_cases();  // with MXFP8 activations, at the widths of wgmma_fp8_configs

struct CaseData {
  oracle::MoeProblem problem;
  oracle::MoeWeights weights;
  oracle::MoeInputs inputs;
};
CaseData make_data(const Case& c);

}  // namespace rtjit::check

// The moe_mxfp4 operation in fp64 on the CPU: what every kernel is judged against. No GPU, no library but
// base/.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace rtjit::oracle {

enum class MoeLayout { interleaved, halves_gate_up, halves_up_gate };
enum class MoeActivation { swiglu_oai, silu, gelu_tanh };

// Names as in the template's manifest.
struct MoeProblem {
  int hidden = 0, intermediate = 0, experts = 0, top_k = 0;
  MoeLayout layout = MoeLayout::interleaved;
  MoeActivation activation = MoeActivation::swiglu_oai;
  double alpha = 1.702, beta = 1.0;
  std::optional<double> limit = std::nullopt;  // none: no clamp
  int expert_offset = 0;
  bool mxfp8 = false;  // x, and h after it was rounded to bf16, become MXFP8
};

// The checkpoint's linear layout. Empty biases: none.
struct MoeWeights {
  std::vector<uint8_t> w1, s1, w2, s2;
  std::vector<float> b1, b2;
};

struct MoeInputs {
  int tokens = 0;
  int64_t x_stride = 0;                         // elements
  std::vector<uint16_t> x;                      // bf16 bits
  std::vector<int64_t> ids;                     // [tokens, top_k]
  std::vector<float> weights;                   // [tokens, top_k]
  std::vector<float> alpha_e, beta_e, limit_e;  // empty: the problem's
  std::optional<int> num_valid_tokens;
};

// Value of row `row`, column `k` of an MXFP4 matrix of `columns` columns: E2M1 times 2^(E8M0 - 127), NaN for
// byte 255.
double mxfp4_value(const uint8_t* codes, const uint8_t* scales, int64_t row, int columns, int k);

// `count` values (a multiple of 32) as MXFP8 and back, as docs/moe_mxfp4.md says.
void round_to_mxfp8(double* values, int count);

// Row of w1 that holds the gate (or up) of intermediate index i.
int gate_row(const MoeProblem& problem, int i);
int up_row(const MoeProblem& problem, int i);

// h for one gate and up: clamp, then activation.
double activate(MoeActivation activation, double gate, double up, double alpha, double beta,
                std::optional<double> limit);

// Local expert of a slot's id, or -1: skipped.
int local_expert(const MoeProblem& problem, int64_t id);

// out [tokens, hidden], not rounded. Runs on `threads` threads (0: all cores).
std::vector<double> moe_reference(const MoeProblem& problem, const MoeWeights& weights,
                                  const MoeInputs& inputs, int threads = 0);

// How far `actual` (bf16 bits, dense) is from `expected`.
struct MoeError {
  double rel_l2 = 0;       // ||actual - expected|| / ||expected||
  double max_per_rms = 0;  // max |actual - expected| / rms(expected)
  int64_t misplaced =
      0;  // elements that are NaN or infinite in one of the two only, or differ in sign of infinity
  int64_t nonzero = 0;  // elements that are not 0 in rows that must be exactly 0
  bool within(double most_rel_l2, double most_per_rms) const {
    return rel_l2 <= most_rel_l2 && max_per_rms <= most_per_rms && misplaced == 0 && nonzero == 0;
  }
  // Within the limits that the manifest states.
  bool ok() const { return within(6e-3, 5e-2); }
};
MoeError compare(const std::vector<double>& expected, const std::vector<uint16_t>& actual, int hidden);

}  // namespace rtjit::oracle

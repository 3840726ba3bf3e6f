#include "tests/templates/moe_mxfp4/moe_oracle.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "base/float_formats.h"

namespace rtjit::oracle {
namespace {

// Runs body(i) for i in [0, count) on several threads.
template <class Body>
void parallel_for(int count, int threads, const Body& body) {
  if (threads <= 0) threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  threads = std::min(threads, count);
  std::atomic<int> next{0};
  auto work = [&] {
    for (int i = next++; i < count; i = next++) body(i);
  };
  std::vector<std::thread> pool;
  for (int t = 1; t < threads; ++t) pool.emplace_back(work);
  work();
  for (std::thread& thread : pool) thread.join();
}

// One expert's matrix, widened.
std::vector<double> widen(const std::vector<uint8_t>& codes, const std::vector<uint8_t>& scales,
                          int64_t first_row, int rows, int columns, int threads) {
  std::vector<double> values(static_cast<size_t>(rows) * columns);
  parallel_for(rows, threads, [&](int row) {
    for (int k = 0; k < columns; ++k) {
      values[static_cast<size_t>(row) * columns + k] =
          mxfp4_value(codes.data(), scales.data(), first_row + row, columns, k);
    }
  });
  return values;
}

// In eight partial sums: compilers then use vector instructions. `count` is a multiple of 32.
double dot(const double* a, const double* b, int count) {
  double sums[8] = {};
  for (int i = 0; i < count; i += 8) {
    for (int j = 0; j < 8; ++j) sums[j] += a[i + j] * b[i + j];
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

double per_expert(const std::vector<float>& values, int expert, double otherwise) {
  return values.empty() ? otherwise : static_cast<double>(values[expert]);
}

}  // namespace

double mxfp4_value(const uint8_t* codes, const uint8_t* scales, int64_t row, int columns, int k) {
  const uint8_t byte = codes[row * (columns / 2) + k / 2];
  const uint8_t scale = scales[row * (columns / 32) + k / 32];
  if (scale == 255) return std::numeric_limits<double>::quiet_NaN();
  const auto code = static_cast<uint8_t>(k % 2 == 0 ? byte & 15 : byte >> 4);
  return std::ldexp(static_cast<double>(float_from_e2m1(code)), scale - 127);
}

void round_to_mxfp8(double* values, int count) {
  for (double* block = values; block < values + count; block += 32) {
    double largest = 0;
    bool finite = true;
    for (int i = 0; i < 32; ++i) {
      finite = finite && std::isfinite(block[i]);
      largest = std::max(largest, std::abs(block[i]));
    }
    int exponent = -127;
    while (finite && largest > std::ldexp(448.0, exponent)) ++exponent;
    for (int i = 0; i < 32; ++i) {
      if (!finite) {
        block[i] = std::numeric_limits<double>::quiet_NaN();
        continue;
      }
      const double scaled = std::ldexp(block[i], -exponent);
      // Four significant bits down to 2^-6, multiples of 2^-9 below; nearbyint rounds ties to even.
      const int last = (scaled == 0 ? -6 : std::max(std::ilogb(scaled), -6)) - 3;
      block[i] = std::ldexp(std::nearbyint(std::ldexp(scaled, -last)), last + exponent);
    }
  }
}

int gate_row(const MoeProblem& problem, int i) {
  switch (problem.layout) {
    case MoeLayout::interleaved:
      return 2 * i;
    case MoeLayout::halves_gate_up:
      return i;
    case MoeLayout::halves_up_gate:
      return problem.intermediate + i;
  }
  return 0;
}

int up_row(const MoeProblem& problem, int i) {
  switch (problem.layout) {
    case MoeLayout::interleaved:
      return 2 * i + 1;
    case MoeLayout::halves_gate_up:
      return problem.intermediate + i;
    case MoeLayout::halves_up_gate:
      return i;
  }
  return 0;
}

double activate(MoeActivation activation, double gate, double up, double alpha, double beta,
                std::optional<double> limit) {
  if (limit) {  // comparisons are false for NaN, which therefore stays
    if (gate > *limit) gate = *limit;
    if (up > *limit) up = *limit;
    if (up < -*limit) up = -*limit;
  }
  switch (activation) {
    case MoeActivation::swiglu_oai:
      return gate / (1 + std::exp(-alpha * gate)) * (up + beta);
    case MoeActivation::silu:
      return gate / (1 + std::exp(-gate)) * up;
    case MoeActivation::gelu_tanh:
      return 0.5 * gate * (1 + std::tanh(0.7978845608028654 * (gate + 0.044715 * gate * gate * gate))) * up;
  }
  return 0;
}

int local_expert(const MoeProblem& problem, int64_t id) {
  if (id < 0) return -1;
  const int64_t local = id - problem.expert_offset;
  return local >= 0 && local < problem.experts ? static_cast<int>(local) : -1;
}

std::vector<double> moe_reference(const MoeProblem& problem, const MoeWeights& weights,
                                  const MoeInputs& inputs, int threads) {
  const int hidden = problem.hidden, intermediate = problem.intermediate, top_k = problem.top_k;
  const int valid = std::clamp(inputs.num_valid_tokens.value_or(inputs.tokens), 0, inputs.tokens);
  std::vector<std::vector<int64_t>> slots(static_cast<size_t>(problem.experts));
  for (int64_t slot = 0; slot < static_cast<int64_t>(valid) * top_k; ++slot) {
    const int expert = local_expert(problem, inputs.ids[slot]);
    if (expert >= 0) slots[expert].push_back(slot);
  }
  std::vector<double> y(static_cast<size_t>(inputs.tokens) * top_k * hidden);
  for (int expert = 0; expert < problem.experts; ++expert) {
    if (slots[expert].empty()) continue;
    const std::vector<double> w1 =
        widen(weights.w1, weights.s1, int64_t{expert} * 2 * intermediate, 2 * intermediate, hidden, threads);
    const std::vector<double> w2 =
        widen(weights.w2, weights.s2, int64_t{expert} * hidden, hidden, intermediate, threads);
    const float* b1 =
        weights.b1.empty() ? nullptr : &weights.b1[static_cast<size_t>(expert) * 2 * intermediate];
    const float* b2 = weights.b2.empty() ? nullptr : &weights.b2[static_cast<size_t>(expert) * hidden];
    const double alpha = per_expert(inputs.alpha_e, expert, problem.alpha);
    const double beta = per_expert(inputs.beta_e, expert, problem.beta);
    std::optional<double> limit = problem.limit;
    if (!inputs.limit_e.empty()) limit = inputs.limit_e[expert];
    parallel_for(static_cast<int>(slots[expert].size()), threads, [&](int index) {
      const int64_t slot = slots[expert][index];
      std::vector<double> x(hidden), h(intermediate);
      const uint16_t* row = &inputs.x[slot / top_k * inputs.x_stride];
      for (int k = 0; k < hidden; ++k) x[k] = float_from_bf16(row[k]);
      if (problem.mxfp8) round_to_mxfp8(x.data(), hidden);
      auto w1_row = [&](int r) {
        return (b1 ? b1[r] : 0) + dot(&w1[static_cast<size_t>(r) * hidden], x.data(), hidden);
      };
      for (int i = 0; i < intermediate; ++i) {
        h[i] = activate(problem.activation, w1_row(gate_row(problem, i)), w1_row(up_row(problem, i)), alpha,
                        beta, limit);
      }
      if (problem.mxfp8) {
        for (double& value : h) value = float_from_bf16(bf16_from_float(static_cast<float>(value)));
        round_to_mxfp8(h.data(), intermediate);
      }
      for (int n = 0; n < hidden; ++n) {
        y[slot * hidden + n] =
            (b2 ? b2[n] : 0) + dot(&w2[static_cast<size_t>(n) * intermediate], h.data(), intermediate);
      }
    });
  }
  std::vector<double> out(static_cast<size_t>(inputs.tokens) * hidden);
  for (int64_t slot = 0; slot < static_cast<int64_t>(valid) * top_k; ++slot) {
    if (local_expert(problem, inputs.ids[slot]) < 0) continue;
    for (int n = 0; n < hidden; ++n) {
      out[slot / top_k * hidden + n] += static_cast<double>(inputs.weights[slot]) * y[slot * hidden + n];
    }
  }
  return out;
}

MoeError compare(const std::vector<double>& expected, const std::vector<uint16_t>& actual, int hidden) {
  MoeError error;
  double difference = 0, norm = 0, largest = 0;
  int64_t finite = 0;
  for (size_t row = 0; row < expected.size(); row += hidden) {
    const bool zero = std::all_of(&expected[row], &expected[row] + hidden, [](double v) { return v == 0; });
    for (size_t i = row; i < row + hidden; ++i) {
      const double a = float_from_bf16(actual[i]);
      const double rounded = float_from_bf16(bf16_from_float(static_cast<float>(expected[i])));
      if (zero && a != 0) ++error.nonzero;
      if (!std::isfinite(a) || !std::isfinite(rounded)) {
        if (!(std::isnan(a) && std::isnan(rounded)) && a != rounded) ++error.misplaced;
        continue;
      }
      difference += (a - expected[i]) * (a - expected[i]);
      norm += expected[i] * expected[i];
      largest = std::max(largest, std::abs(a - expected[i]));
      ++finite;
    }
  }
  if (norm > 0) {
    error.rel_l2 = std::sqrt(difference / norm);
    error.max_per_rms = largest / std::sqrt(norm / static_cast<double>(finite));
  } else if (difference > 0) {
    error.rel_l2 = error.max_per_rms = std::numeric_limits<double>::infinity();
  }
  return error;
}

}  // namespace rtjit::oracle

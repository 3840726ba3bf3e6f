// The fp64 oracle itself, against numbers worked out by hand or by another formula.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/float_formats.h"
#include "tests/templates/moe_mxfp4/moe_oracle.h"

namespace rtjit::oracle {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(MoeOracle, DecodesEveryCodeWithTheLowNibbleFirst) {
  const double values[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  std::vector<uint8_t> codes(16);
  const uint8_t scale = 127;
  for (int code = 0; code < 16; ++code) {
    codes[0] = static_cast<uint8_t>(code);
    codes[1] = static_cast<uint8_t>(code << 4);
    const double expected = code < 8 ? values[code] : -values[code - 8];
    EXPECT_EQ(mxfp4_value(codes.data(), &scale, 0, 32, 0), expected);
    EXPECT_EQ(mxfp4_value(codes.data(), &scale, 0, 32, 1), 0);
    EXPECT_EQ(mxfp4_value(codes.data(), &scale, 0, 32, 3), expected);
    EXPECT_EQ(std::signbit(mxfp4_value(codes.data(), &scale, 0, 32, 0)), code >= 8);
  }
}

TEST(MoeOracle, DecodesEveryScale) {
  std::vector<uint8_t> codes(2 * 32, 0x77);  // 6 everywhere; two rows of 64
  std::vector<uint8_t> scales(4, 127);
  for (int byte = 0; byte < 255; ++byte) {
    scales[3] = static_cast<uint8_t>(byte);
    EXPECT_EQ(mxfp4_value(codes.data(), scales.data(), 1, 64, 40), std::ldexp(6.0, byte - 127));
    EXPECT_EQ(mxfp4_value(codes.data(), scales.data(), 1, 64, 31), 6);
    EXPECT_EQ(mxfp4_value(codes.data(), scales.data(), 0, 64, 40), 6);
  }
  scales[3] = 255;
  EXPECT_TRUE(std::isnan(mxfp4_value(codes.data(), scales.data(), 1, 64, 32)));
  std::fill(codes.begin(), codes.end(), uint8_t{0});
  EXPECT_TRUE(std::isnan(mxfp4_value(codes.data(), scales.data(), 1, 64, 32)));  // also of a zero
}

TEST(MoeOracle, RowsOfEveryLayout) {
  MoeProblem problem{.intermediate = 96};
  EXPECT_EQ(gate_row(problem, 5), 10);
  EXPECT_EQ(up_row(problem, 5), 11);
  problem.layout = MoeLayout::halves_gate_up;
  EXPECT_EQ(gate_row(problem, 5), 5);
  EXPECT_EQ(up_row(problem, 5), 101);
  problem.layout = MoeLayout::halves_up_gate;
  EXPECT_EQ(gate_row(problem, 5), 101);
  EXPECT_EQ(up_row(problem, 5), 5);
}

TEST(MoeOracle, Activations) {
  auto oai = [](double g, double u, std::optional<double> limit) {
    return activate(MoeActivation::swiglu_oai, g, u, 1.702, 1.0, limit);
  };
  EXPECT_EQ(oai(0, 3, {}), 0);
  EXPECT_NEAR(oai(1, 2, {}), 3 / (1 + std::exp(-1.702)), 1e-15);
  EXPECT_EQ(oai(100, 100, 7.0), oai(7, 7, {}));
  EXPECT_EQ(oai(-100, -100, 7.0), oai(-100, -7, {}));  // the gate has no lower clamp
  EXPECT_NEAR(activate(MoeActivation::silu, 2, 3, 99, 99, {}), 6 / (1 + std::exp(-2.0)), 1e-15);
  EXPECT_NEAR(activate(MoeActivation::silu, 20, 30, 0, 0, 10.0), 100 / (1 + std::exp(-10.0)), 1e-12);
  // gelu_tanh is close to the exact gelu.
  for (double g : {-3.0, -1.0, -0.1, 0.5, 2.0}) {
    const double exact = 0.5 * g * (1 + std::erf(g / std::sqrt(2.0)));
    EXPECT_NEAR(activate(MoeActivation::gelu_tanh, g, 1, 0, 0, {}), exact, 1e-3);
  }
}

TEST(MoeOracle, NanPassesTheClamps) {
  for (auto activation : {MoeActivation::swiglu_oai, MoeActivation::silu, MoeActivation::gelu_tanh}) {
    EXPECT_TRUE(std::isnan(activate(activation, kNan, 1, 1.702, 1, 7.0)));
    EXPECT_TRUE(std::isnan(activate(activation, 1, kNan, 1.702, 1, 7.0)));
  }
}

TEST(MoeOracle, SkippedIds) {
  const MoeProblem problem{.experts = 8, .expert_offset = 16};
  EXPECT_EQ(local_expert(problem, 16), 0);
  EXPECT_EQ(local_expert(problem, 23), 7);
  for (int64_t id : {-1, -16, 0, 15, 24, 1 << 20}) EXPECT_EQ(local_expert(problem, id), -1) << id;
  EXPECT_EQ(local_expert(problem, (int64_t{1} << 32) + 16), -1);  // not cut to 32 bits
}

// Weights with one nonzero element per row make the whole operation a short formula.
struct Tiny {
  MoeProblem problem{.hidden = 32, .intermediate = 32, .experts = 2, .top_k = 2};
  MoeWeights weights;
  MoeInputs inputs;
  Tiny() {
    weights.w1.assign(2 * 64 * 16, 0);
    weights.w2.assign(2 * 32 * 16, 0);
    weights.s1.assign(2 * 64, 127);
    weights.s2.assign(2 * 32, 127);
    for (int e = 0; e < 2; ++e) {
      weights.w1[(e * 64 + 0) * 16] = 0x02;                  // gate 0 = x[0]
      weights.w1[(e * 64 + 1) * 16] = 0x40;                  // up 0 = 2 x[1]
      weights.w2[(e * 32 + 3) * 16] = e == 0 ? 0x02 : 0x04;  // y[3] = h[0], or 2 h[0]
    }
    inputs.tokens = 2;
    inputs.x_stride = 32;
    inputs.x.assign(64, 0);
    inputs.x[0] = bf16_from_float(1.5f), inputs.x[1] = bf16_from_float(0.25f);
    inputs.x[32] = bf16_from_float(-2.0f), inputs.x[33] = bf16_from_float(3.0f);
    inputs.ids = {0, 1, 1, -1};
    inputs.weights = {0.75f, 0.25f, 0.5f, std::numeric_limits<float>::quiet_NaN()};
  }
};

TEST(MoeOracle, TheWholeOperation) {
  Tiny t;
  const std::vector<double> out = moe_reference(t.problem, t.weights, t.inputs, 1);
  auto h = [](double g, double u) { return g / (1 + std::exp(-1.702 * g)) * (u + 1); };
  EXPECT_NEAR(out[3], (0.75 + 0.25 * 2) * h(1.5, 0.5), 1e-14);
  EXPECT_NEAR(out[32 + 3], 0.5 * 2 * h(-2, 6), 1e-14);
  for (int i = 0; i < 64; ++i) {
    if (i % 32 != 3) {
      EXPECT_EQ(out[i], 0) << i;
    }
  }
}

TEST(MoeOracle, BiasesAndNumbersPerExpert) {
  Tiny t;
  t.weights.b1.assign(2 * 64, 0);
  t.weights.b2.assign(2 * 32, 0);
  t.weights.b1[1] = 4;        // up 0 of expert 0
  t.weights.b2[32 + 3] = 10;  // y[3] of expert 1
  t.inputs.alpha_e = {1.0f, 2.0f};
  t.inputs.beta_e = {0.0f, 0.5f};
  t.inputs.limit_e = {100.0f, 1.0f};
  const std::vector<double> out = moe_reference(t.problem, t.weights, t.inputs);
  auto h = [](double g, double u, double alpha, double beta) {
    return g / (1 + std::exp(-alpha * g)) * (u + beta);
  };
  EXPECT_NEAR(out[3], 0.75 * h(1.5, 4.5, 1, 0) + 0.25 * (2 * h(1, 0.5, 2, 0.5) + 10), 1e-13);
  EXPECT_NEAR(out[32 + 3], 0.5 * (2 * h(-2, 1, 2, 0.5) + 10), 1e-13);
}

TEST(MoeOracle, RoundsToMxfp8) {
  double block[64] = {};
  block[0] = 448, block[1] = 449.0 / 2, block[2] = 2.0 / 512, block[3] = 3.0 / 1024, block[4] = -17;
  block[32] = 449, block[33] = 1, block[34] = std::ldexp(1.0, -8), block[35] = std::ldexp(3.0, -9);
  round_to_mxfp8(block, 64);
  EXPECT_EQ(block[0], 448);
  EXPECT_EQ(block[1], 224);
  EXPECT_EQ(block[2], 2.0 / 512);  // the smallest codes are multiples of 2^-9
  EXPECT_EQ(block[3], 2.0 / 512);  // a tie goes to the even code
  EXPECT_EQ(block[4], -16);        // 17 lies between 16 and 18
  EXPECT_EQ(block[32], 448);       // the scale is 2 here: 224.5 becomes 224
  EXPECT_EQ(block[33], 1);
  EXPECT_EQ(block[34], std::ldexp(1.0, -8));
  EXPECT_EQ(block[35], std::ldexp(1.0, -7));
  block[7] = kNan;
  round_to_mxfp8(block, 64);
  EXPECT_TRUE(std::isnan(block[0]));
  EXPECT_EQ(block[33], 1);
  block[40] = std::numeric_limits<double>::infinity();
  round_to_mxfp8(block, 64);
  EXPECT_TRUE(std::isnan(block[33]));
}

// The accuracy mode is as far from exact activations as its documentation says, and not further.
TEST(MoeOracle, Mxfp8CostsAFewPercent) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  MoeProblem problem{.hidden = 256, .intermediate = 256, .experts = 2, .top_k = 2};
  MoeWeights weights;
  auto bytes = [&](std::vector<uint8_t>& v, size_t count, int low, int span) {
    v.resize(count);
    for (uint8_t& byte : v) byte = static_cast<uint8_t>(low + static_cast<int>(random() % span));
  };
  bytes(weights.w1, 2 * 512 * 128, 0, 256);
  bytes(weights.s1, 2 * 512 * 8, 117, 4);
  bytes(weights.w2, 2 * 256 * 128, 0, 256);
  bytes(weights.s2, 2 * 256 * 8, 117, 4);
  MoeInputs inputs;
  inputs.tokens = 8, inputs.x_stride = 256;
  for (int i = 0; i < 8 * 256; ++i) inputs.x.push_back(bf16_from_float(normal(random)));
  for (int t = 0; t < 8; ++t) inputs.ids.insert(inputs.ids.end(), {0, 1});
  inputs.weights.assign(16, 0.5f);
  const std::vector<double> exact = moe_reference(problem, weights, inputs);
  problem.mxfp8 = true;
  std::vector<uint16_t> rounded;
  for (double value : moe_reference(problem, weights, inputs))
    rounded.push_back(bf16_from_float(static_cast<float>(value)));
  const MoeError error = compare(exact, rounded, 256);
  EXPECT_TRUE(error.within(7e-2, 0.5)) << error.rel_l2 << " " << error.max_per_rms;
  EXPECT_GT(error.rel_l2, 2e-2);
}

TEST(MoeOracle, RowsBeyondTheValidOnesAreZero) {
  Tiny t;
  t.inputs.num_valid_tokens = 1;
  const std::vector<double> out = moe_reference(t.problem, t.weights, t.inputs);
  EXPECT_NE(out[3], 0);
  for (int i = 32; i < 64; ++i) EXPECT_EQ(out[i], 0);
}

TEST(MoeOracle, CompareSeesEachKindOfError) {
  const std::vector<double> expected = {1, -2, 3, 4, 0, 0, 0, 0};
  std::vector<uint16_t> exact;
  for (double v : expected) exact.push_back(bf16_from_float(static_cast<float>(v)));
  EXPECT_TRUE(compare(expected, exact, 4).ok());
  std::vector<uint16_t> changed = exact;
  changed[1] = bf16_from_float(-2.5f);
  EXPECT_NEAR(compare(expected, changed, 4).rel_l2, 0.5 / std::sqrt(30.0), 1e-12);
  EXPECT_FALSE(compare(expected, changed, 4).ok());
  changed = exact;
  changed[6] = bf16_from_float(1e-30f);
  EXPECT_EQ(compare(expected, changed, 4).nonzero, 1);
  EXPECT_FALSE(compare(expected, changed, 4).ok());
  changed = exact;
  changed[2] = 0x7fc0;
  EXPECT_EQ(compare(expected, changed, 4).misplaced, 1);
  EXPECT_FALSE(compare(expected, changed, 4).ok());
  EXPECT_EQ(compare({kNan, 1}, {0x7fc0, 0x3f80}, 2).misplaced, 0);
  EXPECT_EQ(compare({kNan, 1}, {0x3f80, 0x3f80}, 2).misplaced, 1);
}

}  // namespace
}  // namespace rtjit::oracle

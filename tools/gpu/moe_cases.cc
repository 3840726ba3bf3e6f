#include "tools/gpu/moe_cases.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "base/float_formats.h"

namespace rtjit::check {
namespace {

using Ids = Case::Ids;
using Scales = Case::Scales;
using oracle::MoeActivation;
using oracle::MoeLayout;

float to_bf16(double value) { return float_from_bf16(bf16_from_float(static_cast<float>(value))); }

void draw_scales(const Case& c, std::mt19937& random, CaseData& data) {
  auto between = [&](int low, int high) {
    return static_cast<uint8_t>(std::uniform_int_distribution<int>(low, high)(random));
  };
  for (uint8_t& s : data.weights.s1) s = between(117, 122);
  for (uint8_t& s : data.weights.s2) s = between(117, 122);
  const size_t blocks1 = c.hidden / 32;
  switch (c.scales) {
    case Scales::usual:
      break;
    case Scales::every:
      for (size_t i = 0; i < data.weights.s1.size(); ++i)
        data.weights.s1[i] = static_cast<uint8_t>(i / blocks1 % 255);
      break;
    case Scales::tiny:
      for (uint8_t& s : data.weights.s1) s = between(0, 60);
      break;
    case Scales::subnormal:
      for (uint8_t& s : data.weights.s1) s = between(0, 5);
      break;
    case Scales::huge:
      for (uint8_t& s : data.weights.s1) s = between(240, 254);
      for (uint8_t& s : data.weights.s2) s = 200;
      break;
    case Scales::some_nan:
      for (int i = 0; i < 3; ++i) data.weights.s2[random() % data.weights.s2.size()] = 255;
      data.weights.s1[random() % data.weights.s1.size()] = 255;
      break;
    case Scales::zero_rows:
      for (size_t i = 0; i < data.weights.s1.size(); i += 3) {
        data.weights.s1[i] = i % 2 == 0 ? 0 : 254;
        std::fill_n(&data.weights.w1[i * 16], 16, i % 4 < 2 ? uint8_t{0} : uint8_t{0x88});
      }
      break;
  }
}

void draw_ids(const Case& c, std::mt19937& random, CaseData& data) {
  std::vector<int> order(c.experts);
  std::iota(order.begin(), order.end(), 0);
  std::uniform_real_distribution<float> uniform(0.05f, 1.0f);
  for (int t = 0; t < c.tokens; ++t) {
    std::shuffle(order.begin(), order.end(), random);
    float sum = 0;
    for (int k = 0; k < c.top_k; ++k) {
      const size_t slot = static_cast<size_t>(t) * c.top_k + k;
      int64_t id = order[k % c.experts];
      if (c.ids == Ids::one_expert) id = c.experts - 1;
      if (c.ids == Ids::duplicates) id = order[k / 2 % c.experts];
      if (c.ids == Ids::few) id = 1 + static_cast<int>(random() % 2);
      data.inputs.ids[slot] = id + c.expert_offset;
      data.inputs.weights[slot] = uniform(random);
      sum += data.inputs.weights[slot];
    }
    for (int k = 0; k < c.top_k; ++k) {
      const size_t slot = static_cast<size_t>(t) * c.top_k + k;
      float& weight = data.inputs.weights[slot];
      weight = c.weight_bytes == 2 ? to_bf16(weight / sum) : weight / sum;
      const bool some = c.ids == Ids::some_skipped || c.ids == Ids::beyond_32_bits;
      const bool skip = c.ids == Ids::all_skipped || (some && random() % 3 == 0);
      if (!skip) continue;
      const int64_t id = data.inputs.ids[slot];
      const int64_t outside[] = {-1, -7, c.expert_offset + c.experts, c.expert_offset + c.experts + 100,
                                 c.expert_offset - 1};
      const int64_t wide[] = {id + (int64_t{1} << 32), id - (int64_t{1} << 32), id + (int64_t{1} << 48),
                              std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
      data.inputs.ids[slot] = c.ids == Ids::beyond_32_bits ? wide[random() % 5] : outside[random() % 5];
      weight = random() % 2 == 0 ? std::numeric_limits<float>::quiet_NaN() : -1.0f;
    }
  }
}

}  // namespace

CaseData make_data(const Case& c) {
  std::mt19937 random(static_cast<uint32_t>(std::hash<std::string>{}(c.name)));
  std::normal_distribution<double> normal;
  CaseData data;
  data.problem = {.hidden = c.hidden,
                  .intermediate = c.intermediate,
                  .experts = c.experts,
                  .top_k = c.top_k,
                  .layout = c.layout,
                  .activation = c.activation,
                  .limit = c.limited ? std::optional<double>(7.0) : std::nullopt,
                  .expert_offset = c.expert_offset,
                  .mxfp8 = c.mxfp8};
  const size_t experts = c.experts, rows1 = 2 * static_cast<size_t>(c.intermediate), rows2 = c.hidden;
  data.weights.w1.resize(experts * rows1 * c.hidden / 2);
  data.weights.s1.resize(experts * rows1 * c.hidden / 32);
  data.weights.w2.resize(experts * rows2 * c.intermediate / 2);
  data.weights.s2.resize(experts * rows2 * c.intermediate / 32);
  for (uint8_t& byte : data.weights.w1) byte = static_cast<uint8_t>(random());
  for (uint8_t& byte : data.weights.w2) byte = static_cast<uint8_t>(random());
  if (c.bias != BiasType::none) {
    data.weights.b1.resize(experts * rows1);
    data.weights.b2.resize(experts * rows2);
    for (auto* bias : {&data.weights.b1, &data.weights.b2}) {
      for (float& value : *bias) {
        value = static_cast<float>(normal(random) * 0.5);
        if (c.bias == BiasType::bf16) value = to_bf16(value);
      }
    }
  }
  draw_scales(c, random, data);

  data.inputs.tokens = c.tokens;
  data.inputs.x_stride = c.hidden + c.x_padding;
  data.inputs.x.assign(static_cast<size_t>(c.tokens) * data.inputs.x_stride, 0x7fc0);  // padding is NaN
  double size = 1;
  if (c.scales == Scales::every) size = std::ldexp(1.0, -8);
  if (c.scales == Scales::tiny) size = std::ldexp(1.0, 90);
  if (c.scales == Scales::subnormal) size = std::ldexp(1.0, 110);
  if (c.scales == Scales::huge) size = std::ldexp(1.0, -121);
  for (int t = 0; t < c.tokens; ++t) {
    for (int k = 0; k < c.hidden; ++k) {
      data.inputs.x[t * data.inputs.x_stride + k] =
          bf16_from_float(static_cast<float>(normal(random) * size));
    }
  }
  if (c.nan_x) data.inputs.x[c.tokens / 2 * data.inputs.x_stride + 5] = 0x7fc0;
  data.inputs.ids.resize(static_cast<size_t>(c.tokens) * c.top_k);
  data.inputs.weights.resize(data.inputs.ids.size());
  draw_ids(c, random, data);
  if (c.per_expert) {
    for (int e = 0; e < c.experts; ++e) {
      data.inputs.alpha_e.push_back(1.0f + 0.1f * static_cast<float>(e));
      data.inputs.beta_e.push_back(0.25f * static_cast<float>(e % 5));
      data.inputs.limit_e.push_back(2.0f + 0.5f * static_cast<float>(e % 7));
    }
  }
  if (c.valid_tokens >= 0) data.inputs.num_valid_tokens = c.valid_tokens;
  return data;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int tokens : {0, 1, 2, 3, 8, 17, 33, 64, 129}) {
    cases.push_back({.name = "tokens " + std::to_string(tokens),
                     .hidden = 320,
                     .intermediate = 320,
                     .tokens = tokens,
                     .every_config = tokens == 17 || tokens == 129});
  }
  cases.push_back({.name = "tokens 1024, one launch of align", .tokens = 1024});
  cases.push_back({.name = "tokens 1025, two launches of align", .tokens = 1025, .every_config = true});
  cases.push_back({.name = "tokens 8191", .hidden = 128, .intermediate = 96, .experts = 32, .tokens = 8191});
  cases.push_back({.name = "tokens 8192", .hidden = 64, .intermediate = 64, .experts = 128, .tokens = 8192});
  cases.push_back(
      {.name = "tokens 65536", .hidden = 32, .intermediate = 32, .experts = 32, .top_k = 2, .tokens = 65536});
  cases.push_back({.name = "top_k 32 of 1024 experts",
                   .hidden = 32,
                   .intermediate = 32,
                   .experts = 1024,
                   .top_k = 32,
                   .tokens = 300});
  for (int width : {32, 64, 96, 160, 192, 224}) {
    cases.push_back({.name = "hidden and intermediate " + std::to_string(width),
                     .hidden = width,
                     .intermediate = width,
                     .tokens = 40});
  }
  cases.push_back(
      {.name = "intermediate 1440", .hidden = 288, .intermediate = 1440, .experts = 4, .tokens = 20});
  cases.push_back(
      {.name = "intermediate 736", .hidden = 288, .intermediate = 736, .experts = 4, .tokens = 20});
  cases.push_back(
      {.name = "intermediate 672", .hidden = 256, .intermediate = 672, .experts = 4, .tokens = 20});
  cases.push_back({.name = "intermediate 192, hidden 2880",
                   .hidden = 2880,
                   .intermediate = 192,
                   .experts = 4,
                   .tokens = 20});
  cases.push_back(
      {.name = "gpt-oss dims, 8 experts", .hidden = 2880, .intermediate = 2880, .experts = 8, .tokens = 12});
  cases.push_back({.name = "deepseek-v4 dims, 8 experts, silu",
                   .hidden = 4096,
                   .intermediate = 2048,
                   .experts = 8,
                   .top_k = 6,
                   .tokens = 6,
                   .layout = MoeLayout::halves_gate_up,
                   .activation = MoeActivation::silu,
                   .bias = BiasType::none});
  for (int top_k : {1, 3, 6, 8}) {
    cases.push_back({.name = "top_k " + std::to_string(top_k), .hidden = 96, .top_k = top_k, .tokens = 30});
  }
  cases.push_back({.name = "halves gate up, silu, no bias, no limit",
                   .layout = MoeLayout::halves_gate_up,
                   .activation = MoeActivation::silu,
                   .bias = BiasType::none,
                   .limited = false});
  cases.push_back({.name = "halves up gate, gelu, f32 bias",
                   .layout = MoeLayout::halves_up_gate,
                   .activation = MoeActivation::gelu_tanh,
                   .bias = BiasType::f32,
                   .limited = false});
  cases.push_back({.name = "halves up gate, swiglu, no bias",
                   .tokens = 50,
                   .layout = MoeLayout::halves_up_gate,
                   .bias = BiasType::none});
  cases.push_back(
      {.name = "alpha, beta, limit per expert", .tokens = 60, .limited = false, .per_expert = true});
  cases.push_back({.name = "one expert gets all", .tokens = 200, .ids = Ids::one_expert});
  cases.push_back({.name = "one expert gets all of 4000",
                   .hidden = 64,
                   .intermediate = 64,
                   .tokens = 4000,
                   .ids = Ids::one_expert});
  cases.push_back(
      {.name = "two experts of 128", .hidden = 64, .experts = 128, .tokens = 33, .ids = Ids::few});
  cases.push_back({.name = "a third skipped, NaN weights", .tokens = 70, .ids = Ids::some_skipped});
  cases.push_back({.name = "a third skipped, many tokens, offset",
                   .hidden = 64,
                   .intermediate = 96,
                   .tokens = 1500,
                   .expert_offset = 16,
                   .ids = Ids::some_skipped});
  cases.push_back({.name = "all skipped", .tokens = 9, .ids = Ids::all_skipped});
  cases.push_back({.name = "all skipped, many tokens",
                   .hidden = 64,
                   .intermediate = 64,
                   .tokens = 2000,
                   .ids = Ids::all_skipped});
  cases.push_back({.name = "an expert twice in a token", .tokens = 25, .ids = Ids::duplicates});
  cases.push_back({.name = "expert offset 64, i64 ids", .tokens = 21, .expert_offset = 64, .id_bytes = 8});
  cases.push_back({.name = "i64 ids that fit 32 bits when cut",
                   .tokens = 30,
                   .expert_offset = 3,
                   .id_bytes = 8,
                   .ids = Ids::beyond_32_bits});
  cases.push_back({.name = "i16 ids, bf16 weights", .tokens = 21, .id_bytes = 2, .weight_bytes = 2});
  cases.push_back({.name = "padded rows of x", .tokens = 21, .x_padding = 64});
  cases.push_back({.name = "rows beyond num_valid_tokens", .tokens = 40, .valid_tokens = 23});
  cases.push_back({.name = "no valid tokens", .tokens = 40, .valid_tokens = 0});
  cases.push_back({.name = "num_valid_tokens of many",
                   .hidden = 64,
                   .intermediate = 64,
                   .tokens = 3000,
                   .valid_tokens = 1777});
  cases.push_back({.name = "NaN in one row of x", .tokens = 20, .nan_x = true});
  cases.push_back(
      {.name = "NaN in a skipped row of x", .tokens = 20, .ids = Ids::all_skipped, .nan_x = true});
  cases.push_back({.name = "NaN beyond num_valid_tokens", .tokens = 20, .valid_tokens = 10, .nan_x = true});
  cases.push_back({.name = "scale bytes 0 to 254", .bias = BiasType::none, .scales = Scales::every});
  cases.push_back({.name = "small scale bytes, large x", .bias = BiasType::none, .scales = Scales::tiny});
  cases.push_back(
      {.name = "weights below the normal bf16", .bias = BiasType::none, .scales = Scales::subnormal});
  cases.push_back({.name = "large scale bytes, small x", .bias = BiasType::none, .scales = Scales::huge});
  cases.push_back({.name = "scale byte 255",
                   .hidden = 192,
                   .intermediate = 96,
                   .tokens = 30,
                   .scales = Scales::some_nan});
  cases.push_back({.name = "zero blocks with any scale", .scales = Scales::zero_rows});
  return cases;
}

std::vector<Case> fp8_cases() {
  std::vector<Case> cases;
  for (int width : {320, 608}) {
    for (int tokens : {0, 1, 8, 129, 513}) {
      cases.push_back({.name = "width " + std::to_string(width) + ", tokens " + std::to_string(tokens),
                       .hidden = width,
                       .tokens = tokens,
                       .every_config = true});
    }
  }
  cases.push_back({.name = "tokens 1025, two launches of align", .hidden = 320, .tokens = 1025});
  for (int tokens : {1, 13, 513}) {
    cases.push_back({.name = "gpt-oss dims, tokens " + std::to_string(tokens),
                     .hidden = 2880,
                     .tokens = tokens,
                     .every_config = tokens != 513});
  }
  cases.push_back({.name = "top_k 1", .hidden = 96, .top_k = 1, .tokens = 40});
  cases.push_back({.name = "top_k 6 of 32", .hidden = 224, .experts = 32, .top_k = 6, .tokens = 90});
  cases.push_back({.name = "halves gate up, silu, no bias, no limit",
                   .hidden = 224,
                   .tokens = 100,
                   .layout = MoeLayout::halves_gate_up,
                   .activation = MoeActivation::silu,
                   .bias = BiasType::none,
                   .limited = false});
  cases.push_back({.name = "halves up gate, gelu, f32 bias",
                   .hidden = 96,
                   .tokens = 100,
                   .layout = MoeLayout::halves_up_gate,
                   .activation = MoeActivation::gelu_tanh,
                   .bias = BiasType::f32,
                   .limited = false});
  cases.push_back({.name = "per expert", .hidden = 320, .tokens = 60, .limited = false, .per_expert = true});
  cases.push_back({.name = "one expert gets all", .hidden = 320, .tokens = 700, .ids = Ids::one_expert});
  cases.push_back(
      {.name = "two experts of 128", .hidden = 96, .experts = 128, .tokens = 33, .ids = Ids::few});
  cases.push_back({.name = "a third skipped, NaN weights",
                   .hidden = 320,
                   .tokens = 70,
                   .expert_offset = 16,
                   .ids = Ids::some_skipped});
  cases.push_back({.name = "all skipped", .hidden = 320, .tokens = 9, .ids = Ids::all_skipped});
  cases.push_back(
      {.name = "an expert twice in a token", .hidden = 320, .tokens = 25, .ids = Ids::duplicates});
  cases.push_back({.name = "i64 ids, padded x", .hidden = 320, .tokens = 30, .id_bytes = 8, .x_padding = 64});
  cases.push_back({.name = "NaN beyond num_valid_tokens",
                   .hidden = 320,
                   .tokens = 40,
                   .valid_tokens = 20,
                   .nan_x = true});
  cases.push_back({.name = "NaN in one row of x", .hidden = 320, .tokens = 20, .nan_x = true});
  for (const auto& [name, scales] : {std::pair{"scale bytes 0 to 254", Scales::every},
                                     {"small scale bytes, large x", Scales::tiny},
                                     {"large scale bytes, small x", Scales::huge}})
    cases.push_back({.name = name, .hidden = 96, .bias = BiasType::none, .scales = scales});
  cases.push_back({.name = "scale byte 255", .hidden = 320, .tokens = 30, .scales = Scales::some_nan});
  cases.push_back({.name = "zero blocks with any scale", .hidden = 320, .scales = Scales::zero_rows});
  for (Case& c : cases) {
    c.name = "mxfp8, " + c.name;
    c.intermediate = c.hidden;
    c.mxfp8 = true;
    c.max_per_rms = 2.5e-1;
  }
  return cases;
}

}  // namespace rtjit::check

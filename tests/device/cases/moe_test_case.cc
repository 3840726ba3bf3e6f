#include "tests/device/cases/moe_test_case.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "base/float_formats.h"

namespace rtjit::testing {
namespace {

const char* name_of(oracle::MoeLayout layout) {
  switch (layout) {
    case oracle::MoeLayout::interleaved:
      return "interleaved";
    case oracle::MoeLayout::halves_gate_up:
      return "halves_gate_up";
    case oracle::MoeLayout::halves_up_gate:
      return "halves_up_gate";
  }
  return "";
}

const char* name_of(oracle::MoeActivation activation) {
  switch (activation) {
    case oracle::MoeActivation::swiglu_oai:
      return "swiglu_oai";
    case oracle::MoeActivation::silu:
      return "silu";
    case oracle::MoeActivation::gelu_tanh:
      return "gelu_tanh";
  }
  return "";
}

const char* name_of(check::BiasType bias) {
  switch (bias) {
    case check::BiasType::none:
      return "none";
    case check::BiasType::bf16:
      return "bf16";
    case check::BiasType::f32:
      return "f32";
  }
  return "";
}

std::vector<unsigned char> floats_as(const std::vector<float>& values, bool bf16) {
  if (!bf16) return bytes_as<float>(values);
  std::vector<uint16_t> bits;
  for (float value : values) bits.push_back(bf16_from_float(value));
  return bytes_as<uint16_t>(bits);
}

std::vector<unsigned char> integers_as(const std::vector<int64_t>& values, int bytes) {
  if (bytes == 2) return bytes_as<int16_t>(values);
  return bytes == 4 ? bytes_as<int32_t>(values) : bytes_as<int64_t>(values);
}

DType integer_type(int bytes) { return bytes == 2 ? DType::i16 : bytes == 4 ? DType::i32 : DType::i64; }

}  // namespace

TestCase make_moe_case(const check::Case& c) {
  const check::CaseData data = check::make_data(c);
  TestCase test;
  test.name = c.name;
  test.template_name = "moe_mxfp4";
  test.value = c.tokens;
  test.every_config = c.every_config;
  test.problem = fmt::format(
      "hidden={},intermediate={},experts={},top_k={},layout={},activation={},bias={},limited={},limit=7,"
      "expert_offset={},activations={},sums={}",
      c.hidden, c.intermediate, c.experts, c.top_k, name_of(c.layout), name_of(c.activation), name_of(c.bias),
      c.limited ? 1 : 0, c.expert_offset, c.mxfp8 ? "mxfp8" : "bf16", c.any_order ? "any_order" : "ordered");
  test.deterministic = !c.any_order;

  const int64_t tokens = c.tokens, hidden = c.hidden, inner = c.intermediate, experts = c.experts;
  const oracle::MoeInputs& in = data.inputs;
  test.launch = {
      {"x", DType::bf16, {tokens, hidden}, {in.x_stride, 1}, bytes_as<uint16_t>(in.x)},
      {"ids", integer_type(c.id_bytes), {tokens, c.top_k}, {}, integers_as(in.ids, c.id_bytes)},
      {"weights",
       c.weight_bytes == 2 ? DType::bf16 : DType::f32,
       {tokens, c.top_k},
       {},
       floats_as(in.weights, c.weight_bytes == 2)},
      {"out", DType::bf16, {tokens, hidden}, {}, {}, true},
  };
  if (c.per_expert) {
    test.launch.push_back({"alpha_e", DType::f32, {experts}, {}, bytes_as<float>(in.alpha_e)});
    test.launch.push_back({"beta_e", DType::f32, {experts}, {}, bytes_as<float>(in.beta_e)});
    test.launch.push_back({"limit_e", DType::f32, {experts}, {}, bytes_as<float>(in.limit_e)});
  }
  if (in.num_valid_tokens) {
    test.launch.push_back(
        {"num_valid_tokens", DType::i32, {1}, {}, bytes_as<int32_t>(std::vector<int>{*in.num_valid_tokens})});
  }
  const oracle::MoeWeights& w = data.weights;
  test.pack = {
      {"w1", DType::u8, {experts, 2 * inner, hidden / 2}, {}, w.w1},
      {"s1", DType::u8, {experts, 2 * inner, hidden / 32}, {}, w.s1},
      {"w2", DType::u8, {experts, hidden, inner / 2}, {}, w.w2},
      {"s2", DType::u8, {experts, hidden, inner / 32}, {}, w.s2},
  };
  if (c.bias != check::BiasType::none) {
    const bool bf16 = c.bias == check::BiasType::bf16;
    const DType type = bf16 ? DType::bf16 : DType::f32;
    test.pack.push_back({"b1", type, {experts, 2 * inner}, {}, floats_as(w.b1, bf16)});
    test.pack.push_back({"b2", type, {experts, hidden}, {}, floats_as(w.b2, bf16)});
  }

  auto expected = std::make_shared<const std::vector<double>>(
      oracle::moe_reference(data.problem, data.weights, data.inputs));
  // Sums in bf16 may be off by more in single elements, as the manifest says.
  const double most_per_rms = std::max(c.max_per_rms, c.any_order ? 1e-1 : 0.0);
  test.judge = [expected, width = c.hidden, most_per_rms](const std::vector<unsigned char>& output) {
    std::vector<uint16_t> actual(output.size() / 2);
    if (!output.empty()) std::memcpy(actual.data(), output.data(), output.size());
    const oracle::MoeError error = oracle::compare(*expected, actual, width);
    Judgement judgement{error.rel_l2, error.max_per_rms, ""};
    if (!error.within(6e-3, most_per_rms)) {
      judgement.wrong =
          fmt::format("relL2 {:.2e}, max per rms {:.2e}, {} NaN or infinities misplaced, {} not zero",
                      error.rel_l2, error.max_per_rms, error.misplaced, error.nonzero);
    }
    return judgement;
  };
  return test;
}

}  // namespace rtjit::testing

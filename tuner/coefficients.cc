#include "tuner/coefficients.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "tuner/embedded.h"

namespace rtjit {
namespace {

using C = CostCoefficients;
constexpr CoefficientField kFields[] = {
    {"dram_efficiency", &C::dram_efficiency, 0.2, 1},
    {"l2_bytes_per_clock_sm", &C::l2_bytes_per_clock_sm, 8, 256},
    {"dram_latency_us", &C::dram_latency_us, 0.1, 5},
    {"l2_latency_us", &C::l2_latency_us, 0.05, 3},
    {"mma_efficiency", &C::mma_efficiency, 0.05, 1},
    {"async_mma_efficiency", &C::async_mma_efficiency, 0.05, 1},
    {"alu_lanes_per_clock_sm", &C::alu_lanes_per_clock_sm, 4, 512},
    {"fma_lanes_per_clock_sm", &C::fma_lanes_per_clock_sm, 8, 256},
    {"warps_for_peak", &C::warps_for_peak, 1, 64},
    {"step_overhead_us", &C::step_overhead_us, 0.001, 2},
    {"launch_us", &C::launch_us, 0.2, 20},
    {"overlap", &C::overlap, 0.02, 1},
};

constexpr const char* kFamilies[] = {"ampere", "ada", "hopper", "blackwell_datacenter", "blackwell_consumer"};

// The shipped files. A test checks that each family has one that can be read.
std::map<std::string, CostCoefficients> shipped() {
  std::map<std::string, CostCoefficients> result;
  for (const EmbeddedFile& file : embedded_coefficients()) {
    if (auto parsed = parse_coefficients(file.content)) result[parsed->family] = parsed->coefficients;
  }
  for (const char* family : kFamilies) result.try_emplace(family);
  return result;
}

}  // namespace

std::span<const CoefficientField> coefficient_fields() { return kFields; }

const char* family_of(const Target& target) {
  if (target.cc() >= 120) return "blackwell_consumer";
  if (target.cc() >= 100) return "blackwell_datacenter";
  if (target.cc() >= 90) return "hopper";
  if (target.cc() >= 89) return "ada";
  return "ampere";  // and what is older
}

std::vector<std::string> families() { return {std::begin(kFamilies), std::end(kFamilies)}; }

const CostCoefficients& coefficients_for(const Target& target) {
  static const std::map<std::string, CostCoefficients> table = shipped();
  return table.at(family_of(target));
}

std::string coefficients_text(const CoefficientFile& file) {
  nlohmann::ordered_json values = nlohmann::ordered_json::object();
  for (const CoefficientField& field : kFields) {
    // Four digits say more than measurements can.
    values[field.name] = std::stod(fmt::format("{:.4g}", file.coefficients.*field.member));
  }
  nlohmann::ordered_json out = {{"family", file.family}, {"origin", file.origin}, {"coefficients", values}};
  return out.dump(2) + "\n";
}

Result<CoefficientFile> parse_coefficients(std::string_view text) {
  const auto invalid = [](std::string reason) {
    return make_error(ErrorCode::invalid_argument, "coefficients: {}", reason);
  };
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("coefficients") || !json["coefficients"].is_object() ||
      !json.contains("family") || !json["family"].is_string()) {
    return invalid("a JSON object with \"family\" and \"coefficients\" is expected");
  }
  CoefficientFile file;
  file.family = json["family"];
  if (json.contains("origin") && json["origin"].is_string()) file.origin = json["origin"];
  const std::vector<std::string> known = families();
  if (std::find(known.begin(), known.end(), file.family) == known.end()) {
    return invalid(fmt::format("there is no family '{}'; families are {}", file.family, join(known, ", ")));
  }
  const auto& values = json["coefficients"];
  for (const CoefficientField& field : kFields) {
    if (!values.contains(field.name) || !values[field.name].is_number()) {
      return invalid(fmt::format("the number {} is missing", field.name));
    }
    double value = values[field.name];
    if (!(value >= field.low && value <= field.high)) {
      return invalid(fmt::format("{} is {}, allowed are {} to {}", field.name, value, field.low, field.high));
    }
    file.coefficients.*field.member = value;
  }
  for (const auto& [name, value] : values.items()) {
    bool found = false;
    for (const CoefficientField& field : kFields) found = found || name == field.name;
    if (!found) return invalid(fmt::format("there is no coefficient '{}'", name));
  }
  return file;
}

}  // namespace rtjit

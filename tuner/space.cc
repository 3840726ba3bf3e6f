#include "tuner/space.h"

namespace rtjit {
namespace {

constexpr int64_t kMaxConfigs = 200000;

Result<std::vector<Value>> values_of(const Variant& variant, const KeySpec& parameter) {
  if (!parameter.values.empty()) return parameter.values;
  if (parameter.type == KeySpec::Type::integer) {
    int64_t step = parameter.multiple_of > 0 ? parameter.multiple_of : 1;
    int64_t first = (parameter.min + step - 1) / step * step;
    if (parameter.max >= first && (parameter.max - first) / step < kMaxConfigs) {
      std::vector<Value> values;
      for (int64_t value = first; value <= parameter.max; value += step) values.emplace_back(value);
      return values;
    }
  }
  return make_error(ErrorCode::invalid_argument,
                    "variant '{}': parameter '{}' has no list of values to search over; give it `values`",
                    variant.name, parameter.name);
}

}  // namespace

Result<std::vector<Config>> enumerate_configs(const Variant& variant) {
  std::vector<std::vector<Value>> axes;
  int64_t count = 1;
  for (const KeySpec& parameter : variant.parameters) {
    auto values = values_of(variant, parameter);
    if (!values) return values.error();
    count *= static_cast<int64_t>(values->size());
    axes.push_back(std::move(*values));
    if (count > kMaxConfigs) {
      return make_error(ErrorCode::invalid_argument, "variant '{}' has more than {} configs", variant.name,
                        with_thousands(kMaxConfigs));
    }
  }
  std::vector<Config> configs;
  configs.reserve(static_cast<size_t>(count));
  std::vector<size_t> at(axes.size(), 0);
  for (int64_t i = 0; i < count; ++i) {
    std::vector<std::pair<std::string, Value>> values;
    for (size_t axis = 0; axis < axes.size(); ++axis) {
      values.emplace_back(variant.parameters[axis].name, axes[axis][at[axis]]);
    }
    configs.emplace_back(std::move(values));
    for (size_t axis = axes.size(); axis-- > 0;) {
      if (++at[axis] < axes[axis].size()) break;
      at[axis] = 0;
    }
  }
  return configs;
}

}  // namespace rtjit

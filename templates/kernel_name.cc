#include "templates/kernel_name.h"

namespace rtjit {
namespace {

const KeySpec* find_choice(const std::vector<KeySpec>& keys, const std::string& name) {
  for (const KeySpec& key : keys) {
    if (key.name == name && key.type == KeySpec::Type::choice) return &key;
  }
  return nullptr;
}

const Value* find_value(const Problem& problem, const Config& config, const std::string& name) {
  for (const auto& [key, value] : config.values()) {
    if (key == name) return &value;
  }
  return problem.find(name);
}

}  // namespace

Result<KernelName> KernelName::create(const LaunchSpec& launch, const Template& tmpl, const Variant* variant,
                                      const SymbolTable& symbols) {
  KernelName name;
  name.kernel_ = launch.kernel;
  for (const std::string& text : launch.template_args) {
    const KeySpec* choice = find_choice(tmpl.problem, text);
    if (!choice && variant) choice = find_choice(variant->parameters, text);
    if (choice) {
      name.arguments_.push_back({Formula(), text, choice->cpp});
      continue;
    }
    auto formula = Formula::parse(text, symbols);
    if (!formula) return formula.error().with_context("template_args of " + launch.kernel);
    name.arguments_.push_back({std::move(*formula), "", ""});
  }
  return name;
}

Result<std::string> KernelName::expression(const Problem& problem, const Config& config,
                                           std::span<const int64_t> values,
                                           const SymbolTable& symbols) const {
  std::string text = kernel_;
  for (size_t i = 0; i < arguments_.size(); ++i) {
    const Argument& argument = arguments_[i];
    text += i == 0 ? "<" : ", ";
    if (!argument.choice.empty()) {
      const Value* value = find_value(problem, config, argument.choice);
      if (!value) return make_error(ErrorCode::internal, "{}: '{}' has no value", kernel_, argument.choice);
      text += argument.cpp + "::" + to_string(*value);
      continue;
    }
    auto value = argument.formula.evaluate_or_error(values, symbols);
    if (!value) return value.error().with_context("template_args of " + kernel_);
    text += std::to_string(*value);
  }
  return arguments_.empty() ? text : text + ">";
}

std::string KernelName::base_name() const {
  size_t colon = kernel_.rfind(':');
  return colon == std::string::npos ? kernel_ : kernel_.substr(colon + 1);
}

}  // namespace rtjit

#include "tuner/problem_scope.h"

#include <algorithm>

namespace rtjit {
namespace {

// Every value that some variant's parameter of this name can take, as text; empty for a range.
std::vector<std::string> values_of(const Template& tmpl, const ConfigFilter& filter,
                                   const std::string& parameter, bool* known) {
  std::vector<std::string> values;
  *known = false;
  for (const Stage& stage : tmpl.stages) {
    if (!filter.stage.empty() && stage.name != filter.stage) continue;
    for (const Variant& variant : stage.variants) {
      if (!filter.variant.empty() && variant.name != filter.variant) continue;
      for (const KeySpec& spec : variant.parameters) {
        if (spec.name != parameter) continue;
        *known = true;
        for (const Value& value : spec.values) {
          std::string text = to_string(value);
          if (std::find(values.begin(), values.end(), text) == values.end())
            values.push_back(std::move(text));
        }
      }
    }
  }
  return values;
}

std::vector<std::string> filter_keys(const Template& tmpl) {
  std::vector<std::string> keys = {"stage", "variant"};
  for (const Stage& stage : tmpl.stages) {
    for (const Variant& variant : stage.variants) {
      for (const KeySpec& spec : variant.parameters) {
        if (std::find(keys.begin(), keys.end(), spec.name) == keys.end()) keys.push_back(spec.name);
      }
    }
  }
  return keys;
}

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known) {
  std::string near = nearest_name(name, known);
  return near.empty() ? "" : fmt::format("; did you mean '{}'?", near);
}

Status check_stage_and_variant(const Template& tmpl, const ConfigFilter& filter) {
  std::vector<std::string> stages, variants;
  for (const Stage& stage : tmpl.stages) {
    stages.push_back(stage.name);
    if (!filter.stage.empty() && stage.name != filter.stage) continue;
    for (const Variant& variant : stage.variants) {
      if (std::find(variants.begin(), variants.end(), variant.name) == variants.end()) {
        variants.push_back(variant.name);
      }
    }
  }
  if (!filter.stage.empty() && std::find(stages.begin(), stages.end(), filter.stage) == stages.end()) {
    return make_error(ErrorCode::invalid_argument, "--config: {} has no stage '{}'; its stages are {}{}",
                      tmpl.name, filter.stage, join(stages, ", "), did_you_mean(filter.stage, stages));
  }
  if (!filter.variant.empty() &&
      std::find(variants.begin(), variants.end(), filter.variant) == variants.end()) {
    return make_error(ErrorCode::invalid_argument, "--config: no variant '{}'; there are {}{}",
                      filter.variant, join(variants, ", "), did_you_mean(filter.variant, variants));
  }
  return {};
}

Result<std::vector<int64_t>> parse_tokens(const Template& tmpl, const std::string& text) {
  std::vector<int64_t> values;
  for (const std::string& part : split(text, ',')) {
    auto value = parse_int(part);
    int64_t least = 0, most = INT64_MAX;
    for (const LaunchScalar& scalar : tmpl.scalars) {
      if (scalar.name != tmpl.bucket_scalar) continue;
      least = scalar.min;
      most = scalar.max;
    }
    if (!value || *value < least || *value > most) {
      return make_error(ErrorCode::invalid_argument, "--tokens: '{}' is not a number of {} from {} to {}",
                        part, tmpl.bucket_scalar, with_thousands(least), with_thousands(most));
    }
    values.push_back(*value);
  }
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// The buckets of ascending values; all of them without a value.
std::vector<int64_t> buckets_of(const Template& tmpl, const std::vector<int64_t>& values) {
  if (values.empty()) return tmpl.buckets;
  std::vector<int64_t> buckets;
  for (int64_t value : values) {
    int64_t bucket = bucket_for(tmpl, value);
    if (buckets.empty() || buckets.back() != bucket) buckets.push_back(bucket);
  }
  return buckets;
}

}  // namespace

bool ConfigFilter::matches(std::string_view stage_name, std::string_view variant_name,
                           const Config& candidate) const {
  if (!stage.empty() && stage != stage_name) return false;
  if (!variant.empty() && variant != variant_name) return false;
  for (const auto& [key, wanted] : values) {
    bool found = false;
    for (const auto& [name, value] : candidate.values())
      found = found || (name == key && to_string(value) == wanted);
    if (!found) return false;
  }
  return true;
}

Result<ConfigFilter> parse_config_filter(const Template& tmpl, std::string_view text) {
  auto pairs = parse_key_values(text);
  if (!pairs) return pairs.error().with_context("--config");
  ConfigFilter filter;
  for (auto& [key, value] : *pairs) {
    if (key == "stage") {
      filter.stage = value;
    } else if (key == "variant") {
      filter.variant = value;
    } else {
      filter.values.emplace_back(key, value);
    }
  }
  if (Status status = check_stage_and_variant(tmpl, filter); !status) return status.error();
  for (const auto& [key, value] : filter.values) {
    bool known = false;
    std::vector<std::string> allowed = values_of(tmpl, filter, key, &known);
    if (!known) {
      std::vector<std::string> keys = filter_keys(tmpl);
      return make_error(ErrorCode::invalid_argument, "--config: {} has no parameter '{}'; keys are {}{}",
                        tmpl.name, key, join(keys, ", "), did_you_mean(key, keys));
    }
    if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), value) == allowed.end()) {
      return make_error(ErrorCode::invalid_argument, "--config: {}={}: allowed are {}", key, value,
                        join(allowed, ", "));
    }
  }
  return filter;
}

Result<Problem> resolve_problem(const TemplateRegistry& registry, const Template& tmpl,
                                const ScopeRequest& request) {
  KeyValues given;
  if (!request.preset.empty()) given.emplace_back("preset", request.preset);
  auto keys = parse_key_values(request.problem);
  if (!keys) return keys.error().with_context("--problem");
  given.insert(given.end(), keys->begin(), keys->end());
  return registry.problem(tmpl, given);
}

Result<std::vector<int64_t>> resolve_buckets(const Template& tmpl, const std::string& tokens) {
  auto values = parse_tokens(tmpl, tokens);
  if (!values) return values.error();
  return buckets_of(tmpl, *values);
}

Result<ProblemScope> resolve_scope(const TemplateRegistry& registry, const ScopeRequest& request,
                                   const std::optional<DeviceInfo>& device) {
  ProblemScope scope;
  auto tmpl = registry.find(request.template_name);
  if (!tmpl) return tmpl.error();
  scope.tmpl = std::move(*tmpl);

  if (request.target.empty()) {
    if (!device) {
      return make_error(ErrorCode::unavailable,
                        "no GPU is present; name the target it is for, for example --target sm_90a");
    }
    scope.target = device->target;
    scope.device = device;
  } else {
    auto target = Target::parse(request.target);
    if (!target) return target.error().with_context("--target");
    scope.target = *target;
    if (device && device->target == scope.target) scope.device = device;
  }
  scope.facts = scope.device ? scope.device->facts() : scope.target.facts();
  if (scope.device) scope.sku = scope.device->sku_fingerprint();

  auto problem = resolve_problem(registry, *scope.tmpl, request);
  if (!problem) return problem.error();
  scope.problem = std::move(*problem);

  auto tokens = parse_tokens(*scope.tmpl, request.tokens);
  if (!tokens) return tokens.error();
  scope.tokens = std::move(*tokens);
  scope.buckets = buckets_of(*scope.tmpl, scope.tokens);
  auto filter = parse_config_filter(*scope.tmpl, request.config);
  if (!filter) return filter.error();
  scope.filter = std::move(*filter);
  return scope;
}

}  // namespace rtjit

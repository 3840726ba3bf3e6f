// What a verb is about: template, problem, target, buckets and config filter, from the options all verbs
// share.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "compiler/target.h"
#include "runtime/device.h"
#include "templates/registry.h"

namespace rtjit {

// The values of --target, --preset, --problem, --tokens and --config as the user typed them; "" = not given.
struct ScopeRequest {
  std::string template_name;
  std::string target;   // "sm_120a"; "" = the device present
  std::string preset;   // "gpt-oss-20b"
  std::string problem;  // "hidden=2880,intermediate=2880"; wins over the preset's keys
  std::string tokens;   // "64" or "1,64,8192": values of the template's bucket scalar
  std::string config;   // "block_m=128,block_k=256"; see ConfigFilter
};

// Which configs are meant. Keys are parameter names, or `stage` and `variant`; a config matches when every
// key it is given for has the given value. A config that lacks a given parameter does not match.
struct ConfigFilter {
  std::string stage, variant;  // "" = any
  KeyValues values;

  bool empty() const { return stage.empty() && variant.empty() && values.empty(); }
  bool matches(std::string_view stage_name, std::string_view variant_name, const Config& candidate) const;
};

struct ProblemScope {
  std::shared_ptr<const Template> tmpl;
  Problem problem;
  Target target;
  std::optional<DeviceInfo> device;  // set when the target is that of the device present
  TargetFacts facts;                 // of the device, else of the target's representative GPU
  std::string sku;                   // DeviceInfo::sku_fingerprint(), or "" without a device
  std::vector<int64_t> tokens;       // as given, ascending and distinct; empty = not given
  std::vector<int64_t> buckets;      // the buckets that serve them; all of the template's when none was given
  ConfigFilter filter;
};

// `device` is the GPU that is present, or nothing. Without a --target and without a device it is an error
// that says to name one. A --target equal to the device's target uses the device. Errors name the option.
Result<ProblemScope> resolve_scope(const TemplateRegistry& registry, const ScopeRequest& request,
                                   const std::optional<DeviceInfo>& device);

// The parts of it that a verb may need alone: the problem of --preset and --problem, and the buckets that
// serve
// --tokens (all of the template's when it is "").
Result<Problem> resolve_problem(const TemplateRegistry& registry, const Template& tmpl,
                                const ScopeRequest& request);
Result<std::vector<int64_t>> resolve_buckets(const Template& tmpl, const std::string& tokens);

// "stage=gemm1,block_m=64" for `tmpl`; an unknown key or a value no config has is an error that lists what is
// allowed.
Result<ConfigFilter> parse_config_filter(const Template& tmpl, std::string_view text);

}  // namespace rtjit

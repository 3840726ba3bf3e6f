// From (template, problem, buckets) to one loadable binary per stage and bucket, with the reason for each
// choice.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/lookup.h"
#include "runtime/binary_provider.h"
#include "runtime/context.h"
#include "runtime/launcher.h"

namespace rtjit {

// `background` resolves as `nearest` does; the handle tunes what was missed.
enum class MissPolicy { nearest, use_default, tune, fail, background };

// "gemm1=mma:block_m=16,...": this and nothing else, for experiments.
struct StageOverride {
  std::string stage, variant, config;
};
Result<StageOverride> parse_stage_override(const Template& tmpl, std::string_view text);

struct ResolveRequest {
  std::shared_ptr<const Template> tmpl;
  const Problem* problem = nullptr;
  std::vector<int64_t> buckets;
  MissPolicy miss_policy = MissPolicy::nearest;
  std::vector<StageOverride> overrides;
};

// What serves a stage, and why.
struct ServingStage {
  StageChoice choice;
  std::string origin;  // "measured on this device model, 12.3 us", "default", "as given", ...
  Provenance provenance = Provenance::fallback_default;
};

struct ResolvedStage : ServingStage {
  std::shared_ptr<const Binary> binary;
};

struct ResolvedBucket {
  int64_t bucket = 0;
  std::vector<ResolvedStage> stages;  // in the template's order
  bool missed = false;                // a tuned stage has no winner that was measured on this device model
  std::string provenance() const;     // "gemm1: mma block_m=16,... (measured ...); gemm2: ..."
};

// Every stage of every bucket gets the first option that fits the device, compiles, and loads. Binaries that
// are not stored are compiled in parallel. Modules are loaded into `modules` and held by `loaded` for as long
// as it lives. ErrorCode::not_found under MissPolicy::fail; ErrorCode::unsupported when not even the oracle
// can run, with all reasons.
Result<std::vector<ResolvedBucket>> resolve(Context& context, const ResolveRequest& request,
                                            BinaryProvider* binaries, ModuleCache* modules,
                                            std::vector<std::shared_ptr<Module>>* loaded);

}  // namespace rtjit

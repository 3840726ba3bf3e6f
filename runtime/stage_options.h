// What may serve a stage, best first: what the cache knows, the defaults, what is near them, the oracle.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/lookup.h"
#include "compiler/compile.h"
#include "compiler/target.h"
#include "templates/launch_plan.h"
#include "templates/manifest.h"

namespace rtjit {

// A variant with a config that could serve a stage of one bucket.
struct StageOption {
  const Variant* variant = nullptr;
  Config config;
  std::string origin;  // for provenance: "measured on this device model, 12.3 us", "default"
  Provenance provenance = Provenance::fallback_default;
};

// The problem and the machine that options are for. The template outlives every option.
struct StageSetting {
  const Template& tmpl;
  const Problem& problem;
  const Target& target;
  const TargetLimits& limits;
  TargetFacts facts;
};

// Walks the options of one stage in one bucket. Options are made only as far as they are asked for.
class StageOptions {
 public:
  // `first`: tried before anything else. `only_first`: and nothing besides.
  StageOptions(const StageSetting& setting, const Stage& stage, int64_t bucket,
               std::optional<StageOption> first, bool only_first);

  // The next one, each (variant, config) once. Nothing: there is no other.
  Result<std::optional<StageOption>> next();

 private:
  Status fill();
  Status fill_default(const Variant& variant);
  void fill_nearby(const Variant& variant);
  Status fill_oracle(const Variant& variant);

  const StageSetting& setting_;
  const Stage& stage_;
  int64_t bucket_;
  std::vector<StageOption> ready_;  // reversed: the next one is at the back
  size_t step_ = 0, steps_ = 0;
  std::optional<Config> default_;  // of the variant whose options were last made, where it has one here
  std::set<std::string> seen_;
};

// Why this device cannot run the config, as far as formulas tell (static_gate); "" when it can. Fills
// `facts`.
Result<std::string> why_not(const StageSetting& setting, const Stage& stage, const StageOption& option,
                            VariantFacts* facts);
// The same from what the compiled kernels need (load_gate); spills are allowed.
std::string why_not(const StageSetting& setting, const VariantFacts& facts, const Binary& binary);

// Configs near `config`, nearest first: fewer and smaller steps along each parameter, other choices.
std::vector<Config> nearby_configs(const Variant& variant, const Config& config, size_t limit);

}  // namespace rtjit

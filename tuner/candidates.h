// The configs of a stage with what each gate knows of them: what tune() and explain() work on.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "compiler/compile.h"
#include "runtime/gates.h"
#include "templates/launch_plan.h"
#include "tuner/cost_model.h"
#include "tuner/gpu_facts.h"

namespace rtjit {

// Where a verdict comes from.
enum class VerdictSource { static_gate, compiled, stored };
const char* to_string(VerdictSource source);  // "static", "compiled", "stored"

// The gate that decided a rejection.
enum class Gate { static_checks, compile, load, run };
const char* to_string(Gate gate);  // "static", "compile", "load", "run"

struct Candidate {
  const Stage* stage = nullptr;
  const Variant* variant = nullptr;
  Config config;
  std::string config_text;  // Config::canonical()
  VariantFacts facts;
  GateResult gate;
  VerdictSource source = VerdictSource::static_gate;
  bool compiled_known = false;  // the compile gate has decided, here or in the store
  CompiledFacts compiled;
  int occupancy = 0;  // blocks per SM; 0 until the load gate has passed
  std::string binary_key, compiler;
  bool wanted = true;  // false: a default or the oracle, of a search that looks at other configs

  bool feasible() const { return gate.ok() && compiled_known; }
  // Of a candidate that is rejected.
  Gate rejected_by() const;
  // Compiled registers, else predicted ones; 0 = unknown.
  int registers() const {
    return compiled_known && gate.ok() ? compiled.registers : static_cast<int>(facts.predicted_registers);
  }
};

// What the candidates of one problem share. Plain data; the template outlives every candidate.
struct SearchContext {
  std::shared_ptr<const Template> tmpl;
  Problem problem;
  Target target;
  TargetFacts facts;
  GpuFacts gpu;
};

// One config, evaluated and passed through the static gate.
Result<Candidate> make_candidate(const SearchContext& context, const Stage& stage, const Variant& variant,
                                 Config config);

// A stage with its candidates. An untuned stage has only its variants' default configs for the given buckets.
struct StageSpace {
  const Stage* stage = nullptr;
  std::vector<Candidate> candidates;
  // Variant index -> bucket -> index of its default config in `candidates`; no entry where it is no default.
  std::vector<std::map<int64_t, int>> defaults;
  int oracle = -1;  // index of the oracle variant's most exact config

  int find(std::string_view variant, std::string_view config) const;  // -1: none
  // The first variant, in the manifest's order, whose default config for the bucket has not been rejected;
  // -1: none.
  int default_candidate(int64_t bucket) const;
};

// Enumerates and passes everything through the static gate.
Result<StageSpace> make_stage_space(const SearchContext& context, const Stage& stage,
                                    const std::vector<int64_t>& buckets);

// Leaves the candidates that `wanted` accepts, and, marked as not wanted, the defaults and the oracle's
// config: pipelines need them. Returns how many are wanted.
int keep_only(const std::function<bool(const Candidate&)>& wanted, StageSpace* space);

CompileRequest compile_request(const SearchContext& context, const Candidate& candidate,
                               std::chrono::milliseconds time_limit);
// The kernels that pack weights; nothing when the template packs none.
Result<std::optional<CompileRequest>> pack_compile_request(const SearchContext& context,
                                                           std::chrono::milliseconds time_limit);

// Takes the compiler's word for a candidate: load gate, occupancy.
void apply_compiled(const SearchContext& context, const CompiledFacts& compiled, int64_t max_spill_bytes,
                    Candidate* candidate);

// The same from a bucket-0 row that holds what a compiler made of the candidate, or why it refused it.
void apply_stored_compile(const SearchContext& context, const TuningRow& row, int64_t max_spill_bytes,
                          Candidate* candidate);

StageChoice choice_of(const Candidate& candidate);

// Of a candidate that the static gate let through. Not known() when the manifest states no cost or a cost
// formula fails.
Prediction predict_candidate(const SearchContext& context, const Candidate& candidate, int64_t bucket);

}  // namespace rtjit

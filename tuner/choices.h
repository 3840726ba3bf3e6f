// Pipelines as one choice per stage: the oracle's, their names, and their binaries.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "templates/launch_plan.h"
#include "tuner/binary_source.h"
#include "tuner/candidates.h"

namespace rtjit {

// One choice per stage: the oracle variant at its most exact config where a stage has one, else the stage's
// last variant at its default config for the bucket.
Result<std::vector<StageChoice>> oracle_choices(const SearchContext& context, int64_t bucket);

std::string choices_text(const std::vector<StageChoice>& choices);  // "gemm1=mma:block_m=64,...;gemm2=..."

// The choice as a candidate, after the static gate.
Result<Candidate> candidate_of(const SearchContext& context, const StageChoice& choice);

// A binary per choice, or in `obstacle` why there cannot be one: "stage gemm1: it needs ...".
Result<std::vector<std::shared_ptr<const Binary>>> compile_choices(const SearchContext& context,
                                                                   const std::vector<StageChoice>& choices,
                                                                   BinarySource& binaries,
                                                                   const TuneLimits& limits,
                                                                   std::string* obstacle);

// The kernels that pack weights; null when the template packs none. `compiler`: see BinarySource::get().
Result<std::shared_ptr<const Binary>> packing_binary(const SearchContext& context, BinarySource& binaries,
                                                     const TuneLimits& limits,
                                                     const std::string& compiler = "");

}  // namespace rtjit

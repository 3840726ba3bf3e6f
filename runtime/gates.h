// The gates that a config passes before it runs, each a pure function with a typed verdict and numbers.
//
// A rejected config gets ONE verdict and ALL reasons: the sentence joins every reason with "; ", the verdict
// is that of the first, in this order:
//
// - feature: the target list of the variant, or a required PTX feature, excludes the target
// - constraint: a constraint of the manifest, or more threads than a block may have
// - smem: more shared memory than one block may have
// - registers: threads x registers do not fit a block (predicted before compiling, real after it)
// - spill: after compiling, the assembler spilled more than is allowed
//
// `feature` comes first because nothing else matters on a target that lacks the instruction.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "cache/records.h"
#include "compiler/compile.h"
#include "compiler/target.h"
#include "templates/launch_plan.h"
#include "templates/manifest.h"

namespace rtjit {

struct GateResult {
  Verdict verdict = Verdict::ok;
  std::string reason;  // "" when ok
  bool ok() const { return verdict == Verdict::ok; }
};

// Needs no compiler. An Error only for a manifest whose target list is not understood.
Result<GateResult> static_gate(const Variant& variant, const VariantFacts& facts, const Target& target,
                               const TargetLimits& limits);

// The verdict of a config that the compiler refused.
GateResult compile_gate(const CompileReject& reject);

// What a compiled config needs, the worst of its kernels.
struct CompiledFacts {
  int registers = 0, stack = 0, spills = 0;  // spills: bytes stored plus loaded
  int64_t static_smem = 0;
};
CompiledFacts compiled_facts(const Binary& binary);

// Decided from the cubin's resource facts; no device is needed.
GateResult load_gate(const VariantFacts& facts, const CompiledFacts& compiled, const TargetLimits& limits,
                     int64_t max_spill_bytes);

// Registers that each thread of such a block may have at most: as many as the block's warps can be given in
// whole allocation units, and no more than the instruction set can name.
int registers_limit(int64_t threads, const TargetLimits& limits);

// Blocks that fit one SM at once by threads, registers, shared memory and the block limit; 0 = does not fit.
int blocks_per_sm(int64_t threads, int registers, int64_t smem, const TargetLimits& limits);

}  // namespace rtjit

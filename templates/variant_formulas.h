// The formulas of one variant, parsed once when its manifest is loaded: thousands of configs are judged with
// them.
#pragma once

#include <memory>
#include <vector>

#include "templates/formula.h"
#include "templates/kernel_name.h"
#include "templates/launch_plan.h"
#include "templates/manifest.h"

namespace rtjit {

struct VariantFormulas {
  static Result<std::shared_ptr<const VariantFormulas>> create(const Template& tmpl, const Stage& stage,
                                                               const Variant& variant);

  // Values of all symbols for a config; the bucket's scalar and what depends on it are 0.
  Result<std::vector<int64_t>> values(const Problem& problem, const Config& config,
                                      const TargetFacts& target) const;
  // The same with the bucket's scalar and the launch arguments as a launch of that bucket has them.
  Result<std::vector<int64_t>> values(const Template& tmpl, const Problem& problem, const Config& config,
                                      const TargetFacts& target, int64_t bucket) const;

  struct Kernel {
    KernelName name;
    Formula when = Formula::constant(1);  // 1 also where it depends on facts of a launch
  };
  struct Cost {
    Formula blocks, dram_bytes, l2_bytes, flops, alu_ops, steps, stages;
  };

  // Slots: problem keys, target, parameters, threads, smem, the bucket's scalar, item_bytes and given per
  // launch argument; each group in the manifest's order.
  SymbolTable symbols;
  int threads_slot = 0, smem_slot = 0, bucket_slot = -1;
  Formula threads, smem, registers, min_blocks_per_sm;
  std::vector<Formula> features, constraints, defaults;  // `when`, `require`, `when`, as in Variant
  Formula default_when;
  std::vector<std::pair<std::string, Formula>> provides;
  std::vector<Formula> required;  // per argument of the template; constant for those of packing
  std::vector<Kernel> kernels;    // per launch
  Cost cost;
};

}  // namespace rtjit

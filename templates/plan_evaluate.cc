// What a variant needs and costs under one config, without a launch plan.
#include <algorithm>

#include "templates/formula_scope.h"
#include "templates/launch_plan.h"
#include "templates/variant_formulas.h"

namespace rtjit {
namespace {

// "block_m = 64, store = plain": what a formula read, as a person wrote it.
std::string describe_inputs(const Formula& formula, const VariantFormulas& formulas,
                            std::span<const int64_t> values, const Problem& problem, const Config& config) {
  std::vector<std::string> inputs;
  for (int slot : formula.reads()) {
    const std::string& name = formulas.symbols.names()[slot];
    std::string value = std::to_string(values[slot]);
    if (const Value* given = problem.find(name)) value = to_string(*given);
    for (const auto& [parameter, given] : config.values()) {
      if (parameter == name) value = to_string(given);
    }
    inputs.push_back(fmt::format("{} = {}", name, value));
  }
  return join(inputs, ", ");
}

std::string place(const Template& tmpl, const Stage& stage, const Variant& variant) {
  return fmt::format("{}.{}.{}", tmpl.name, stage.name, variant.name);
}

Result<std::vector<VariantFacts::Kernel>> kernels_of(const Template& tmpl, const Stage& stage,
                                                     const Variant& variant, const Config& config,
                                                     const Problem& problem,
                                                     std::span<const int64_t> values) {
  const VariantFormulas& formulas = *variant.formulas;
  std::vector<VariantFacts::Kernel> kernels;
  std::vector<std::string> base_names;
  for (const VariantFormulas::Kernel& kernel : formulas.kernels) {
    auto when = kernel.when.evaluate_or_error(values, formulas.symbols);
    if (!when) return when.error();
    if (*when == 0) continue;
    auto expression = kernel.name.expression(problem, config, values, formulas.symbols);
    if (!expression) return expression.error();
    bool known = std::any_of(kernels.begin(), kernels.end(), [&](const VariantFacts::Kernel& other) {
      return other.name_expression == *expression;
    });
    if (known) continue;
    kernels.push_back({std::move(*expression), ""});
    base_names.push_back(kernel.name.base_name());
  }
  std::string parameters = config.canonical();
  for (size_t i = 0; i < kernels.size(); ++i) {
    kernels[i].short_name = place(tmpl, stage, variant) + (kernels.size() > 1 ? "." + base_names[i] : "") +
                            (parameters.empty() ? "" : "[" + parameters + "]");
  }
  return kernels;
}

}  // namespace

Result<VariantFacts> evaluate_variant(const Template& tmpl, const Stage& stage, const Variant& variant,
                                      const Config& config, const Problem& problem,
                                      const TargetFacts& target) {
  const VariantFormulas& formulas = *variant.formulas;
  auto values = formulas.values(problem, config, target);
  if (!values) return values.error().with_context(place(tmpl, stage, variant));
  std::optional<Error> error;
  auto evaluate = [&](const Formula& formula) -> int64_t {
    auto value = formula.evaluate_or_error(*values, formulas.symbols);
    if (value) return *value;
    if (!error) error = value.error().with_context(place(tmpl, stage, variant));
    return 0;
  };
  VariantFacts facts;
  facts.threads = (*values)[formulas.threads_slot];
  facts.smem = (*values)[formulas.smem_slot];
  facts.predicted_registers = evaluate(formulas.registers);
  facts.min_blocks_per_sm = evaluate(formulas.min_blocks_per_sm);
  for (size_t i = 0; i < variant.features.size(); ++i) {
    if (evaluate(formulas.features[i]) != 0) facts.features.push_back(variant.features[i].name);
  }
  for (size_t i = 0; i < variant.constraints.size(); ++i) {
    if (evaluate(formulas.constraints[i]) != 0) continue;
    facts.violated.push_back(
        fmt::format("{} ({}; required: {})", variant.constraints[i].message,
                    describe_inputs(formulas.constraints[i], formulas, *values, problem, config),
                    variant.constraints[i].require));
  }
  if (error) return *error;
  auto kernels = kernels_of(tmpl, stage, variant, config, problem, *values);
  if (!kernels) return kernels.error().with_context(place(tmpl, stage, variant));
  facts.kernels = std::move(*kernels);
  return facts;
}

Result<std::optional<Config>> default_config(const Template& tmpl, const Stage& stage, const Variant& variant,
                                             const Problem& problem, int64_t bucket,
                                             const TargetFacts& target) {
  const VariantFormulas& formulas = *variant.formulas;
  // Without a list the parameters' own defaults are the config.
  static const std::vector<DefaultSpec> no_list(1);
  const std::vector<DefaultSpec>& choices = variant.defaults.empty() ? no_list : variant.defaults;
  for (size_t i = 0; i < choices.size(); ++i) {
    auto given = parse_key_values(choices[i].config);
    if (!given) return given.error();
    auto config = make_config(variant, *given);
    if (!config) return config.error().with_context(place(tmpl, stage, variant));
    // Conditions may read parameters: they then speak of the config they stand with.
    auto values = formulas.values(tmpl, problem, *config, target, bucket);
    if (!values) return values.error().with_context(place(tmpl, stage, variant));
    auto holds = [&](const Formula& condition) {
      return condition.evaluate_or_error(*values, formulas.symbols);
    };
    auto chosen = variant.defaults.empty() ? Result<int64_t>(1) : holds(formulas.defaults[i]);
    if (!chosen) return chosen.error().with_context(place(tmpl, stage, variant));
    if (*chosen == 0) continue;
    auto offered = holds(formulas.default_when);
    if (!offered) return offered.error().with_context(place(tmpl, stage, variant));
    return *offered == 0 ? std::optional<Config>() : std::optional<Config>(std::move(*config));
  }
  return std::optional<Config>();  // never: the last entry has no condition
}

Result<CostInputs> evaluate_cost(const Template& tmpl, const Stage& stage, const Variant& variant,
                                 const Config& config, const Problem& problem, int64_t bucket,
                                 const TargetFacts& target) {
  const VariantFormulas& formulas = *variant.formulas;
  auto values = formulas.values(tmpl, problem, config, target, bucket);
  if (!values) return values.error().with_context(place(tmpl, stage, variant));
  std::optional<Error> error;
  auto evaluate = [&](const char* what, const Formula& formula) -> double {
    auto value = formula.evaluate_or_error(*values, formulas.symbols);
    if (value) return static_cast<double>(*value);
    if (!error)
      error = value.error().with_context(fmt::format("{}: cost {}", place(tmpl, stage, variant), what));
    return 0;
  };
  CostInputs cost;
  cost.blocks = evaluate("blocks", formulas.cost.blocks);
  cost.dram_bytes = evaluate("dram_bytes", formulas.cost.dram_bytes);
  cost.l2_bytes = evaluate("l2_bytes", formulas.cost.l2_bytes);
  cost.flops = evaluate("flops", formulas.cost.flops);
  cost.alu_ops = evaluate("alu_ops", formulas.cost.alu_ops);
  cost.steps = evaluate("steps", formulas.cost.steps);
  cost.stages = evaluate("stages", formulas.cost.stages);
  cost.rate = variant.cost.rate;
  if (error) return *error;
  return cost;
}

Result<WorkAmount> evaluate_work(const Template& tmpl, const Stage& stage, const Problem& problem,
                                 int64_t value, const TargetFacts& target) {
  if (!stage.work.stated()) {
    return make_error(ErrorCode::not_found, "{}.{} states no work", tmpl.name, stage.name);
  }
  // What a variant without parameters would read is what these formulas may read.
  Variant plain;
  plain.name = "work";
  plain.cost.dram_bytes = stage.work.bytes;
  plain.cost.flops = stage.work.flops;
  auto formulas = VariantFormulas::create(tmpl, stage, plain);
  if (!formulas) return formulas.error();
  plain.formulas = std::move(*formulas);
  auto cost = evaluate_cost(tmpl, stage, plain, Config(), problem, value, target);
  if (!cost) return cost.error();
  return WorkAmount{cost->dram_bytes, cost->flops};
}

StageSet timed_stages(const Template& tmpl, int stage, const Problem& problem) {
  StageSet timed = StageSet::none();
  timed.add(stage);
  std::vector<int64_t> values;
  const SymbolTable symbols = problem_symbols(tmpl, problem, &values);
  for (const TimedWith& with : tmpl.stages[static_cast<size_t>(stage)].timed_with) {
    const auto when = Formula::parse(with.when.empty() ? "1" : with.when, symbols);
    if (!when || when->evaluate(values).value_or(0) == 0) continue;
    const Stage* other = tmpl.find_stage(with.stage);
    if (other) timed.add(static_cast<int>(other - tmpl.stages.data()));
  }
  return timed;
}

}  // namespace rtjit

#include "templates/variant_formulas.h"

#include "templates/formula_scope.h"

namespace rtjit {
namespace {

// Parses many formulas and keeps the first error.
class Parser {
 public:
  explicit Parser(const FormulaScope& scope) : scope_(scope) {}

  Formula operator()(const std::string& text, int64_t when_empty) {
    if (text.empty()) return Formula::constant(when_empty);
    auto formula = parse_in_scope(text, scope_);
    if (formula) return std::move(*formula);
    if (!error_) error_ = formula.error();
    return Formula();
  }
  const std::optional<Error>& error() const { return error_; }

 private:
  const FormulaScope& scope_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::shared_ptr<const VariantFormulas>> VariantFormulas::create(const Template& tmpl,
                                                                       const Stage& stage,
                                                                       const Variant& variant) {
  auto out = std::make_shared<VariantFormulas>();
  FormulaScope scope = variant_scope(tmpl, stage, variant, VariantScope::bucket);
  out->symbols = scope.symbols;
  out->threads_slot = *scope.symbols.find("threads");
  out->smem_slot = *scope.symbols.find("smem");
  out->bucket_slot = scope.symbols.find(tmpl.bucket_scalar).value_or(-1);

  Parser parse(scope);
  out->threads = parse(variant.threads, 0);
  out->smem = parse(variant.smem, 0);
  out->registers = parse(variant.registers, 0);
  out->min_blocks_per_sm = parse(variant.min_blocks_per_sm, 1);
  for (const FeatureSpec& feature : variant.features) out->features.push_back(parse(feature.when, 1));
  for (const ConstraintSpec& constraint : variant.constraints)
    out->constraints.push_back(parse(constraint.require, 1));
  for (const DefaultSpec& fallback : variant.defaults) out->defaults.push_back(parse(fallback.when, 1));
  out->default_when = parse(variant.default_when, 1);
  for (const auto& [name, text] : variant.provides) out->provides.emplace_back(name, parse(text, 0));
  for (const ArgumentSpec& argument : tmpl.arguments) {
    out->required.push_back(parse(argument.required_when, argument.optional ? 0 : 1));
  }
  const CostSpec& cost = variant.cost;
  out->cost = {parse(cost.blocks, 0), parse(cost.dram_bytes, 0), parse(cost.l2_bytes, 0),
               parse(cost.flops, 0),  parse(cost.alu_ops, 0),    parse(cost.steps, 1),
               parse(cost.stages, 1)};
  if (parse.error()) return *parse.error();

  FormulaScope fixed = variant_scope(tmpl, stage, variant, VariantScope::smem);
  for (const LaunchSpec& launch : variant.launches) {
    auto name = KernelName::create(launch, tmpl, &variant, out->symbols);
    if (!name) return name.error();
    Kernel kernel{std::move(*name), Formula::constant(1)};
    auto when = parse_in_scope(launch.when, fixed);
    if (!launch.when.empty() && when.ok()) kernel.when = std::move(*when);
    out->kernels.push_back(std::move(kernel));
  }
  return std::shared_ptr<const VariantFormulas>(std::move(out));
}

Result<std::vector<int64_t>> VariantFormulas::values(const Problem& problem, const Config& config,
                                                     const TargetFacts& target) const {
  std::vector<int64_t> out;
  out.reserve(symbols.size());
  for (const auto& [name, value] : problem.values()) out.push_back(formula_value(value));
  for (int64_t value : target_values(target)) out.push_back(value);
  for (const auto& [name, value] : config.values()) out.push_back(formula_value(value));
  if (static_cast<int>(out.size()) != threads_slot) {
    return make_error(ErrorCode::invalid_argument,
                      "problem '{}' or config '{}' belongs to another template or variant",
                      problem.canonical(), config.canonical());
  }
  out.resize(symbols.size(), 0);
  auto threads_value = threads.evaluate_or_error(out, symbols);
  if (!threads_value) return threads_value.error().with_context("threads");
  out[threads_slot] = *threads_value;
  auto smem_value = smem.evaluate_or_error(out, symbols);
  if (!smem_value) return smem_value.error().with_context("smem");
  out[smem_slot] = *smem_value;
  return out;
}

Result<std::vector<int64_t>> VariantFormulas::values(const Template& tmpl, const Problem& problem,
                                                     const Config& config, const TargetFacts& target,
                                                     int64_t bucket) const {
  auto out = values(problem, config, target);
  if (!out) return out;
  if (bucket_slot >= 0) (*out)[bucket_slot] = bucket;
  for (size_t i = 0; i < tmpl.arguments.size(); ++i) {
    const ArgumentSpec& argument = tmpl.arguments[i];
    std::optional<int> item_bytes = symbols.find(argument.name + ".item_bytes");
    std::optional<int> given = symbols.find(argument.name + ".given");
    if (!item_bytes || !given) continue;
    auto is_required = required[i].evaluate_or_error(*out, symbols);
    if (!is_required) return is_required.error().with_context("required_when of " + argument.name);
    (*out)[*item_bytes] = bytes_of(accepted_dtypes(argument, problem).front());
    (*out)[*given] = *is_required != 0;
  }
  return out;
}

}  // namespace rtjit

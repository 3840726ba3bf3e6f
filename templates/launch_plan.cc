#include "templates/launch_plan.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "templates/formula_scope.h"
#include "templates/kernel_name.h"
#include "templates/variant_formulas.h"

namespace rtjit {
namespace {

constexpr int64_t kBufferAlignment = 256;

// Rounds up; false on overflow.
bool align_up(int64_t value, int64_t* out) {
  if (__builtin_add_overflow(value, kBufferAlignment - 1, out)) return false;
  *out -= *out % kBufferAlignment;
  return true;
}

// "ptr x" -> {"ptr", "x"}; the manifest's check made sure of the form.
std::pair<std::string_view, std::string_view> split_argument(std::string_view text) {
  size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return {text, {}};
  return {text.substr(0, blank), trim(text.substr(blank))};
}

// The strides with "" entries written out: dense over the dimensions further in. None when all are dense.
std::vector<std::string> full_strides(const ArgumentSpec& argument) {
  std::vector<std::string> strides = argument.strides;
  for (int i = static_cast<int>(strides.size()) - 1; i >= 0; --i) {
    if (!strides[i].empty()) continue;
    bool innermost = i + 1 == static_cast<int>(strides.size());
    strides[i] = innermost ? "1" : fmt::format("({}) * ({})", strides[i + 1], argument.shape[i + 1]);
  }
  return strides;
}

}  // namespace

// Fills a LaunchPlan. Formulas that depend on nothing that comes with a launch are folded to constants here,
// so that a launch evaluates only what really changes.
class PlanBuilder {
 public:
  PlanBuilder(std::shared_ptr<const Template> tmpl, const Problem& problem, const TargetFacts& target)
      : template_(*tmpl), problem_(problem), target_(target) {
    plan_.template_ = std::move(tmpl);
  }

  Result<LaunchPlan> build(const std::vector<StageChoice>& choices, bool packing) {
    add_fixed_symbols();
    if (!packing) add_stages(choices);
    if (!error_) add_argument_facts();
    if (!error_) add_buffers(packing);
    if (!error_ && packing) add_packing();
    if (!error_ && !packing) add_stage_launches(choices);
    if (error_) return error_->with_context(template_.name);
    if (packing) name_packing_keys();
    return std::move(plan_);
  }

 private:
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }

  int add_symbol(const std::string& name, int64_t value, bool known_at_launch_only = false) {
    int slot = plan_.symbols_.add(name);
    if (slot == static_cast<int>(plan_.base_values_.size())) {
      plan_.base_values_.push_back(value);
      changes_.push_back(known_at_launch_only);
    }
    return slot;
  }

  void add_fixed_symbols() {
    define_formulas(template_.named_formulas, &plan_.symbols_);
    for (const auto& [name, value] : problem_.values()) add_symbol(name, formula_value(value));
    std::vector<int64_t> target = target_values(target_);
    for (size_t i = 0; i < target.size(); ++i) add_symbol(target_names()[i], target[i]);
    for (const LaunchScalar& scalar : template_.scalars) add_symbol(scalar.name, 0, true);
    for (const ArgumentSpec& argument : template_.arguments) {
      int64_t item_bytes = bytes_of(accepted_dtypes(argument, problem_).front());
      plan_.item_bytes_slots_.push_back(add_symbol(argument.name + ".item_bytes", item_bytes, true));
      plan_.given_slots_.push_back(add_symbol(argument.name + ".given", 0, true));
    }
  }

  void add_stages(const std::vector<StageChoice>& choices) {
    if (choices.size() != template_.stages.size()) {
      return fail(make_error(ErrorCode::invalid_argument,
                             "{} choices for {} stages; it needs one per stage, in order", choices.size(),
                             template_.stages.size()));
    }
    for (size_t i = 0; i < choices.size() && !error_; ++i) add_stage(template_.stages[i], choices[i]);
  }

  void add_stage(const Stage& stage, const StageChoice& choice) {
    if (choice.stage != stage.name) {
      return fail(make_error(ErrorCode::invalid_argument, "a choice for stage '{}' where '{}' is expected",
                             choice.stage, stage.name));
    }
    const Variant* variant = template_.find_variant(stage.name, choice.variant);
    if (!variant) {
      std::vector<std::string> known;
      for (const Variant& candidate : stage.variants) known.push_back(candidate.name);
      return fail(make_error(ErrorCode::not_found, "stage '{}' has no variant '{}'; it has {}", stage.name,
                             choice.variant, join(known, ", ")));
    }
    const VariantFormulas& formulas = *variant->formulas;
    auto values = formulas.values(problem_, choice.config, target_);
    if (!values) return fail(values.error().with_context(stage.name + "." + variant->name));
    for (const auto& [name, value] : choice.config.values()) {
      add_symbol(stage.name + "." + name, formula_value(value));
    }
    add_symbol(stage.name + ".threads", (*values)[formulas.threads_slot]);
    add_symbol(stage.name + ".smem", (*values)[formulas.smem_slot]);
    for (const auto& [name, formula] : formulas.provides) {
      auto value = formula.evaluate_or_error(*values, formulas.symbols);
      if (!value) return fail(value.error().with_context(stage.name + "." + variant->name));
      add_symbol(stage.name + "." + name, *value);
    }
    variants_.push_back(variant);
  }

  // The symbols as a stage's own formulas see them: its parameters also without the stage's name.
  SymbolTable own_symbols(const Stage& stage, const Variant& variant, const StageChoice& choice) {
    SymbolTable symbols = plan_.symbols_;
    define_formulas(stage.named_formulas, &symbols);
    define_formulas(variant.named_formulas, &symbols);
    auto alias = [&](const std::string& name) {
      symbols.alias(name, *symbols.find(stage.name + "." + name));
    };
    for (const auto& [name, value] : choice.config.values()) alias(name);
    alias("threads");
    alias("smem");
    return symbols;
  }

  Formula fold(const std::string& text, const SymbolTable& symbols, const std::string& what) {
    auto formula = Formula::parse(text, symbols);
    if (!formula) {
      fail(formula.error().with_context(what));
      return {};
    }
    const std::vector<int> slots = formula->reads();
    reads_.insert(slots.begin(), slots.end());
    for (int slot : slots) {
      if (changes_[slot]) return std::move(*formula);
    }
    auto value = formula->evaluate_or_error(plan_.base_values_, plan_.symbols_);
    if (!value) {
      fail(value.error().with_context(what));
      return {};
    }
    return Formula::constant(*value);
  }

  Formula fold_condition(const std::string& text, const SymbolTable& symbols, const std::string& what) {
    return text.empty() ? Formula::constant(1) : fold(text, symbols, what);
  }

  // Whether a folded condition is known not to hold.
  static bool never(const Formula& condition) {
    return condition.reads().empty() && condition.evaluate({}) == std::optional<int64_t>(0);
  }

  void add_argument_facts() {
    for (size_t i = 0; i < template_.arguments.size(); ++i) {
      const ArgumentSpec& argument = template_.arguments[i];
      const std::set<int> read_before = reads_;
      LaunchPlan::ArgumentShape shape;
      auto add = [&](const std::vector<std::string>& texts, std::vector<Formula>& formulas,
                     std::vector<int>& binds) {
        for (const std::string& text : texts) {
          formulas.push_back(fold(text, plan_.symbols_, "argument " + argument.name));
          binds.push_back(plan_.scalar_slot(trim(text)));
        }
      };
      add(argument.shape, shape.shape, shape.shape_binds);
      add(full_strides(argument), shape.strides, shape.stride_binds);
      shape.required = argument.required_when.empty() ? Formula::constant(argument.optional ? 0 : 1)
                                                      : fold(argument.required_when, plan_.symbols_,
                                                             "required_when of " + argument.name);
      if (error_) return;
      if (argument.role == ArgumentSpec::Role::pack) {
        read_key(argument.dtype_key);
      } else {
        reads_ = read_before;
      }
      plan_.base_values_[plan_.given_slots_[i]] = !never(shape.required);
      plan_.argument_shapes_.push_back(std::move(shape));
    }
  }

  void add_buffers(bool packing) {
    for (const BufferSpec& spec : template_.buffers) {
      PlanBuffer buffer;
      buffer.spec = &spec;
      std::string what = "buffer " + spec.name;
      // The workspace may depend on configs, which packing does not know and has no use for.
      bool absent = packing && spec.kind == BufferSpec::Kind::workspace;
      buffer.when = absent ? Formula::constant(0) : fold_condition(spec.when, plan_.symbols_, what);
      if (!never(buffer.when)) buffer.bytes = fold(spec.bytes, plan_.symbols_, what);
      plan_.buffers_.push_back(std::move(buffer));
    }
  }

  void add_stage_launches(const std::vector<StageChoice>& choices) {
    for (size_t i = 0; i < choices.size() && !error_; ++i) {
      const Stage& stage = template_.stages[i];
      const Variant& variant = *variants_[i];
      SymbolTable symbols = own_symbols(stage, variant, choices[i]);
      int first_map = static_cast<int>(plan_.tensor_maps_.size());
      for (const TensorMapSpec& map : variant.tensor_maps)
        add_tensor_map(map, symbols, stage.name + "." + map.name);
      for (const LaunchSpec& launch : variant.launches) {
        add_launch(launch, static_cast<int>(i), &variant, choices[i].config, symbols, first_map);
      }
    }
  }

  void add_packing() {
    for (const LaunchSpec& launch : template_.pack)
      add_launch(launch, -1, nullptr, Config(), plan_.symbols_, 0);
  }

  void read_key(std::string_view key) {
    if (auto slot = plan_.symbols_.find(key)) reads_.insert(*slot);
  }

  void name_packing_keys() {
    for (int slot : reads_) {
      const std::string& name = plan_.symbols_.names()[static_cast<size_t>(slot)];
      if (const Value* value = problem_.find(name)) {
        plan_.packing_keys_.emplace_back(name, to_string(*value));
      } else if (name.starts_with("target.")) {
        plan_.packing_keys_.emplace_back(name, std::to_string(plan_.base_values_[static_cast<size_t>(slot)]));
      }
    }
  }

  void add_tensor_map(const TensorMapSpec& spec, const SymbolTable& symbols, const std::string& what) {
    PlanTensorMap map;
    map.base = plan_.pointer_index(spec.base);
    map.dtype = spec.dtype;
    map.swizzle = spec.swizzle;
    map.when = fold_condition(spec.when, symbols, what);
    if (!never(map.when)) {
      for (const std::string& text : spec.dims) map.dims.push_back(fold(text, symbols, what));
      for (const std::string& text : spec.strides) map.strides.push_back(fold(text, symbols, what));
      for (const std::string& text : spec.box) map.box.push_back(fold(text, symbols, what));
    }
    plan_.tensor_maps_.push_back(std::move(map));
  }

  void add_launch(const LaunchSpec& spec, int stage, const Variant* variant, const Config& config,
                  const SymbolTable& symbols, int first_map) {
    PlanLaunch launch;
    launch.stage = stage;
    launch.when = fold_condition(spec.when, symbols, spec.kernel);
    if (error_ || never(launch.when)) return;  // what is never launched need not make sense
    auto name = KernelName::create(spec, template_, variant, symbols);
    if (!name) return fail(name.error());
    auto expression = name->expression(problem_, config, plan_.base_values_, plan_.symbols_);
    if (!expression) return fail(expression.error());
    launch.kernel = std::move(*expression);
    // What a choice is named after and what formulas read are both symbols.
    for (const std::string& text : spec.template_args) fold(text, symbols, spec.kernel + ": template_args");
    for (int i = 0; i < 3; ++i) {
      launch.grid[i] = fold(spec.grid[i], symbols, spec.kernel + ": grid");
      launch.block[i] = fold(spec.block[i], symbols, spec.kernel + ": block");
      launch.cluster[i] = fold(spec.cluster[i], symbols, spec.kernel + ": cluster");
    }
    launch.smem = fold(spec.smem, symbols, spec.kernel + ": smem");
    launch.pdl = spec.pdl && target_.has_griddepcontrol;
    for (const std::string& text : spec.args) {
      launch.arguments.push_back(make_argument(text, spec, variant, symbols, first_map));
    }
    plan_.launches_.push_back(std::move(launch));
  }

  PlanArgument make_argument(const std::string& text, const LaunchSpec& spec, const Variant* variant,
                             const SymbolTable& symbols, int first_map) {
    auto [kind, value] = split_argument(text);
    PlanArgument argument;
    if (kind == "ptr") {
      argument.kind = PlanArgument::Kind::pointer;
      argument.source = plan_.pointer_index(value);
    } else if (kind == "map" && variant) {
      argument.kind = PlanArgument::Kind::tensor_map;
      for (size_t i = 0; i < variant->tensor_maps.size(); ++i) {
        if (variant->tensor_maps[i].name == value) argument.source = first_map + static_cast<int>(i);
      }
    } else if (kind == "f32") {
      argument.kind = PlanArgument::Kind::f32;
      const Value* real = problem_.find(value);
      if (real && std::holds_alternative<double>(*real)) {
        argument.real = static_cast<float>(std::get<double>(*real));
        read_key(value);
        return argument;
      }
    } else if (kind == "i32" || kind == "i64") {
      argument.kind = kind == "i32" ? PlanArgument::Kind::i32 : PlanArgument::Kind::i64;
      argument.formula = fold(std::string(value), symbols, spec.kernel + ": args");
      return argument;
    }
    if (argument.source < 0) {
      fail(make_error(ErrorCode::invalid_argument, "{}: args: '{}' names nothing", spec.kernel, text));
    }
    return argument;
  }

  const Template& template_;
  const Problem& problem_;
  const TargetFacts& target_;
  LaunchPlan plan_;
  std::vector<const Variant*> variants_;  // per stage
  std::vector<bool> changes_;             // per slot: known only at launch
  std::set<int> reads_;                   // slots that formulas read, those of launch arguments aside
  std::optional<Error> error_;
};

Result<LaunchPlan> LaunchPlan::create(std::shared_ptr<const Template> tmpl, const Problem& problem,
                                      const std::vector<StageChoice>& choices, const TargetFacts& target,
                                      bool packing) {
  return PlanBuilder(std::move(tmpl), problem, target).build(choices, packing);
}

int LaunchPlan::scalar_slot(std::string_view scalar) const {
  for (const LaunchScalar& known : template_->scalars) {
    if (known.name == scalar) return symbols_.find(scalar).value_or(-1);
  }
  return -1;
}

int LaunchPlan::pointer_index(std::string_view name) const {
  int index = 0;
  for (const ArgumentSpec& argument : template_->arguments) {
    if (argument.name == name) return index;
    ++index;
  }
  for (const BufferSpec& buffer : template_->buffers) {
    if (buffer.name == name) return index;
    ++index;
  }
  return -1;
}

bool LaunchPlan::offsets(BufferSpec::Kind kind, std::span<const int64_t> values, std::span<int64_t> offsets,
                         int64_t* total) const noexcept {
  *total = 0;
  for (size_t i = 0; i < buffers_.size(); ++i) {
    offsets[i] = -1;
    const PlanBuffer& buffer = buffers_[i];
    if (buffer.spec->kind != kind) continue;
    std::optional<int64_t> when = buffer.when.evaluate(values);
    if (!when) return false;
    if (*when == 0) continue;
    std::optional<int64_t> bytes = buffer.bytes.evaluate(values);
    int64_t end = 0;
    if (!bytes || *bytes < 0 || __builtin_add_overflow(*total, *bytes, &end)) return false;
    offsets[i] = *total;
    if (!align_up(end, total)) return false;
  }
  return true;
}

Result<int64_t> LaunchPlan::total_bytes(BufferSpec::Kind kind, int64_t bucket_value) const {
  std::vector<int64_t> values = base_values_;
  int slot = scalar_slot(template_->bucket_scalar);
  if (slot >= 0) values[slot] = bucket_value;
  std::vector<int64_t> parts(buffers_.size());
  int64_t total = 0;
  if (offsets(kind, values, parts, &total)) return total;
  // The fast path knows only that it failed: find out which buffer and why.
  for (const PlanBuffer& buffer : buffers_) {
    if (buffer.spec->kind != kind) continue;
    auto bytes = buffer.bytes.evaluate_or_error(values, symbols_);
    if (!bytes) return bytes.error().with_context("buffer " + buffer.spec->name);
    if (*bytes < 0) {
      return make_error(ErrorCode::invalid_argument, "buffer {}: '{}' gives {} bytes", buffer.spec->name,
                        buffer.spec->bytes, *bytes);
    }
  }
  return make_error(ErrorCode::invalid_argument, "{}: the buffers for {} = {} do not fit in 64 bits",
                    template_->name, template_->bucket_scalar, bucket_value);
}

}  // namespace rtjit

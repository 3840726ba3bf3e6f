#include "tuner/verify.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "templates/formula_scope.h"
#include "tuner/compare.h"

namespace rtjit {
namespace {

constexpr uint8_t kPoison[] = {0xFF, 0x00, 0x5A};
constexpr int64_t kChunkBytes = 64 << 20;

// Patterns of choices, see tuner/inputs.h.
constexpr int kUniform = 0, kAllTheSame = 1, kSomeInvalid = 2, kSkewed = 3;

bool is_judged(const HostTensor& output, const VerifySpec& spec) {
  return spec.outputs.empty() ||
         std::find(spec.outputs.begin(), spec.outputs.end(), output.name) != spec.outputs.end();
}

// Whether a result that is all zeros is the right one: an operand has no elements, so that there is nothing
// to add up, or the outputs have none.
bool may_be_zero(const std::vector<HostTensor>& tensors, const VerifySpec& spec) {
  bool any_output = false, empty_input = false;
  for (const HostTensor& tensor : tensors) {
    if (!tensor.is_output) {
      empty_input |= tensor.elements() == 0;
    } else if (is_judged(tensor, spec)) {
      any_output |= tensor.elements() > 0;
    }
  }
  return empty_input || !any_output;
}

bool same_outputs(const OutputBytes& a, const OutputBytes& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return same_bytes(x, y); });
}

}  // namespace

const char* to_string(VerifyStep step) {
  switch (step) {
    case VerifyStep::launching:
      return "launching";
    case VerifyStep::ran:
      return "ran";
    case VerifyStep::right:
      return "right";
  }
  return "";
}

Status Verifier::run(const Pipeline& pipeline, Prepared& prepared, GuardedMemory& workspace, uint8_t poison,
                     const char* part, OutputBytes* outputs) {
  Device& device = bench_.device();
  {
    const PartTimes::Span span = bench_.times().span(part);
    if (Status s = prepared.arguments.poison_outputs(poison); !s) return s;
    if (Status s = workspace.poison(poison); !s) return s;
    if (Status s = bench_.launch(pipeline, prepared.arguments, workspace, nullptr); !s) return s;
    if (Status s = device.synchronize(nullptr); !s) return s;
  }
  const PartTimes::Span span = bench_.times().span("read results");
  return prepared.arguments.read_outputs(device, outputs);
}

Result<GuardedMemory> Verifier::workspace_for(const Pipeline& pipeline, const InputCase& input) {
  auto bytes = pipeline.plan().total_bytes(BufferSpec::Kind::workspace, input.value);
  if (!bytes) return bytes.error();
  const PartTimes::Span span = bench_.times().span("workspace");
  return GuardedMemory::allocate(bench_.device(), *bytes);
}

void Verifier::forget() {
  for (auto& [name, prepared] : prepared_) spare_.push_back(std::move(prepared.reference));
  prepared_.clear();
}

void Verifier::keep_only(std::span<const InputCase> cases) {
  std::set<std::string> kept;
  for (const InputCase& input : cases) kept.insert(input.text());
  for (auto at = prepared_.begin(); at != prepared_.end();) {
    if (kept.contains(at->first)) {
      ++at;
      continue;
    }
    spare_.push_back(std::move(at->second.reference));
    at = prepared_.erase(at);
  }
}

// What the guard zones of all that the pipeline could reach show; "" where they are whole.
Result<std::string> Verifier::damage_after(const Prepared& prepared, const GuardedMemory& workspace) {
  const PartTimes::Span span = bench_.times().span("guard zones");
  auto packed = bench_.packed().damage();
  if (!packed) return packed.error();
  if (!packed->empty()) return fmt::format("wrote {} of the packed weights", *packed);
  auto damage = workspace.damage();
  if (!damage) return damage.error();
  if (!damage->empty()) return fmt::format("wrote {} of the workspace", *damage);
  return prepared.arguments.damage();
}

Result<Verifier::Prepared*> Verifier::prepare(const InputCase& input) {
  std::string name = input.text();
  if (auto found = prepared_.find(name); found != prepared_.end()) return &found->second;
  auto arguments = [&] {
    const PartTimes::Span span = bench_.times().span("inputs");
    return DeviceArguments::create(bench_.device(), oracle_.plan(), bench_.problem(),
                                   ArgumentSpec::Role::launch, input);
  }();
  if (!arguments) return arguments.error();
  Prepared prepared{std::move(*arguments), {}};
  if (!spare_.empty()) {
    prepared.reference = std::move(spare_.back());
    spare_.pop_back();
  }
  auto workspace = workspace_for(oracle_, input);
  if (!workspace) return workspace.error();
  Status status = run(oracle_, prepared, *workspace, kPoison[0], "oracle", &prepared.reference);
  if (!status) return status.error().with_context("the oracle");
  return &prepared_.emplace(std::move(name), std::move(prepared)).first->second;
}

Status Verifier::prepare(std::span<const InputCase> cases) {
  candidate_running_ = false;
  keep_only(cases);
  for (const InputCase& input : cases) {
    if (auto prepared = prepare(input); !prepared) return prepared.error();
  }
  return {};
}

Result<VerifyOutcome> Verifier::verify(const Pipeline& candidate, std::span<const InputCase> cases,
                                       int repeats) {
  VerifyOutcome outcome;
  bool informative = false, all_may_be_zero = true;
  auto reject = [&](Verdict verdict, const std::string& reason, const InputCase& input) {
    outcome.verdict = verdict;
    outcome.reason = fmt::format("{} ({})", reason, input.text());
    return outcome;
  };
  const VerifySpec spec = verify_spec(bench_.tmpl(), bench_.problem(), bench_.facts());
  if (Status status = bench_.packed().repair(); !status) return status.error();
  keep_only(cases);
  for (const InputCase& input : cases) {
    candidate_running_ = false;
    auto prepared = prepare(input);
    if (!prepared) return prepared.error();
    auto workspace = workspace_for(candidate, input);
    if (!workspace) return workspace.error();
    for (int repeat = 0; repeat < std::max(repeats, 1); ++repeat) {
      candidate_running_ = true;
      tell(VerifyStep::launching);
      OutputBytes& outputs = repeat == 0 ? first_ : again_;
      Status ran = run(candidate, **prepared, *workspace, kPoison[repeat % 3], "candidate", &outputs);
      if (!ran) {
        bool environment = ran.error().code == ErrorCode::device_fault ||
                           ran.error().code == ErrorCode::out_of_memory ||
                           ran.error().code == ErrorCode::timeout;
        if (environment) return ran.error();
        return reject(Verdict::launch, fmt::format("launch: {}", ran.error().message), input);
      }
      candidate_running_ = false;
      tell(VerifyStep::ran);
      if (outcome.reached < Reached::launched) outcome.reached = Reached::launched;
      auto damage = damage_after(**prepared, *workspace);
      if (!damage) return damage.error();
      if (!damage->empty()) {
        forget();  // what lies behind the guard zones may be damaged too
        return reject(Verdict::fault, "fault: " + *damage, input);
      }

      const PartTimes::Span span = bench_.times().span("compare");
      if (repeat == 0) {
        size_t output = 0;
        for (const HostTensor& tensor : (*prepared)->arguments.host()) {
          if (!tensor.is_output) continue;
          size_t index = output++;
          if (!is_judged(tensor, spec)) continue;
          Comparison comparison = compare_output(tensor, (*prepared)->reference[index], first_[index], spec);
          informative |= comparison.informative;
          outcome.rel_l2 = std::max(outcome.rel_l2, comparison.rel_l2);
          outcome.max_err = std::max(outcome.max_err, comparison.max_err);
          outcome.compared += comparison.compared;
          outcome.different += comparison.different;
          if (!comparison.ok) return reject(Verdict::wrong, comparison.reason, input);
        }
      } else if (spec.deterministic && !same_outputs(first_, again_)) {
        return reject(
            Verdict::wrong,
            fmt::format(
                "wrong: run {} gave other bits than run 1 (only what the workspace held before differs)",
                repeat + 1),
            input);
      }
    }
    all_may_be_zero &= may_be_zero((*prepared)->arguments.host(), spec);
    ++outcome.cases;
    outcome.reached = Reached::verified;
    tell(VerifyStep::right);
  }
  // Zero equals zero proves nothing.
  if (!informative && !all_may_be_zero) {
    return make_error(
        ErrorCode::internal,
        "{}: the oracle's outputs are all zero in each of {} cases, so nothing was compared; the "
        "manifest's fills must draw inputs that have a result",
        bench_.tmpl().name, outcome.cases);
  }
  return outcome;
}

Result<VerifyOutcome> Verifier::verify_packing(std::shared_ptr<const Binary> pack_binary) {
  candidate_running_ = true;
  tell(VerifyStep::launching);
  auto packed = bench_.pack_again(std::move(pack_binary));
  if (!packed) return packed.error();
  candidate_running_ = false;
  tell(VerifyStep::ran);
  VerifyOutcome outcome;
  outcome.reached = Reached::launched;
  auto damage = packed->damage();
  if (!damage) return damage.error();
  if (!damage->empty()) {
    outcome.verdict = Verdict::fault;
    outcome.reason = fmt::format("fault: wrote {} of the packed weights", *damage);
    return outcome;
  }
  std::vector<unsigned char> right, ours;
  int64_t first = -1;
  for (int64_t at = 0; at < packed->bytes(); at += kChunkBytes) {
    const auto bytes = static_cast<size_t>(std::min(kChunkBytes, packed->bytes() - at));
    right.resize(bytes);
    ours.resize(bytes);
    Status status = bench_.device().copy_to_host(right.data(), bench_.packed().data() + at, bytes);
    if (status) status = bench_.device().copy_to_host(ours.data(), packed->data() + at, bytes);
    if (!status) return status.error();
    outcome.compared += static_cast<int64_t>(bytes);
    if (same_bytes(right, ours)) continue;
    for (size_t i = 0; i < bytes; ++i) {
      if (right[i] == ours[i]) continue;
      if (first < 0) first = at + static_cast<int64_t>(i);
      ++outcome.different;
    }
  }
  ++outcome.cases;
  if (outcome.different > 0) {
    outcome.verdict = Verdict::wrong;
    outcome.reason = fmt::format("wrong: {} of {} B of the packed weights differ, byte {} first",
                                 with_thousands(outcome.different), with_thousands(outcome.compared), first);
    return outcome;
  }
  outcome.reached = Reached::verified;
  return outcome;
}

std::vector<InputCase> device_cases(const Template& tmpl, int64_t bucket) {
  int64_t smallest = 1;
  for (int64_t other : tmpl.buckets) {
    if (other < bucket) smallest = std::max(smallest, other + 1);
  }
  const int64_t middle = std::min<int64_t>(bucket, 256);
  return {
      {bucket, 1, kUniform, false, false},      {bucket, 2, kSomeInvalid, false, false},
      {smallest, 3, kSomeInvalid, false, true}, {smallest, 4, kAllTheSame, false, false},
      {middle, 5, kAllTheSame, true, false},    {middle, 6, kSkewed, false, false},
  };
}

std::vector<InputCase> emulator_cases(const std::vector<int64_t>& sizes) {
  static constexpr int kPatterns[] = {kSomeInvalid, kUniform, kSkewed, kAllTheSame};
  std::vector<InputCase> cases;
  for (size_t i = 0; i < sizes.size(); ++i) {
    cases.push_back({sizes[i], i + 1, kPatterns[i % 4], false, i % 2 == 1});
  }
  return cases;
}

VerifySpec verify_spec(const Template& tmpl, const Problem& problem, const TargetFacts& target) {
  VerifySpec spec = tmpl.verify;
  std::vector<int64_t> values;
  SymbolTable symbols = problem_symbols(tmpl, problem, &values);
  for (const std::string& name : target_names()) symbols.add(name);
  for (int64_t value : target_values(target)) values.push_back(value);
  if (!spec.deterministic_when.empty()) {
    const auto when = Formula::parse(spec.deterministic_when, symbols);
    spec.deterministic &= !when || when->evaluate(values).value_or(1) != 0;
  }
  for (const VerifyCase& some : spec.cases) {
    const auto when = Formula::parse(some.when, symbols);
    if (!when || when->evaluate(values).value_or(0) == 0) continue;
    spec.max_rel_l2 = some.max_rel_l2, spec.max_err_per_rms = some.max_err_per_rms;
    break;
  }
  return spec;
}

Result<Problem> small_problem(const Template& tmpl, const Problem& problem) {
  if (tmpl.verify.small.empty()) return problem;
  std::vector<int64_t> values;
  const SymbolTable symbols = problem_symbols(tmpl, problem, &values);
  KeyValues keys;
  for (const auto& [key, value] : problem.values()) keys.emplace_back(key, to_string(value));
  for (const auto& [key, text] : tmpl.verify.small) {
    auto formula = Formula::parse(text, symbols);
    if (!formula) return formula.error().with_context("verify.small");
    auto value = formula->evaluate_or_error(values, symbols);
    if (!value) return value.error().with_context("verify.small");
    for (auto& [name, current] : keys) {
      if (name == key) current = std::to_string(*value);
    }
  }
  auto small = make_problem(tmpl, keys);
  if (!small) return small.error().with_context("verify.small");
  return small;
}

std::string problem_difference(const Problem& problem, const Problem& small) {
  KeyValues different;
  for (const auto& [key, value] : small.values()) {
    const Value* before = problem.find(key);
    if (!before || *before != value) different.emplace_back(key, to_string(value));
  }
  return format_key_values(different);
}

}  // namespace rtjit

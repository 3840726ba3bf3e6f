#include "tuner/pack_check.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "cache/contents.h"
#include "cache/verify.h"
#include "tuner/candidates.h"

namespace rtjit {
namespace {

constexpr std::chrono::milliseconds kNotCompiled{0};

Result<SearchContext> context_of(std::shared_ptr<const Template> tmpl, const std::string& problem,
                                 const Target& target) {
  auto given = parse_key_values(problem);
  if (!given) return given.error();
  auto parsed = make_problem(*tmpl, *given);
  if (!parsed) return parsed.error();
  return SearchContext{std::move(tmpl), std::move(*parsed), target, target.facts(),
                       gpu_facts(target, std::nullopt)};
}

// What a cubin says about itself must be what is stored beside it: the gates go by the latter.
void check_binary(const StoredBinary& stored, const Target& target, std::vector<std::string>* findings) {
  const auto bad = [&](const std::string& why) {
    findings->push_back(fmt::format("binary {} ({}): {}", stored.key, stored.label, why));
  };
  if (stored.target != target.name())
    return bad(fmt::format("is for {}, the pack for {}", stored.target, target.name()));
  auto binary = decode_binary(stored);
  if (!binary) return bad(binary.error().message);
  auto kernels = read_cubin(binary->cubin);
  if (!kernels) return bad(kernels.error().message);
  std::map<std::string, KernelResources> real;
  for (const KernelResources& kernel : *kernels) real[kernel.symbol] = kernel;
  const TargetLimits& limits = target.limits();
  for (const Binary::Kernel& kernel : binary->kernels) {
    const auto found = real.find(kernel.symbol);
    if (found == real.end()) {
      bad(fmt::format("the kernel {} is not in the cubin", kernel.symbol));
      continue;
    }
    if (found->second.registers != kernel.resources.registers ||
        found->second.static_smem != kernel.resources.static_smem)
      bad(fmt::format("{} needs {} registers and {} B of static shared memory, stored are {} and {}",
                      kernel.symbol, found->second.registers, found->second.static_smem,
                      kernel.resources.registers, kernel.resources.static_smem));
    if (found->second.static_smem > limits.smem_per_block)
      bad(fmt::format("smem: {} needs {} B, {} allows {} B per block", kernel.symbol,
                      with_thousands(found->second.static_smem), target.name(),
                      with_thousands(limits.smem_per_block)));
  }
}

class WinnerCheck {
 public:
  WinnerCheck(const Contents& contents, const Target& target, std::vector<std::string>* findings)
      : contents_(contents), target_(target), findings_(findings) {
    for (const StoredBinary& binary : contents.binaries) binaries_.emplace(binary.key, &binary);
  }

  // All winners of one problem.
  Status check(std::shared_ptr<const Template> tmpl, const std::string& problem,
               const std::vector<WinnerRow>& winners) {
    auto context = context_of(std::move(tmpl), problem, target_);
    if (!context) return context.error();
    std::map<std::string, std::vector<int64_t>> buckets;
    for (const WinnerRow& winner : winners) buckets[winner.stage].push_back(winner.bucket);
    for (const Stage& stage : context->tmpl->stages) {
      const auto asked = buckets.find(stage.name);
      if (asked == buckets.end()) continue;
      auto space = make_stage_space(*context, stage, asked->second);
      if (!space) return space.error();
      for (const WinnerRow& winner : winners) {
        if (winner.stage == stage.name) check_one(*space, winner);
      }
    }
    return {};
  }

  // The kernels that pack weights, which no row names.
  Status check_packing(std::shared_ptr<const Template> tmpl, const std::string& problem) {
    std::set<std::string> compilers;
    for (const TuningRow& row : contents_.rows) {
      if (row.key.template_name == tmpl->name && row.key.problem == problem && !row.compiler.empty())
        compilers.insert(row.compiler);
    }
    const std::string name = tmpl->name;
    auto keys = packing_binary_keys(std::move(tmpl), problem, target_, {compilers.begin(), compilers.end()});
    if (!keys) return keys.error();
    const auto is_here = [&](const std::string& key) { return binaries_.contains(key); };
    if (keys->empty() || std::any_of(keys->begin(), keys->end(), is_here)) return {};
    findings_->push_back(
        fmt::format("{} {}: the kernels that pack weights are not in the pack", name, problem));
    return {};
  }

 private:
  void check_one(const StageSpace& space, const WinnerRow& winner) {
    const auto bad = [&](const std::string& why) {
      findings_->push_back(fmt::format("winner {} {} bucket {} ({} {}): {}", winner.template_name,
                                       winner.stage, winner.bucket, winner.variant, winner.config, why));
    };
    const int index = space.find(winner.variant, winner.config);
    if (index < 0) return bad("is not a config of the template");
    const Candidate& candidate = space.candidates[index];
    if (!candidate.gate.ok()) return bad(candidate.gate.reason);
    const StoredBinary* stored = binary_of(winner);
    if (stored == nullptr) return bad("its binary is not in the pack");
    auto binary = decode_binary(*stored);
    if (!binary) return;  // said already
    // What is spilled is slow, not wrong; the tuner decided about it.
    const GateResult load = load_gate(candidate.facts, compiled_facts(*binary), target_.limits(),
                                      std::numeric_limits<int64_t>::max());
    if (!load.ok()) bad(load.reason);
  }

  const StoredBinary* binary_of(const WinnerRow& winner) const {
    for (const TuningRow& row : contents_.rows) {
      const bool about = row.key.template_name == winner.template_name && row.key.problem == winner.problem &&
                         row.key.stage == winner.stage && row.key.variant == winner.variant &&
                         row.key.config == winner.config;
      if (!about || row.verdict != Verdict::ok) continue;
      if (const auto found = binaries_.find(row.binary_key); found != binaries_.end()) return found->second;
    }
    return nullptr;
  }

  const Contents& contents_;
  const Target& target_;
  std::vector<std::string>* findings_;
  std::map<std::string, const StoredBinary*> binaries_;
};

}  // namespace

Result<std::vector<std::string>> packing_binary_keys(std::shared_ptr<const Template> tmpl,
                                                     const std::string& problem, const Target& target,
                                                     const std::vector<std::string>& compilers) {
  auto context = context_of(std::move(tmpl), problem, target);
  if (!context) return context.error();
  auto request = pack_compile_request(*context, kNotCompiled);
  if (!request) return request.error();
  std::vector<std::string> keys;
  if (!request->has_value()) return keys;
  for (const std::string& compiler : compilers) keys.push_back(binary_key(**request, compiler));
  return keys;
}

Result<PackReport> check_pack(const std::string& path, const PackManifest& manifest,
                              const TemplateRegistry& registry) {
  PackReport report;
  auto file = verify_database(path);
  if (!file) return file.error();
  report.findings = file->findings;
  auto target = Target::parse(manifest.target);
  if (!target) return target.error().with_context(path);
  auto contents = read_contents(path);
  if (!contents) return contents.error();
  for (const StoredBinary& binary : contents->binaries) check_binary(binary, *target, &report.findings);
  report.binaries = static_cast<int64_t>(contents->binaries.size());

  std::map<std::pair<std::string, std::string>, std::vector<WinnerRow>> by_problem;
  for (const WinnerRow& winner : contents->winners) {
    auto tmpl = registry.find(winner.template_name);
    if (winner.target != target->name()) {
      report.findings.push_back(fmt::format("a winner of {} is for {}, the pack for {}", winner.template_name,
                                            winner.target, target->name()));
    } else if (!tmpl || (*tmpl)->content_hash != winner.template_hash) {
      ++report.unknown_winners;
    } else {
      by_problem[{winner.template_name, winner.problem}].push_back(winner);
      ++report.winners;
    }
  }
  WinnerCheck check(*contents, *target, &report.findings);
  for (const auto& [key, winners] : by_problem) {
    if (Status status = check.check(*registry.find(key.first), key.second, winners); !status)
      return status.error();
    if (Status status = check.check_packing(*registry.find(key.first), key.second); !status)
      return status.error();
  }
  return report;
}

}  // namespace rtjit

#include "tuner/explain.h"

#include <algorithm>

#include "tuner/binary_source.h"
#include "tuner/compile_queue.h"
#include "tuner/ledger.h"
#include "tuner/rejections.h"

namespace rtjit {
namespace {

// What keeps every config of the variant from running; "" = not the same everywhere.
std::string reason_of_all(const StageSpace& space, const Variant& variant) {
  std::vector<std::string> sentences;
  for (const Candidate& c : space.candidates) {
    if (c.variant == &variant) sentences.push_back(c.gate.reason);
  }
  return shared_reason(sentences);
}

// The gate that most configs fell at, for the sentence about a variant without survivors that fell for many
// reasons.
std::string common_reason(const StageSpace& space, const Variant& variant) {
  std::map<Verdict, int> counts;
  for (const Candidate& c : space.candidates) {
    if (c.variant == &variant) ++counts[c.gate.verdict];
  }
  auto most = std::max_element(counts.begin(), counts.end(),
                               [](const auto& a, const auto& b) { return a.second < b.second; });
  const Candidate* plainest = nullptr;  // the one with the shortest sentence
  int configs = 0;
  for (const Candidate& c : space.candidates) {
    if (c.variant != &variant) continue;
    ++configs;
    bool shorter = !plainest || c.gate.reason.size() < plainest->gate.reason.size();
    if (c.gate.verdict == most->first && shorter) plainest = &c;
  }
  if (!plainest) return "it has no config";
  return fmt::format("{} of {} configs fall at {}, for example {}", most->second, configs,
                     to_string(most->first), plainest->gate.reason);
}

void add_notes(const StageSpace& space, const ProblemScope& scope, std::vector<ExplainNote>* notes) {
  auto survivors = [&](const Variant& variant) {
    return std::count_if(space.candidates.begin(), space.candidates.end(),
                         [&](const Candidate& c) { return c.variant == &variant && c.gate.ok(); });
  };
  std::string serving;
  for (const Variant& variant : space.stage->variants) {
    if (serving.empty() && survivors(variant) > 0) serving = variant.name;
  }
  for (const Variant& variant : space.stage->variants) {
    const bool asked = std::any_of(space.candidates.begin(), space.candidates.end(), [&](const Candidate& c) {
      return c.variant == &variant && scope.filter.matches(space.stage->name, variant.name, c.config);
    });
    if (!asked || survivors(variant) > 0) continue;
    std::string then = serving.empty() ? "no variant of this stage can serve"
                                       : fmt::format("variant {} serves instead", serving);
    const Result<bool> matches = scope.target.matches(variant.targets);
    std::string reason = reason_of_all(space, variant);
    std::string text =
        fmt::format("stage {}: no config of variant {} survives ({}); {}", space.stage->name, variant.name,
                    reason.empty() ? common_reason(space, variant) : reason, then);
    notes->push_back(
        {space.stage->name, variant.name, serving, matches && !*matches, std::move(reason), std::move(text)});
  }
}

ExplainEntry make_entry(const SearchContext& context, const Candidate& c, int64_t bucket) {
  ExplainEntry entry;
  entry.stage = c.stage->name;
  entry.variant = c.variant->name;
  entry.config = c.config_text;
  entry.verdict = c.gate.verdict;
  entry.reason = c.gate.reason;
  entry.source = c.source;
  entry.smem_bytes = c.facts.smem + c.compiled.static_smem;
  entry.smem_limit = context.gpu.limits.smem_per_block;
  entry.registers_compiled = c.compiled_known && c.compiled.registers > 0;
  entry.registers =
      entry.registers_compiled ? c.compiled.registers : static_cast<int>(c.facts.predicted_registers);
  entry.registers_limit = registers_limit(c.facts.threads, context.gpu.limits);
  entry.threads = c.facts.threads;
  entry.stack = c.compiled.stack;
  entry.spills = c.compiled.spills;
  if (c.gate.ok() && c.occupancy > 0) {
    entry.blocks_per_sm = c.occupancy;
  } else if (c.gate.ok() && entry.registers > 0) {
    entry.blocks_per_sm = blocks_per_sm(entry.threads, entry.registers, entry.smem_bytes, context.gpu.limits);
  }
  entry.features = c.facts.features;
  if (c.gate.ok()) entry.predicted_us = predict_candidate(context, c, bucket).total_us;
  return entry;
}

void add_row(const TuningRow& row, ExplainEntry* entry) {
  if (row.knowledge == Knowledge::measured) {
    entry->measured_us = row.time_us;
    entry->measured_low_us = row.time_low_us;
    entry->measured_high_us = row.time_high_us;
    entry->samples = row.samples;
  }
  entry->verified = row.verified;
  entry->verified_on = row.verified_on;
  entry->rel_l2 = row.rel_l2;
  entry->rel_l2_limit = row.rel_l2_limit;
  entry->max_err = row.max_err;
  entry->max_err_limit = row.max_err_limit;
}

// Fills in of_winner and predicted_rank of the stage's entries.
void compare_with_winner(const SearchContext& context, const StageSpace& space, const WinnerRow* winner,
                         const Ledger& ledger, int64_t bucket, std::vector<ExplainEntry>* entries) {
  std::vector<double> predictions;
  for (const Candidate& c : space.candidates) {
    double predicted = c.gate.ok() ? predict_candidate(context, c, bucket).total_us : 0;
    if (predicted > 0) predictions.push_back(predicted);
  }
  std::sort(predictions.begin(), predictions.end());
  double winner_predicted = 0, winner_measured = 0;
  if (int index = winner ? space.find(winner->variant, winner->config) : -1; index >= 0) {
    const Candidate& c = space.candidates[static_cast<size_t>(index)];
    const TuningRow* row = ledger.find(c, bucket);
    winner_predicted = predict_candidate(context, c, bucket).total_us;
    if (row && row->knowledge == Knowledge::measured) winner_measured = row->time_us;
  }
  for (ExplainEntry& entry : *entries) {
    if (entry.stage != space.stage->name) continue;
    if (entry.predicted_us > 0) {
      auto place = std::lower_bound(predictions.begin(), predictions.end(), entry.predicted_us);
      entry.predicted_rank = static_cast<int>(place - predictions.begin()) + 1;
    }
    if (entry.measured_us > 0 && winner_measured > 0) {
      entry.of_winner = entry.measured_us / winner_measured;
    } else if (entry.predicted_us > 0 && winner_predicted > 0) {
      entry.of_winner = entry.predicted_us / winner_predicted;
    }
  }
}

}  // namespace

Result<ExplainReport> explain(const ExplainRequest& request) {
  const ProblemScope& scope = request.scope;
  if (scope.buckets.empty()) return make_error(ErrorCode::invalid_argument, "explain: no bucket given");
  ExplainReport report;
  report.bucket = scope.buckets.front();
  SearchContext context{scope.tmpl, scope.problem, scope.target, scope.facts,
                        gpu_facts(scope.target, scope.device)};
  Ledger ledger(request.store, context, scope.sku, nullptr);
  if (Status status = ledger.load(); !status) return status.error();
  BinarySource binaries(request.store, request.compiler);
  CompileGateRun gates{context, binaries,       ledger,           request.limits,
                       false,   request.cancel, request.progress, {}};

  for (const Stage& stage : scope.tmpl->stages) {
    if (!stage.tuned) continue;
    auto space = make_stage_space(context, stage, {report.bucket});
    if (!space) return space.error();
    std::vector<Candidate*> all, wanted;
    for (Candidate& c : space->candidates) {
      all.push_back(&c);
      if (scope.filter.matches(stage.name, c.variant->name, c.config)) wanted.push_back(&c);
    }
    apply_stored(gates, all);
    if (request.compile) {
      CompileQueue compiles(gates);
      if (Status status = compiles.reopen(wanted); !status) return status.error();
      if (Status status = compiles.finish(wanted); !status) return status.error();
    }
    const WinnerRow* winner = ledger.find_winner(stage.name, report.bucket);
    int default_index = space->default_candidate(report.bucket);
    for (Candidate* c : wanted) {
      ExplainEntry entry = make_entry(context, *c, report.bucket);
      if (const TuningRow* row = ledger.find(*c, report.bucket)) {
        add_row(*row, &entry);
      }
      if (const QuarantineRow* row = ledger.find_quarantine(*c); row && is_quarantined(c->gate.verdict))
        entry.quarantine = *row;
      entry.is_default = default_index >= 0 && c == &space->candidates[static_cast<size_t>(default_index)];
      entry.is_winner = winner && winner->variant == entry.variant && winner->config == entry.config;
      report.entries.push_back(std::move(entry));
    }
    compare_with_winner(context, *space, winner, ledger, report.bucket, &report.entries);
    add_notes(*space, scope, &report.notes);
  }
  if (report.entries.empty() && !scope.filter.empty()) {
    return make_error(ErrorCode::not_found, "no config of {} matches --config; all are listed without it",
                      scope.tmpl->name);
  }
  return report;
}

}  // namespace rtjit

#include "tuner/bucket_report.h"

#include <algorithm>

#include "tuner/settle_record.h"

namespace rtjit {
namespace {

// The winner's and those that have been through as many passes. Others were contenders of an earlier run.
void report_contenders(const TuningRun& run, size_t stage, int64_t bucket, const TuningRow& winner,
                       BucketReport* report) {
  const SettleRecord record = settle_record(winner.policy);
  report->being_settled = record.open;
  for (const Candidate& c : run.spaces[stage].candidates) {
    const TuningRow* row = run.ledger.find(c, bucket);
    if (!row || row->verdict != Verdict::ok) continue;
    std::vector<double> times = settle_record(row->policy).times_us;
    if (times.empty() || times.size() != record.times_us.size()) continue;
    report->contenders.push_back({c.variant->name, c.config_text, row->time_us, std::move(times)});
  }
  std::stable_sort(
      report->contenders.begin(), report->contenders.end(),
      [](const SettledContender& a, const SettledContender& b) { return a.time_us < b.time_us; });
}

}  // namespace

BucketReport make_bucket_report(const TuningRun& run, size_t stage, int64_t bucket) {
  BucketReport report;
  report.bucket = bucket;
  const StageSpace& space = run.spaces[stage];
  for (const Candidate& c : space.candidates) {
    if (!c.wanted) continue;
    ++report.candidates;
    if (c.gate.ok()) {
      ++report.feasible;
    } else {
      ++report.rejected[c.gate.verdict];
      ++report.rejected_by[c.rejected_by()];
    }
    report.compiled += c.compiled_known;
  }
  if (int index = space.default_candidate(bucket); index >= 0) {
    report.default_variant = space.candidates[static_cast<size_t>(index)].variant->name;
    report.default_config = space.candidates[static_cast<size_t>(index)].config_text;
  }
  return report;
}

void report_winner(const Candidate& candidate, const Ranked& entry, const Judgement& judgement,
                   const std::string& why, BucketReport* report) {
  report->has_winner = true;
  report->variant = candidate.variant->name;
  report->config = candidate.config_text;
  report->why = why;
  report->knowledge = entry.knowledge;
  report->time_us = entry.time_us;
  report->verified = judgement.verified;
  report->verified_on = judgement.verified_on;
  report->smem_bytes = candidate.facts.smem + candidate.compiled.static_smem;
  report->registers = candidate.registers();
}

BucketReport report_from_store(const TuningRun& run, size_t stage, int64_t bucket) {
  const WinnerRow& winner = *run.usable_winner(stage, bucket);
  const StageSpace& space = run.spaces[stage];
  BucketReport report = make_bucket_report(run, stage, bucket);
  const Candidate& chosen = space.candidates[static_cast<size_t>(space.find(winner.variant, winner.config))];
  report.has_winner = report.from_cache = true;
  report.variant = winner.variant;
  report.config = winner.config;
  report.why = winner.why;
  report.knowledge = winner.knowledge;
  report.time_us = winner.time_us;
  report.verified = winner.verified;
  report.smem_bytes = chosen.facts.smem + chosen.compiled.static_smem;
  report.registers = chosen.registers();
  if (const TuningRow* row = run.ledger.find(chosen, bucket)) {
    report.verified_on = row->verified_on;
    report_contenders(run, stage, bucket, *row, &report);
  }
  int default_index = space.default_candidate(bucket);
  if (default_index >= 0) {
    const TuningRow* row = run.ledger.find(space.candidates[static_cast<size_t>(default_index)], bucket);
    if (row) report.default_time_us = row->time_us;
  }
  for (const Candidate& c : space.candidates) {
    const TuningRow* row = run.ledger.find(c, bucket);
    report.measured += row && row->knowledge == Knowledge::measured;
  }
  return report;
}

}  // namespace rtjit

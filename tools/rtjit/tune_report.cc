#include "tools/rtjit/tune_report.h"

#include <fmt/format.h>

#include <set>

#include "base/text.h"
#include "tools/rtjit/table.h"
#include "tools/rtjit/tune_observers.h"

namespace rtjit {
namespace {

std::string rejected_text(const std::map<Verdict, int>& rejected) {
  std::string text;
  for (const auto& [verdict, count] : rejected) {
    if (count > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", to_string(verdict), count);
  }
  return text.empty() ? "none" : text;
}

// "static 421, load 1"
std::string gates_text(const std::map<Gate, int>& rejected_by) {
  std::string text;
  for (const auto& [gate, count] : rejected_by)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", to_string(gate), count);
  return text.empty() ? "none" : text;
}

// Where the winner was verified, in a word; `details` collects what that was in full.
std::string verified_text(const BucketReport& bucket, std::set<std::string>* details) {
  if (!bucket.has_winner) return "";
  if (!bucket.verified) return "compiled only";
  const size_t comma = bucket.verified_on.find(',');
  if (comma != std::string::npos) details->insert(bucket.verified_on);
  return bucket.verified_on.substr(0, comma);
}

void print_timings(const TuneReport& report) {
  Table table({{"phase"}, {"s", Table::Align::right}, {""}});
  for (const auto& [phase, ms] : report.phase_ms) {
    const char* note = phase == TunePhase::compile ? "processor time of all threads, while other work goes on"
                       : phase == TunePhase::load  ? "part of measuring, settling and verifying"
                                                   : "";
    table.add({doing(phase), fmt::format("{:.2f}", ms / 1e3), note});
    const auto parts = report.parts_ms.find(to_string(phase));
    if (parts == report.parts_ms.end()) continue;
    for (const auto& [part, part_ms] : parts->second) {
      table.add({"  " + part, fmt::format("{:.2f}", part_ms / 1e3), ""});
    }
  }
  fmt::print("\n{}", table.render(2));
}

// How the contenders came out, and each of the passes, for whoever compares several tunes.
nlohmann::json contenders_json(const BucketReport& bucket) {
  nlohmann::json contenders = nlohmann::json::array();
  for (const SettledContender& contender : bucket.contenders) {
    contenders.push_back({{"variant", contender.variant},
                          {"config", contender.config},
                          {"time_us", contender.time_us},
                          {"of_fastest", contender.time_us / bucket.contenders.front().time_us},
                          {"times_us", contender.times_us}});
  }
  return contenders;
}

}  // namespace

nlohmann::json report_json(const TuneReport& report) {
  nlohmann::json out = {{"template", report.template_name},
                        {"problem", report.problem},
                        {"target", report.target},
                        {"device", report.device_name},
                        {"sku", report.sku},
                        {"compiled", report.compiled},
                        {"reused_binaries", report.reused_binaries},
                        {"total_ms", report.total_ms},
                        {"cancelled", report.cancelled},
                        {"out_of_time", report.out_of_time},
                        {"warnings", report.warnings}};
  for (const auto& [phase, ms] : report.phase_ms) out["phase_ms"][to_string(phase)] = ms;
  out["parts_ms"] = report.parts_ms;
  out["winners"] = nlohmann::json::array();
  for (const StageReport& stage : report.stages) {
    for (const BucketReport& bucket : stage.buckets) {
      nlohmann::json rejected = nlohmann::json::object();
      for (const auto& [verdict, count] : bucket.rejected) rejected[to_string(verdict)] = count;
      nlohmann::json rejected_by = nlohmann::json::object();
      for (const auto& [gate, count] : bucket.rejected_by) rejected_by[to_string(gate)] = count;
      out["winners"].push_back({{"stage", stage.stage},
                                {"bucket", bucket.bucket},
                                {"has_winner", bucket.has_winner},
                                {"variant", bucket.variant},
                                {"config", bucket.config},
                                {"why", bucket.why},
                                {"knowledge", to_string(bucket.knowledge)},
                                {"time_us", bucket.time_us},
                                {"default_time_us", bucket.default_time_us},
                                {"default_variant", bucket.default_variant},
                                {"default_config", bucket.default_config},
                                {"verified", bucket.verified},
                                {"verified_on", bucket.verified_on},
                                {"smem_bytes", bucket.smem_bytes},
                                {"registers", bucket.registers},
                                {"candidates", bucket.candidates},
                                {"feasible", bucket.feasible},
                                {"compiled", bucket.compiled},
                                {"measured", bucket.measured},
                                {"contenders", contenders_json(bucket)},
                                {"being_settled", bucket.being_settled},
                                {"rejected", rejected},
                                {"rejected_by_gate", rejected_by},
                                {"from_cache", bucket.from_cache},
                                {"out_of_time", bucket.out_of_time}});
    }
  }
  return out;
}

void print_report(const TuneReport& report, bool timings) {
  fmt::print("{} for {} ({})\n{}\n", report.template_name, report.target, report.device_name, report.problem);
  bool predicted = false;
  for (const StageReport& stage : report.stages) {
    if (stage.buckets.empty()) continue;  // stopped before it
    fmt::print("\n{}\n", stage.stage);
    Table table({{"bucket", Table::Align::right},
                 {"winner"},
                 {"time us", Table::Align::right},
                 {""},
                 {"SMEM B", Table::Align::right},
                 {"regs", Table::Align::right},
                 {"feasible", Table::Align::right},
                 {"rejected by gate"},
                 {"verified"},
                 {"why"}});
    std::map<Verdict, int> rejected;
    int candidates = 0;
    std::set<std::string> verified_on;
    for (const BucketReport& bucket : stage.buckets) {
      predicted |= bucket.knowledge == Knowledge::predicted;
      rejected = bucket.rejected;
      candidates = bucket.candidates;
      table.add(
          {with_thousands(bucket.bucket),
           bucket.has_winner ? bucket.variant + (bucket.config.empty() ? "" : " " + bucket.config) : "none",
           bucket.has_winner ? fmt::format("{:.1f}", bucket.time_us) : "", to_string(bucket.knowledge),
           with_thousands(bucket.smem_bytes), fmt::format("{}", bucket.registers),
           fmt::format("{}/{}", bucket.feasible, bucket.candidates), gates_text(bucket.rejected_by),
           verified_text(bucket, &verified_on), bucket.why});
    }
    fmt::print("{}", table.render(2));
    fmt::print("  rejected of {} configs: {}\n", candidates, rejected_text(rejected));
    for (const std::string& detail : verified_on) fmt::print("  verified on {}\n", detail);
  }
  for (const std::string& warning : report.warnings) fmt::print("warning: {}\n", warning);
  if (predicted)
    fmt::print("\nTimes marked predicted come from the cost model; no {} was measured.\n", report.target);
  if (timings) print_timings(report);
  fmt::print("{} compiled, {} binaries reused, {:.2f} s\n", report.compiled, report.reused_binaries,
             report.total_ms / 1e3);
}

}  // namespace rtjit

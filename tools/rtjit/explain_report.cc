#include "tools/rtjit/explain_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "base/text.h"
#include "tools/rtjit/config_json.h"
#include "tools/rtjit/date_text.h"
#include "tools/rtjit/table.h"
#include "tuner/rejections.h"

namespace rtjit {
namespace {

nlohmann::json quarantine_json(const ExplainEntry& entry) {
  if (!entry.quarantine) return nullptr;
  const QuarantineRow& row = *entry.quarantine;
  return {{"verdict", to_string(row.verdict)},
          {"error", row.error},
          {"reached", to_string(row.reached)},
          {"features", row.features.empty() ? std::vector<std::string>() : split(row.features, ' ')},
          {"bucket", row.key.bucket},
          {"compiler", row.compiler},
          {"driver", row.driver},
          {"device", row.device_name},
          {"binary_key", row.binary_key},
          {"updated_unix", row.updated_unix}};
}

// What it had done well before it failed.
const char* reached_text(Reached reached) {
  switch (reached) {
    case Reached::nothing:
      return "not compiled";
    case Reached::compiled:
      return "compiled, not loaded";
    case Reached::loaded:
      return "been loaded, not run to its end";
    case Reached::launched:
      return "run to its end";
    case Reached::verified:
      return "given right results";
  }
  return "";
}

std::string marks(const ExplainEntry& entry) {
  std::string text;
  if (entry.is_winner) text += "winner ";
  if (entry.is_default) text += "default";
  return std::string(trim(text));
}

// "1,024 left", "62,464 too much"
std::string left_text(int64_t left) {
  return left >= 0 ? fmt::format("{} left", with_thousands(left))
                   : fmt::format("{} too much", with_thousands(-left));
}

void print_one(const ExplainEntry& entry) {
  fmt::print("{}.{} {}\n", entry.stage, entry.variant, entry.config);
  fmt::print("  verdict      {}{}{}\n", to_string(entry.verdict), entry.reason.empty() ? "" : "  ",
             entry.reason);
  fmt::print("  known from   {}\n", to_string(entry.source));
  fmt::print("  threads      {}\n", entry.threads);
  fmt::print("  SMEM         {} of {} B, {}\n", with_thousands(entry.smem_bytes),
             with_thousands(entry.smem_limit), left_text(entry.smem_left()));
  if (entry.registers > 0) {
    fmt::print("  registers    {} of {} per thread, {} ({})\n", entry.registers, entry.registers_limit,
               left_text(entry.registers_left()), entry.registers_compiled ? "compiled" : "predicted");
  }
  if (entry.registers_compiled) fmt::print("  stack        {} B, spills {} B\n", entry.stack, entry.spills);
  if (entry.blocks_per_sm > 0) {
    fmt::print("  blocks/SM    {}{}\n", entry.blocks_per_sm, entry.registers_compiled ? "" : " (predicted)");
  }
  fmt::print("  features     {}\n", entry.features.empty() ? "none" : join(entry.features, " "));
  if (entry.predicted_us > 0) {
    fmt::print("  predicted    {:.1f} us, place {} in the order of the cost model\n", entry.predicted_us,
               entry.predicted_rank);
  }
  if (entry.measured_us > 0) {
    fmt::print("  measured     {:.1f} us ({:.1f} to {:.1f}, {} samples)\n", entry.measured_us,
               entry.measured_low_us, entry.measured_high_us, entry.samples);
  } else if (entry.verdict == Verdict::ok) {
    fmt::print("  measured     never\n");
  }
  if (entry.of_winner > 0 && !entry.is_winner) {
    fmt::print("  the winner   takes {:.1f} % {} ({})\n", 100 * std::abs(1 / entry.of_winner - 1),
               entry.of_winner >= 1 ? "less time" : "more time",
               entry.measured_us > 0 ? "measured" : "predicted");
  }
  if (entry.verified) fmt::print("  verified on  {}\n", entry.verified_on);
  if (entry.rel_l2_limit > 0) {
    fmt::print("  errors       relative {:.2e} of {:.1e} allowed, largest {:.2e} of {:.1e}\n", entry.rel_l2,
               entry.rel_l2_limit, entry.max_err, entry.max_err_limit);
  }
  if (entry.quarantine) {
    const QuarantineRow& row = *entry.quarantine;
    fmt::print("  quarantine   since {} UTC, bucket {}, {} driver {}: it had {}; PTX features: {}\n",
               date_text(row.updated_unix), with_thousands(row.key.bucket), row.compiler, row.driver,
               reached_text(row.reached), row.features.empty() ? "none" : row.features);
    fmt::print("               not run again with this compiler; rtjit tune --retry-quarantined does\n");
  }
  if (entry.is_winner) fmt::print("  the winner of this bucket\n");
  if (entry.is_default) fmt::print("  the default config of this bucket\n");
}

// "+12.3 %": how much longer than the winner it takes.
std::string of_winner_text(const ExplainEntry& entry) {
  return entry.of_winner > 0 && !entry.is_winner ? fmt::format("{:+.1f} %", 100 * (entry.of_winner - 1)) : "";
}

const char* verdict_text(const ExplainEntry& entry) {
  return entry.verdict == Verdict::ok && entry.verified ? "verified" : to_string(entry.verdict);
}

void print_config_table(const std::vector<const ExplainEntry*>& entries) {
  using Align = Table::Align;
  const auto any = [&](auto holds) {
    return std::any_of(entries.begin(), entries.end(),
                       [&](const ExplainEntry* entry) { return holds(*entry); });
  };
  const bool measured = any([](const ExplainEntry& entry) { return entry.measured_us > 0; });
  const bool compared = any([](const ExplainEntry& entry) { return entry.of_winner > 0; });
  const bool rejected = any([](const ExplainEntry& entry) { return !entry.reason.empty(); });
  std::vector<Table::Column> columns = {{"stage"}, {"variant"}, {"config"}, {""}, {"verdict"}};
  if (measured) columns.push_back({"measured us", Align::right});
  columns.push_back({"predicted us", Align::right});
  if (compared) columns.push_back({"to winner", Align::right});
  columns.insert(columns.end(), {{"SMEM B", Align::right},
                                 {"left", Align::right},
                                 {"regs", Align::right},
                                 {"left", Align::right},
                                 {"blocks/SM", Align::right}});
  if (rejected) columns.push_back({"reason"});
  Table table(std::move(columns));
  for (const ExplainEntry* entry : entries) {
    const char* guess = entry->registers_compiled ? "" : "~";
    const bool known = entry->registers > 0;
    std::vector<std::string> cells = {entry->stage, entry->variant, entry->config, marks(*entry),
                                      verdict_text(*entry)};
    if (measured) cells.push_back(entry->measured_us > 0 ? fmt::format("{:.1f}", entry->measured_us) : "");
    cells.push_back(entry->predicted_us > 0 ? fmt::format("{:.1f}", entry->predicted_us) : "");
    if (compared) cells.push_back(of_winner_text(*entry));
    cells.push_back(with_thousands(entry->smem_bytes));
    cells.push_back(with_thousands(entry->smem_left()));
    cells.push_back(known ? fmt::format("{}{}", guess, entry->registers) : "");
    cells.push_back(known ? fmt::format("{}{}", guess, entry->registers_left()) : "");
    cells.push_back(entry->blocks_per_sm > 0 ? fmt::format("{}{}", guess, entry->blocks_per_sm) : "");
    if (rejected) cells.push_back(entry->reason);
    table.add(std::move(cells));
  }
  fmt::print("{}\n", table.render());
}

// Per stage the winner, the default, then the measured ones, the fastest first, then the predicted ones.
std::vector<const ExplainEntry*> able_to_run(const ExplainReport& report) {
  std::map<std::string, size_t> stages;
  std::vector<const ExplainEntry*> able;
  for (const ExplainEntry& entry : report.entries) {
    stages.try_emplace(entry.stage, stages.size());
    if (entry.verdict == Verdict::ok) able.push_back(&entry);
  }
  const auto place = [&](const ExplainEntry* entry) {
    const int group = entry->is_winner          ? 0
                      : entry->is_default       ? 1
                      : entry->measured_us > 0  ? 2
                      : entry->predicted_us > 0 ? 3
                                                : 4;
    const double time = entry->measured_us > 0 ? entry->measured_us : entry->predicted_us;
    return std::tuple(stages[entry->stage], group, time);
  };
  std::stable_sort(able.begin(), able.end(),
                   [&](const ExplainEntry* a, const ExplainEntry* b) { return place(a) < place(b); });
  return able;
}

// Without the variants that a note tells of in a line.
void print_rejections(const ExplainReport& report) {
  std::set<std::pair<std::string, std::string>> told;
  for (const ExplainNote& note : report.notes) {
    if (!note.reason.empty()) told.emplace(note.stage, note.variant);
  }
  Table table({{"rejected"}, {"variant"}, {"configs", Table::Align::right}, {"nearest to fitting"}, {"why"}});
  for (const Rejection& rejection : group_rejections(report.entries)) {
    if (told.contains({rejection.stage, rejection.variant})) continue;
    table.add({rejection.stage, rejection.variant, with_thousands(rejection.configs),
               rejection.nearest->config, rejection.nearest->reason});
  }
  if (!table.empty()) fmt::print("{}\n", table.render());
}

// Variants of a stage of which the same is to be said.
struct Idle {
  std::string stage, said;
  std::vector<std::string> variants;
  bool other_target = false;
  std::string serving;
};

// Variants that cannot run at all, with all stages of which the same is to be said in one line: "gemm1,
// gemm2: stream, wgmma are for other targets; mma serves". What differs from config to config is told in
// full.
void print_notes(const std::vector<ExplainNote>& notes) {
  std::vector<Idle> idle;
  for (const ExplainNote& note : notes) {
    if (note.serving.empty() || (note.reason.empty() && !note.other_target)) {
      fmt::print("{}\n", note.text);
      continue;
    }
    const std::string reason = note.other_target ? "" : note.reason;
    auto same = std::find_if(idle.begin(), idle.end(), [&](const Idle& other) {
      return other.stage == note.stage && other.said == reason && other.serving == note.serving;
    });
    if (same == idle.end())
      same = idle.insert(idle.end(), {note.stage, reason, {}, note.other_target, note.serving});
    same->variants.push_back(note.variant);
  }
  std::vector<std::pair<std::string, std::vector<std::string>>> lines;  // what is said, of which stages
  for (const Idle& of : idle) {
    const char* are = of.variants.size() == 1 ? "is" : "are";
    std::string line =
        fmt::format("{}{}; {} serves", join(of.variants, ", "),
                    of.other_target ? fmt::format(" {} for other targets", are) : ": " + of.said, of.serving);
    auto same =
        std::find_if(lines.begin(), lines.end(), [&](const auto& other) { return other.first == line; });
    if (same == lines.end()) same = lines.insert(lines.end(), {std::move(line), {}});
    same->second.push_back(of.stage);
  }
  for (const auto& [line, stages] : lines) fmt::print("{}: {}\n", join(stages, ", "), line);
}

void print_counts(const ExplainReport& report) {
  std::map<Verdict, int> counts;
  for (const ExplainEntry& entry : report.entries) counts[entry.verdict]++;
  std::string text = fmt::format("{} configs", with_thousands(static_cast<int64_t>(report.entries.size())));
  const char* separator = ":";
  for (const auto& [verdict, count] : counts) {
    text += fmt::format("{} {} {}", separator, with_thousands(count), to_string(verdict));
    separator = "";
  }
  fmt::print("{}\n", text);
}

}  // namespace

nlohmann::json explain_json(const ExplainEntry& entry, int64_t bucket) {
  return {{"bucket", bucket},
          {"stage", entry.stage},
          {"variant", entry.variant},
          {"config", config_json(entry.config)},
          {"config_text", entry.config},
          {"verdict", to_string(entry.verdict)},
          {"reason", entry.reason},
          {"source", to_string(entry.source)},
          {"smem_bytes", entry.smem_bytes},
          {"smem_limit", entry.smem_limit},
          {"smem_left", entry.smem_left()},
          {"registers", entry.registers},
          {"registers_compiled", entry.registers_compiled},
          {"registers_limit", entry.registers_limit},
          {"registers_left", entry.registers > 0 ? nlohmann::json(entry.registers_left()) : nlohmann::json()},
          {"threads", entry.threads},
          {"stack", entry.stack},
          {"spills", entry.spills},
          {"blocks_per_sm", entry.blocks_per_sm},
          {"features", entry.features},
          {"predicted_us", entry.predicted_us},
          {"predicted_rank", entry.predicted_rank},
          {"measured_us", entry.measured_us},
          {"measured_low_us", entry.measured_low_us},
          {"measured_high_us", entry.measured_high_us},
          {"samples", entry.samples},
          {"of_winner", entry.of_winner},
          {"rel_l2", entry.rel_l2},
          {"rel_l2_limit", entry.rel_l2_limit},
          {"max_err", entry.max_err},
          {"max_err_limit", entry.max_err_limit},
          {"verified", entry.verified},
          {"verified_on", entry.verified_on},
          {"quarantine", quarantine_json(entry)},
          {"default", entry.is_default},
          {"winner", entry.is_winner}};
}

void print_explained(const ProblemScope& scope, const ExplainReport& report, ExplainDetail detail) {
  fmt::print("bucket {} ({})\n\n", with_thousands(report.bucket), scope.tmpl->bucket_scalar);
  if (detail == ExplainDetail::full) {
    for (const ExplainEntry& entry : report.entries) print_one(entry);
    print_notes(report.notes);
    return;
  }
  if (detail == ExplainDetail::summary) {
    if (const auto able = able_to_run(report); !able.empty()) print_config_table(able);
    print_rejections(report);
  } else {
    std::vector<const ExplainEntry*> all;
    for (const ExplainEntry& entry : report.entries) all.push_back(&entry);
    if (!all.empty()) print_config_table(all);
  }
  print_notes(report.notes);
  print_counts(report);
}

}  // namespace rtjit

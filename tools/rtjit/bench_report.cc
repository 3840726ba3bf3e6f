#include "tools/rtjit/bench_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "tools/rtjit/config_json.h"
#include "tools/rtjit/svg_chart.h"
#include "tools/rtjit/table.h"

namespace rtjit {
namespace {

constexpr double kTera = 1e-6;  // of figures per microsecond, to those of 10^12 per second

std::string us_text(const BenchTime& time) {
  return time.known() ? fmt::format("{:.{}f}", time.us, time.us < 1000 ? 1 : 0) : "-";
}

// How many times as long; 0 = not known.
double ratio(const BenchTime& other, const BenchTime& time) {
  return other.known() && time.known() ? other.us / time.us : 0;
}

std::string ratio_text(double value) { return value > 0 ? fmt::format("{:.2f}x", value) : ""; }

nlohmann::json time_json(const BenchTime& time) {
  nlohmann::json out = {{"time_us", nullptr}, {"samples", time.samples}};
  if (time.known())
    out.update({{"time_us", time.us}, {"time_low_us", time.low_us}, {"time_high_us", time.high_us}});
  if (!time.why_not.empty()) out["why_not"] = time.why_not;
  return out;
}

nlohmann::json compared_json(const BenchTime& other, const BenchTime& time) {
  nlohmann::json out = time_json(other);
  out["ratio"] = nullptr;
  if (const double value = ratio(other, time); value > 0) out["ratio"] = value;
  return out;
}

std::string math_text(const MathCeiling& math) {
  return fmt::format("{} {:.4g} TFLOP/s ({})", math.type, math.flops_per_us * kTera, math.unit);
}

std::string ceilings_text(const Ceilings& ceilings) {
  std::vector<std::string> math;
  for (const MathCeiling& ceiling : ceilings.math) math.push_back(math_text(ceiling));
  const std::string memory =
      ceilings.measured ? fmt::format("reading {:.3g} TB/s, copying {:.3g} TB/s",
                                      ceilings.read_bytes_per_us * kTera, ceilings.copy_bytes_per_us * kTera)
                        : fmt::format("memory {:.3g} TB/s", ceilings.read_bytes_per_us * kTera);
  return fmt::format("{}: {}; {}", ceilings.measured ? "measured ceilings" : "ceilings by the data sheet",
                     memory, join(math, ", "));
}

bool is_predicted(const BenchReport& report) { return report.knowledge == Knowledge::predicted; }

std::string stages_text(const BenchReport& report) {
  Table table({{report.bucket_scalar, Table::Align::right}, {"stage"}, {"served by"}, {"because"}});
  for (const BenchRow& row : report.rows) {
    for (const BenchStage& stage : row.stages) {
      if (!stage.tuned) continue;
      table.add({with_thousands(row.tokens), stage.stage,
                 stage.config.empty() ? stage.variant : stage.variant + " " + stage.config, stage.origin});
    }
  }
  return table.render(2);
}

}  // namespace

nlohmann::json bench_json(const BenchReport& report) {
  nlohmann::json math = nlohmann::json::array();
  for (const MathCeiling& ceiling : report.ceilings.math) {
    math.push_back({{"type", ceiling.type},
                    {"unit", ceiling.unit},
                    {"tflop_per_s", ceiling.flops_per_us * kTera},
                    {"measured", ceiling.measured}});
  }
  nlohmann::json rows = nlohmann::json::array();
  for (const BenchRow& row : report.rows) {
    nlohmann::json stages = nlohmann::json::array();
    for (const BenchStage& stage : row.stages) {
      stages.push_back({{"stage", stage.stage},
                        {"variant", stage.variant},
                        {"config", config_json(stage.config)},
                        {"config_text", stage.config},
                        {"provenance", stage.given   ? "given"
                                       : stage.tuned ? to_string(stage.provenance)
                                                     : "untuned"},
                        {"sentence", stage.origin},
                        {"predicted_us", stage.predicted_us}});
    }
    nlohmann::json out = time_json(row.time);
    out.update({{"tokens", row.tokens},
                {"bucket", row.bucket},
                {"bytes", row.work.bytes},
                {"flops", row.work.flops},
                {"work_stated", row.work.stated},
                {"tb_per_s", row.bytes_rate() * kTera},
                {"tflop_per_s", row.flops_rate() * kTera},
                {"floor_us", row.floor_us()},
                {"memory_floor_us", row.memory_us},
                {"math_floor_us", row.math_us},
                {"of_floor", row.time.known() ? row.floor_us() / row.time.us : 0},
                {"default", compared_json(row.by_default, row.time)},
                {"is_default", row.is_default},
                {"reference", compared_json(row.reference, row.time)},
                {"stages", stages},
                {"conditions", row.conditions},
                {"sm_clock_mhz", row.sm_clock_mhz}});
    rows.push_back(std::move(out));
  }
  return {{"template", report.template_name},
          {"problem", report.problem},
          {"target", report.target},
          {"device", report.device},
          {"sku", report.sku},
          {"driver", report.driver},
          {"knowledge", to_string(report.knowledge)},
          {"policy", report.policy},
          {"cancelled", report.cancelled},
          {"ceilings",
           {{"measured", report.ceilings.measured},
            {"read_tb_per_s", report.ceilings.read_bytes_per_us * kTera},
            {"copy_tb_per_s", report.ceilings.copy_bytes_per_us * kTera},
            {"math", math}}},
          {"rows", rows}};
}

std::string bench_text(const BenchReport& report) {
  std::string out =
      fmt::format("{} on {} ({}){}\n{}\n{}\n\n", report.template_name, report.device, report.target,
                  is_predicted(report) ? ", predicted" : "", report.problem, ceilings_text(report.ceilings));
  using Align = Table::Align;
  Table table({{report.bucket_scalar, Align::right},
               {is_predicted(report) ? "predicted us" : "time us", Align::right},
               {"+-", Align::right},
               {"TB/s", Align::right},
               {"TFLOP/s", Align::right},
               {"floor us", Align::right},
               {"of floor", Align::right},
               {"bound"},
               {"default us", Align::right},
               {"", Align::right},
               {"reference us", Align::right},
               {"", Align::right}});
  for (const BenchRow& row : report.rows) {
    const bool known = row.time.known();
    const double spread = known ? (row.time.high_us - row.time.low_us) / 2 / row.time.us : 0;
    table.add(
        {with_thousands(row.tokens), us_text(row.time),
         known && !is_predicted(report) ? fmt::format("{:.1f} %", 100 * spread) : "",
         known ? fmt::format("{:.2f}", row.bytes_rate() * kTera) : "-",
         known ? fmt::format("{:.4g}", row.flops_rate() * kTera) : "-",
         row.floor_us() > 0 ? fmt::format("{:.1f}", row.floor_us()) : "-",
         known && row.floor_us() > 0 ? fmt::format("{:.0f} %", 100 * row.floor_us() / row.time.us) : "-",
         row.floor_us() <= 0           ? ""
         : row.math_us > row.memory_us ? "math"
                                       : "memory",
         us_text(row.by_default), ratio_text(ratio(row.by_default, row.time)), us_text(row.reference),
         ratio_text(ratio(row.reference, row.time))});
  }
  return out + table.render(2) + "\n" + stages_text(report);
}

std::vector<std::string> bench_notes(const BenchReport& report, const std::string& tune_command) {
  int tuned = 0, defaults = 0, elsewhere = 0;
  bool stated = true;
  std::vector<std::string> notes;
  for (const BenchRow& row : report.rows) {
    stated = stated && row.work.stated;
    for (const BenchStage& stage : row.stages) {
      if (!stage.tuned || stage.given) continue;
      ++tuned;
      defaults += stage.provenance == Provenance::fallback_default;
      elsewhere +=
          stage.provenance != Provenance::fallback_default && stage.provenance != Provenance::measured_here;
    }
    for (const auto& [name, time] : {std::pair<const char*, const BenchTime*>{"", &row.time},
                                     {"the reference kernels: ", &row.reference}}) {
      if (!time->why_not.empty())
        notes.push_back(fmt::format("{} {}: {}{}", report.bucket_scalar, row.tokens, name, time->why_not));
    }
  }
  if (tuned > 0 && defaults == tuned) {
    notes.push_back(
        fmt::format("no winner is stored for this problem on this {}: these are default configs; `{}` "
                    "finds better ones",
                    report.sku.empty() ? "target" : "GPU", tune_command));
  } else if (defaults > 0) {
    notes.push_back(fmt::format("{} of {} stages are served by default configs; `{}` finds winners", defaults,
                                tuned, tune_command));
  }
  if (elsewhere > 0 && !is_predicted(report)) {
    notes.push_back(
        fmt::format("{} of {} stages are served by winners that were not measured on this GPU model; `{}` "
                    "measures here",
                    elsewhere, tuned, tune_command));
  }
  if (!stated) {
    notes.push_back(
        "the template states no work for some stage: bytes and operations are the least that a config's cost "
        "says, "
        "padding included");
  }
  if (is_predicted(report)) {
    notes.push_back(fmt::format("all times are the cost model's: no {} was measured", report.target));
  }
  return notes;
}

std::string bench_roofline(const BenchReport& report) {
  ScatterChart chart;
  chart.title = fmt::format("{} on {}{}", report.template_name, report.device,
                            is_predicted(report) ? ", predicted" : "");
  chart.x_label = "operations per byte of memory";
  chart.y_label = "TFLOP/s";
  chart.series = {"as served", "default configs", "reference"};
  std::map<std::string, double> types;
  for (const BenchRow& row : report.rows) {
    for (const auto& [type, flops] : row.work.flops_by_type) types[type] += flops;
    if (row.work.bytes <= 0) continue;
    int series = 0;
    for (const BenchTime* time : {&row.time, &row.by_default, &row.reference}) {
      if (time->known() && (series != 1 || !row.is_default)) {  // or the two would hide each other
        chart.points.push_back({row.work.flops / row.work.bytes, row.work.flops / time->us * kTera,
                                fmt::format("{} {}, {}: {:.1f} us, {:.2f} TB/s", report.bucket_scalar,
                                            row.tokens, chart.series[static_cast<size_t>(series)], time->us,
                                            row.work.bytes / time->us * kTera),
                                series, series == 0 ? with_thousands(row.tokens) : ""});
      }
      ++series;
    }
  }
  const double memory = report.ceilings.bytes_per_us() * kTera;
  double highest = 0;
  for (const auto& [type, flops] : types) {
    const MathCeiling* math = report.ceilings.find(type);
    if (math == nullptr || memory <= 0 || math->flops_per_us <= 0) continue;
    const double peak = math->flops_per_us * kTera, ridge = peak / memory;
    chart.lines.push_back({ridge, peak, ridge * 1e6, peak, math_text(*math)});
    chart.covered.emplace_back(ridge * 2, peak);
    highest = std::max(highest, peak);
  }
  if (highest > 0) {
    const double ridge = highest / memory;
    chart.lines.push_back({ridge * 1e-6, highest * 1e-6, ridge, highest, fmt::format("{:.2f} TB/s", memory)});
  }
  return scatter_chart(chart);
}

}  // namespace rtjit

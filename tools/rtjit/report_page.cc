#include "tools/rtjit/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"
#include "tools/rtjit/config_json.h"
#include "tools/rtjit/svg_chart.h"

namespace rtjit {
namespace {

std::vector<std::string> stages_of(const Overview& overview) {
  std::vector<std::string> stages;
  for (const OverviewCell& cell : overview.cells) {
    if (stages.empty() || stages.back() != cell.stage) stages.push_back(cell.stage);
  }
  return stages;
}

std::vector<std::string> buckets_of(const Overview& overview) {
  std::vector<std::string> buckets;
  for (const OverviewCell& cell : overview.cells) {
    if (cell.stage == overview.cells.front().stage) buckets.push_back(std::to_string(cell.bucket));
  }
  return buckets;
}

// A row of bars per stage, a bar per bucket.
template <class Value>
std::vector<BarSeries> per_stage(const Overview& overview, const Value& value) {
  std::vector<BarSeries> series;
  for (const OverviewCell& cell : overview.cells) {
    if (series.empty() || series.back().name != cell.stage) series.push_back({cell.stage, {}});
    series.back().values.push_back(value(cell));
  }
  return series;
}

std::string roofline(const Overview& overview) {
  ScatterChart chart;
  chart.title = "Roofline of the winners";
  chart.x_label = "operations per byte of memory";
  chart.y_label = "TFLOP/s";
  chart.series = stages_of(overview);
  for (const OverviewCell& cell : overview.cells) {
    if (cell.winner.time_us <= 0 || cell.dram_bytes <= 0) continue;
    const int series = static_cast<int>(std::find(chart.series.begin(), chart.series.end(), cell.stage) -
                                        chart.series.begin());
    chart.points.push_back({cell.flops / cell.dram_bytes, cell.flops / cell.winner.time_us * 1e-6,
                            fmt::format("{} bucket {}: {:.1f} us, {:.0f} GB/s", cell.stage, cell.bucket,
                                        cell.winner.time_us, cell.dram_bytes / cell.winner.time_us * 1e-3),
                            series});
  }
  if (overview.dram_bytes_per_us > 0 && overview.flops_per_us > 0) {
    const double ridge = overview.flops_per_us / overview.dram_bytes_per_us,
                 peak = overview.flops_per_us * 1e-6;
    const double start = ridge * 1e-6;
    chart.lines.push_back({start, start * overview.dram_bytes_per_us * 1e-6, ridge, peak,
                           fmt::format("{:.2f} TB/s", overview.dram_bytes_per_us * 1e-6)});
    chart.lines.push_back({ridge, peak, ridge * 1e6, peak, fmt::format("{:.0f} TFLOP/s", peak)});
  }
  return scatter_chart(chart);
}

std::string predicted_against_measured(const Overview& overview) {
  ScatterChart chart;
  chart.title = "Predicted against measured";
  chart.x_label = "measured, us";
  chart.y_label = "predicted, us";
  chart.series = stages_of(overview);
  double low = 1e30, high = 0;
  for (const OverviewCell& cell : overview.cells) {
    const int series = static_cast<int>(std::find(chart.series.begin(), chart.series.end(), cell.stage) -
                                        chart.series.begin());
    for (const ExplainEntry& entry : cell.entries) {
      if (entry.measured_us <= 0 || entry.predicted_us <= 0) continue;
      low = std::min({low, entry.measured_us, entry.predicted_us});
      high = std::max({high, entry.measured_us, entry.predicted_us});
      chart.points.push_back(
          {entry.measured_us, entry.predicted_us,
           fmt::format("{} bucket {} {} {}: measured {:.1f} us, predicted {:.1f} us", cell.stage, cell.bucket,
                       entry.variant, entry.config, entry.measured_us, entry.predicted_us),
           series});
    }
  }
  if (chart.points.empty())
    return "<p>Nothing was measured here: there is no device, or it was not tuned.</p>\n";
  chart.lines.push_back({low, low, high, high, "equal"});
  return scatter_chart(chart);
}

// The cell of a stage that knows most times.
const OverviewCell* richest(const Overview& overview, const std::string& stage) {
  const OverviewCell* best = nullptr;
  long most = -1;
  for (const OverviewCell& cell : overview.cells) {
    if (cell.stage != stage || cell.winner.variant.empty()) continue;
    const long known = std::count_if(cell.entries.begin(), cell.entries.end(),
                                     [](const ExplainEntry& entry) { return entry.measured_us > 0; });
    if (known >= most) best = &cell, most = known;
  }
  return best;
}

bool numbers_first(const std::string& a, const std::string& b) {
  const auto left = parse_int(a), right = parse_int(b);
  if (left && right) return *left < *right;
  return a < b;
}

// The best time over all other parameters for each pair of two, within the winner's variant.
std::string heat_maps(const OverviewCell& cell) {
  std::vector<std::pair<KeyValues, double>> known;
  bool measured = false;
  for (const ExplainEntry& entry : cell.entries) measured = measured || entry.measured_us > 0;
  for (const ExplainEntry& entry : cell.entries) {
    const double time = measured ? entry.measured_us : entry.predicted_us;
    const auto values = parse_key_values(entry.config);
    if (entry.variant == cell.winner.variant && entry.verdict == Verdict::ok && time > 0 && values)
      known.emplace_back(*values, time);
  }
  if (known.empty()) return "";
  auto value_of = [](const KeyValues& values, const std::string& key) {
    for (const auto& [name, value] : values)
      if (name == key) return value;
    return std::string();
  };
  std::vector<std::string> keys;
  for (const auto& [key, value] : known.front().first) {
    std::set<std::string> distinct;
    for (const auto& [values, time] : known) distinct.insert(value_of(values, key));
    if (distinct.size() > 1) keys.push_back(key);
  }
  std::string out;
  for (size_t a = 0; a < keys.size(); ++a) {
    for (size_t b = a + 1; b < keys.size(); ++b) {
      HeatMap map;
      map.title = fmt::format("{} bucket {}, {}: best {} time, us", cell.stage, cell.bucket,
                              cell.winner.variant, measured ? "measured" : "predicted");
      map.x_label = keys[a];
      map.y_label = keys[b];
      for (const auto& [values, time] : known) {
        map.x.push_back(value_of(values, keys[a]));
        map.y.push_back(value_of(values, keys[b]));
      }
      for (auto* axis : {&map.x, &map.y}) {
        std::sort(axis->begin(), axis->end(), numbers_first);
        axis->erase(std::unique(axis->begin(), axis->end()), axis->end());
      }
      map.cells.assign(map.y.size(), std::vector<double>(map.x.size(), 0));
      for (const auto& [values, time] : known) {
        const size_t column = static_cast<size_t>(
            std::find(map.x.begin(), map.x.end(), value_of(values, keys[a])) - map.x.begin());
        const size_t row = static_cast<size_t>(
            std::find(map.y.begin(), map.y.end(), value_of(values, keys[b])) - map.y.begin());
        double& best = map.cells[row][column];
        best = best > 0 ? std::min(best, time) : time;
      }
      out += heat_map(map);
    }
  }
  return out;
}

std::string winners_table(const Overview& overview) {
  std::string out =
      "<table><tr><th>stage</th><th>bucket</th><th>variant</th><th>config</th><th>time, us</th><th>how "
      "known</th><th>default, us</th><th>speed-up</th><th>checked</th><th>why</th></tr>\n";
  for (const OverviewCell& cell : overview.cells) {
    const WinnerRow& w = cell.winner;
    if (w.variant.empty()) {
      out += fmt::format(
          "<tr><td>{}</td><td class=\"n\">{}</td><td colspan=\"8\">nothing stored: run rtjit "
          "tune</td></tr>\n",
          escape_markup(cell.stage), with_thousands(cell.bucket));
      continue;
    }
    out += fmt::format(
        "<tr><td>{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td><td "
        "class=\"n\">{:.1f}</td><td>{}</td><td "
        "class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>\n",
        escape_markup(cell.stage), with_thousands(cell.bucket), escape_markup(w.variant),
        escape_markup(w.config), w.time_us, to_string(w.knowledge),
        cell.default_us > 0 ? fmt::format("{:.1f}", cell.default_us) : "",
        cell.speedup() > 0 ? fmt::format("{:.2f}", cell.speedup()) : "", w.verified ? "yes" : "no",
        escape_markup(w.why));
  }
  return out + "</table>\n";
}

std::string facts(const Overview& overview, const std::string& version) {
  auto list = [](const std::map<std::string, int>& values) {
    std::vector<std::string> names;
    for (const auto& [name, rows] : values)
      names.push_back(fmt::format("{} ({} rows)", name, with_thousands(rows)));
    return names.empty() ? std::string("none") : join(names, "; ");
  };
  std::string out = "<table>\n";
  for (const auto& [name, value] :
       {std::pair<const char*, std::string>{
            "template", overview.template_name + ", content " + overview.template_hash.substr(0, 12)},
        {"problem", overview.problem},
        {"target", overview.target},
        {"device", overview.device},
        {"compilers", list(overview.compilers)},
        {"drivers", list(overview.drivers)},
        {"timing", list(overview.policies)},
        {"written by", "rtjit " + version}}) {
    out += fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", name, escape_markup(value));
  }
  return out + "</table>\n";
}

}  // namespace

nlohmann::json report_json(const Overview& overview) {
  nlohmann::json cells = nlohmann::json::array();
  for (const OverviewCell& cell : overview.cells) {
    nlohmann::json verdicts = nlohmann::json::object();
    for (const auto& [verdict, count] : cell.verdicts()) verdicts[to_string(verdict)] = count;
    nlohmann::json measured = nlohmann::json::array();
    for (const ExplainEntry& entry : cell.entries) {
      if (entry.measured_us > 0)
        measured.push_back({{"variant", entry.variant},
                            {"config_text", entry.config},
                            {"measured_us", entry.measured_us},
                            {"predicted_us", entry.predicted_us}});
    }
    cells.push_back({{"stage", cell.stage},
                     {"bucket", cell.bucket},
                     {"variant", cell.winner.variant},
                     {"config", config_json(cell.winner.config)},
                     {"config_text", cell.winner.config},
                     {"time_us", cell.winner.time_us},
                     {"knowledge", to_string(cell.winner.knowledge)},
                     {"verified", cell.winner.verified},
                     {"why", cell.winner.why},
                     {"default_us", cell.default_us},
                     {"speedup", cell.speedup()},
                     {"dram_bytes", cell.dram_bytes},
                     {"flops", cell.flops},
                     {"verdicts", verdicts},
                     {"measured", measured}});
  }
  return {{"template", overview.template_name},
          {"template_hash", overview.template_hash},
          {"problem", overview.problem},
          {"target", overview.target},
          {"device", overview.device},
          {"compilers", overview.compilers},
          {"drivers", overview.drivers},
          {"policies", overview.policies},
          {"cells", cells}};
}

std::string report_page(const Overview& overview, const std::string& version) {
  std::vector<std::string> buckets = buckets_of(overview);
  std::map<Verdict, BarSeries> rejected;
  std::vector<std::string> stage_buckets;
  for (const OverviewCell& cell : overview.cells) {
    if (cell.bucket != overview.cells.front().bucket) continue;
    stage_buckets.push_back(cell.stage);
    for (const auto& [verdict, count] : cell.verdicts()) {
      BarSeries& series = rejected[verdict];
      series.name = to_string(verdict);
      series.values.resize(stage_buckets.size(), 0);
      series.values.back() = count;
    }
  }
  std::vector<BarSeries> gates;
  for (auto& [verdict, series] : rejected) gates.push_back(series);

  std::string data = report_json(overview).dump();
  for (size_t at = 0; (at = data.find("</", at)) != std::string::npos; at += 3) data.replace(at, 2, "<\\/");
  std::string maps;
  for (const std::string& stage : stages_of(overview)) {
    if (const OverviewCell* cell = richest(overview, stage)) maps += heat_maps(*cell);
  }
  return fmt::format(
      R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;margin:2em;max-width:1200px}}table{{border-collapse:collapse;font-size:13px}}
td,th{{border:1px solid #ddd;padding:3px 8px;text-align:left}}td.n{{text-align:right}}svg{{margin:8px 16px 8px 0}}</style></head>
<body><h1>{title}</h1>
{facts}
<h2>Speed-up over the default config</h2>
{speedup}
<h2>Winners</h2>
{times}
{winners}
<h2>Roofline</h2>
<p>Ceilings are those of the data sheet; bytes and operations as the template states them.</p>
{roofline}
<h2>Configs per verdict</h2>
{gates}
<h2>Predicted against measured</h2>
{scatter}
<h2>What the parameters do</h2>
{maps}
<script type="application/json" id="data">{data}</script>
</body></html>
)",
      fmt::arg("title", escape_markup(fmt::format("{} on {}", overview.template_name, overview.device))),
      fmt::arg("facts", facts(overview, version)),
      fmt::arg("speedup",
               bar_chart("Speed-up over the default config, by bucket", "times", buckets,
                         per_stage(overview, [](const OverviewCell& c) { return c.speedup(); }), 2)),
      fmt::arg("times",
               bar_chart("Time of the winner, by bucket", "us", buckets,
                         per_stage(overview, [](const OverviewCell& c) { return c.winner.time_us; }), 0)),
      fmt::arg("winners", winners_table(overview)), fmt::arg("roofline", roofline(overview)),
      fmt::arg("gates", bar_chart("Configs per verdict, first bucket", "configs", stage_buckets, gates, 0)),
      fmt::arg("scatter", predicted_against_measured(overview)), fmt::arg("maps", maps),
      fmt::arg("data", data));
}

}  // namespace rtjit

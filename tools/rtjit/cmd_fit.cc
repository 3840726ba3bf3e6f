// rtjit fit: the cost model's coefficients from stored measurements.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tools/rtjit/command.h"
#include "tools/rtjit/svg_chart.h"
#include "tools/rtjit/sweep_options.h"
#include "tools/rtjit/table.h"
#include "tuner/fit.h"

namespace rtjit {
namespace {

struct FitOptions {
  ScopeOptions scope;
  std::vector<std::string> databases;
  std::string output, plot;
};

nlohmann::json to_json(const ChoiceFigures& figures) {
  return {{"first", figures.first}, {"ten", figures.ten}};
}

nlohmann::json to_json(const ChoiceSummary& summary) {
  return {{"geomean", to_json(summary.geomean)},
          {"worst", to_json(summary.worst)},
          {"typical_error", summary.typical_error}};
}

nlohmann::json to_json(const FamilyFit& fit) {
  nlohmann::json out = {{"family", fit.family},
                        {"measurements", fit.points.size()},
                        {"without_cost", fit.without_cost},
                        {"before", to_json(fit.summary_before)},
                        {"after", to_json(fit.summary_after)},
                        {"buckets", nlohmann::json::array()}};
  for (const CoefficientField& field : coefficient_fields()) {
    out["coefficients"][field.name] = {{"before", fit.before.*field.member},
                                       {"after", fit.after.*field.member}};
  }
  for (const FitBucket& bucket : fit.buckets) {
    out["buckets"].push_back({{"problem", bucket.problem},
                              {"device", bucket.device_name},
                              {"stage", bucket.stage},
                              {"bucket", bucket.bucket},
                              {"configs", bucket.configs},
                              {"before", to_json(bucket.before)},
                              {"after", to_json(bucket.after)}});
  }
  return out;
}

std::string percent(double share) { return fmt::format("{:.1f} %", 100 * share); }

void print_fit(const FamilyFit& fit) {
  fmt::print("{}: {} measurements\n\n", fit.family, with_thousands(static_cast<int64_t>(fit.points.size())));
  Table coefficients({{"coefficient"}, {"before", Table::Align::right}, {"after", Table::Align::right}});
  for (const CoefficientField& field : coefficient_fields()) {
    coefficients.add({field.name, fmt::format("{:.4g}", fit.before.*field.member),
                      fmt::format("{:.4g}", fit.after.*field.member)});
  }
  fmt::print("{}\n", coefficients.render(2));
  Table table({{"stage"},
               {"bucket", Table::Align::right},
               {"configs", Table::Align::right},
               {"first before", Table::Align::right},
               {"after", Table::Align::right},
               {"of ten before", Table::Align::right},
               {"after", Table::Align::right},
               {"problem"}});
  for (const FitBucket& bucket : fit.buckets) {
    table.add({bucket.stage, with_thousands(bucket.bucket), fmt::format("{}", bucket.configs),
               percent(bucket.before.first), percent(bucket.after.first), percent(bucket.before.ten),
               percent(bucket.after.ten), bucket.problem});
  }
  const auto total = [&](const char* name, ChoiceFigures ChoiceSummary::*which) {
    const ChoiceFigures &before = fit.summary_before.*which, &after = fit.summary_after.*which;
    table.add(
        {name, "", "", percent(before.first), percent(after.first), percent(before.ten), percent(after.ten)});
  };
  total("geomean", &ChoiceSummary::geomean);
  total("worst", &ChoiceSummary::worst);
  fmt::print(
      "Speed of the model's first choice, and of the best of its first ten, against the best config:\n{}",
      table.render(2));
  fmt::print("typical error of a prediction: {} before, {} after\n",
             percent(fit.summary_before.typical_error), percent(fit.summary_after.typical_error));
  if (fit.without_cost > 0) {
    fmt::print("{} measurements are of variants whose manifest states no cost\n",
               with_thousands(fit.without_cost));
  }
}

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) return make_error(ErrorCode::io, "{}: {}", path, std::strerror(errno));
  return {};
}

std::string origin_of(const FamilyFit& fit) {
  std::vector<std::string> devices;
  for (const FitBucket& bucket : fit.buckets) {
    if (std::find(devices.begin(), devices.end(), bucket.device_name) == devices.end()) {
      devices.push_back(bucket.device_name);
    }
  }
  return fmt::format("fitted by rtjit fit to {} measurements of {} buckets on {}", fit.points.size(),
                     fit.buckets.size(), join(devices, ", "));
}

// A line marks where the two are equal, two more a factor of two off.
std::string predicted_against_measured(const FamilyFit& fit) {
  ScatterChart chart;
  chart.title = fmt::format("{}: {} configs, typical error {}", fit.family, fit.points.size(),
                            percent(fit.summary_after.typical_error));
  chart.x_label = "measured us";
  chart.y_label = "predicted us";
  for (const FamilyFit::Point& point : fit.points) {
    if (std::find(chart.series.begin(), chart.series.end(), point.stage) == chart.series.end())
      chart.series.push_back(point.stage);
  }
  std::sort(chart.series.begin(), chart.series.end());
  double low = 1e30, high = 0;
  for (const FamilyFit::Point& point : fit.points) {
    const auto series = std::find(chart.series.begin(), chart.series.end(), point.stage);
    chart.points.push_back({point.measured_us, point.predicted_us,
                            fmt::format("{}: measured {:.1f} us, predicted {:.1f} us", point.stage,
                                        point.measured_us, point.predicted_us),
                            static_cast<int>(series - chart.series.begin())});
    low = std::min(low, point.measured_us);
    high = std::max(high, point.measured_us);
  }
  if (chart.points.empty()) return scatter_chart(chart);
  for (const auto& [factor, label] :
       {std::pair<double, const char*>{1, "equal"}, {2, "twice"}, {0.5, "half"}})
    chart.lines.push_back({low / 4, low / 4 * factor, high * 4, high * 4 * factor, label});
  return scatter_chart(chart);
}

Status write_results(const FitOptions& options, const std::vector<FamilyFit>& fits) {
  for (const FamilyFit& fit : fits) {
    // With several families -o and --plot name folders.
    const auto place = [&](const std::string& given, const char* ending) {
      return fits.size() == 1 ? given : (std::filesystem::path(given) / (fit.family + ending)).string();
    };
    if (!options.output.empty()) {
      const CoefficientFile file{fit.family, origin_of(fit), fit.after};
      if (Status status = write_file(place(options.output, ".json"), coefficients_text(file)); !status)
        return status;
    }
    if (options.plot.empty()) continue;
    Status status = write_file(place(options.plot, ".svg"), predicted_against_measured(fit));
    if (!status) return status;
  }
  return {};
}

int run(const FitOptions& options) {
  auto scope = open_sweeps(options.scope);
  if (!scope) return fail(scope.error());
  std::vector<Sweep> sweeps;
  for (const std::string& database : options.databases) {
    if (std::error_code ignored; !std::filesystem::is_regular_file(database, ignored)) {
      return fail(make_error(ErrorCode::not_found, "there is no database {}", database));
    }
    auto store = open_store(database);
    if (!store) return fail(store.error());
    auto sweep = load_sweep(**store, scope->tmpl, scope->filter);
    if (!sweep) return fail(sweep.error().with_context(database));
    sweeps.push_back(std::move(*sweep));
  }
  auto fits = fit(sweeps);
  if (!fits) return fail(fits.error());
  if (Status status = write_results(options, *fits); !status) return fail(status.error());
  if (options.scope.json) {
    nlohmann::json out = nlohmann::json::array();
    for (const FamilyFit& fit : *fits) out.push_back(to_json(fit));
    fmt::print("{}\n", out.dump(2));
    return 0;
  }
  for (const FamilyFit& fit : *fits) print_fit(fit);
  return 0;
}

}  // namespace

void add_fit(CLI::App& app, Action* action) {
  auto options = std::make_shared<FitOptions>();
  CLI::App* verb = app.add_subcommand("fit", "Fit the cost model's coefficients to stored measurements");
  ScopeOptions& scope = options->scope;
  verb->add_option("template", scope.request.template_name, "Template, for example moe_mxfp4")->required();
  verb->add_option("DATABASE", options->databases,
                   "Databases with measurements, best of every config (rtjit tune --strategy exhaustive)")
      ->required();
  verb->add_option("--target", scope.request.target, "Only measurements of this target");
  verb->add_option("--preset", scope.request.preset, "Only those of this problem");
  verb->add_option("--problem", scope.request.problem, "Only those of the problem with these keys");
  verb->add_option("--tokens", scope.request.tokens, "Only those of the buckets that serve these sizes");
  verb->add_option("--templates", scope.template_folders, "Folder with further templates; may be repeated");
  verb->add_option(
      "-o,--output", options->output,
      "Write the coefficients in the form of tuner/coefficients; a folder where several families are fitted");
  verb->add_option("--plot", options->plot,
                   "Write predicted against measured as SVG; a folder where several families are fitted");
  verb->add_flag("--json", scope.json, "The result as JSON on standard output");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit

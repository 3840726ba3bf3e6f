// rtjit targets: limits and PTX features of every target, of one, or probed anew with the assembler that is
// present.
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cache/store.h"
#include "compiler/feature_probe.h"
#include "compiler/features.h"
#include "compiler/nvrtc.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/progress.h"
#include "tools/rtjit/table.h"

namespace rtjit {
namespace {

struct TargetsOptions {
  std::string name;
  bool probe = false, again = false, json = false;
};

nlohmann::json limits_json(const Target& target) {
  const TargetLimits& limits = target.limits();
  nlohmann::json features = nlohmann::json::object();
  for (const Feature& feature : all_features())
    features[std::string(feature.name)] = supports(target, feature.name);
  const Sku& sku = representative_sku(target);
  return {{"target", target.name()},
          {"examples", target.examples()},
          {"smem_per_block", limits.smem_per_block},
          {"smem_per_sm", limits.smem_per_sm},
          {"threads_per_sm", limits.threads_per_sm},
          {"blocks_per_sm", limits.blocks_per_sm},
          {"registers_per_sm", limits.registers_per_sm},
          {"registers_per_block", limits.registers_per_block},
          {"registers_per_thread", limits.registers_per_thread},
          {"max_cluster", limits.max_cluster},
          {"representative",
           {{"name", sku.name},
            {"sm_count", sku.sm_count},
            {"l2_bytes", sku.l2_bytes},
            {"dram_gb_per_s", sku.dram_gb_per_s},
            {"bf16_tflops", sku.bf16_tflops}}},
          {"features", features}};
}

int list(bool json) {
  if (json) {
    nlohmann::json out = nlohmann::json::array();
    for (const Target& target : Target::all()) out.push_back(limits_json(target));
    fmt::print("{}\n", out.dump(1));
    return 0;
  }
  Table limits({{"target"},
                {"SMEM/block B", Table::Align::right},
                {"SMEM/SM B", Table::Align::right},
                {"threads/SM", Table::Align::right},
                {"blocks/SM", Table::Align::right},
                {"examples"}});
  for (const Target& target : Target::all()) {
    limits.add({target.name(), with_thousands(target.limits().smem_per_block),
                with_thousands(target.limits().smem_per_sm),
                fmt::format("{}", target.limits().threads_per_sm),
                fmt::format("{}", target.limits().blocks_per_sm), target.examples()});
  }
  fmt::print("{}\n", limits.render());
  std::vector<Table::Column> columns = {{"feature"}};
  for (const Target& target : Target::all())
    columns.push_back({target.name().substr(3), Table::Align::right});
  Table features(columns);
  for (const Feature& feature : all_features()) {
    std::vector<std::string> row = {std::string(feature.name)};
    for (const Target& target : Target::all()) row.emplace_back(supports(target, feature.name) ? "x" : ".");
    features.add(row);
  }
  fmt::print("{}", features.render());
  return 0;
}

int show(const std::string& name, bool json) {
  auto target = Target::parse(name);
  if (!target) return fail(target.error());
  if (json) {
    fmt::print("{}\n", limits_json(*target).dump(2));
    return 0;
  }
  const TargetLimits& limits = target->limits();
  const Sku& sku = representative_sku(*target);
  fmt::print("{}: {}\n", target->name(), target->examples());
  fmt::print("  shared memory   {} B per block, {} B per SM ({} B per block reserved)\n",
             with_thousands(limits.smem_per_block), with_thousands(limits.smem_per_sm),
             with_thousands(limits.smem_reserved_per_block));
  fmt::print("  threads         {} per SM, {} per block, {} blocks per SM\n", limits.threads_per_sm,
             limits.threads_per_block, limits.blocks_per_sm);
  fmt::print("  registers       {} per SM, {} per thread\n", with_thousands(limits.registers_per_sm),
             limits.registers_per_thread);
  fmt::print("  cluster         {}\n",
             limits.max_cluster == 0 ? "none" : fmt::format("up to {} blocks", limits.max_cluster));
  fmt::print("  predicted as    {}: {} SMs, {:.0f} GB/s, {:.0f} TFLOP/s bf16\n", sku.name, sku.sm_count,
             sku.dram_gb_per_s, sku.bf16_tflops);
  Table features({{"feature"}, {""}, {"what it is"}});
  for (const Feature& feature : all_features()) {
    features.add({std::string(feature.name), supports(*target, feature.name) ? "yes" : "no",
                  std::string(feature.summary)});
  }
  fmt::print("\n{}", features.render(2));
  return 0;
}

std::string probe_cache_file() {
  auto database = user_cache_path();
  if (!database) return "";
  return (std::filesystem::path(*database).parent_path() / "features.txt").string();
}

int probe(const TargetsOptions& options) {
  auto nvrtc = Nvrtc::open();
  if (!nvrtc) return fail(nvrtc.error());
  Progress progress(options.json);
  progress.begin("probing targets", static_cast<int64_t>(Target::all().size()));
  ProbeOptions probe_options;
  probe_options.progress = [&](int done, int total) { progress.update("probing targets", done, total); };
  if (!options.again) probe_options.cache_file = probe_cache_file();
  auto report = probe_features(**nvrtc, probe_options);
  progress.end();
  if (!report) return fail(report.error());
  if (options.json) {
    nlohmann::json out = {{"compiler", report->compiler},
                          {"seconds", report->seconds},
                          {"from_cache", report->from_cache},
                          {"differences", nlohmann::json::array()}};
    for (const Target& target : report->targets) out["targets"].push_back(target.name());
    for (size_t i = 0; i < report->features.size(); i++) out["cells"][report->features[i]] = report->cells[i];
    for (const auto& difference : report->differences) {
      out["differences"].push_back({{"target", difference.target},
                                    {"feature", difference.feature},
                                    {"assembles", difference.assembles}});
    }
    fmt::print("{}\n", out.dump(1));
  } else {
    std::vector<Table::Column> columns = {{"feature"}};
    for (const Target& target : report->targets)
      columns.push_back({target.name().substr(3), Table::Align::right});
    Table table(columns);
    for (size_t i = 0; i < report->features.size(); i++) {
      std::vector<std::string> row = {report->features[i]};
      for (char cell : report->cells[i]) row.emplace_back(1, cell);
      table.add(row);
    }
    fmt::print("{}\n{} features on {} targets with {}{}, {:.1f} s: ", table.render(), report->features.size(),
               report->targets.size(), report->compiler,
               report->from_cache ? " (kept answer; --again assembles anew)" : "", report->seconds);
    fmt::print("{}\n",
               report->differences.empty() ? "the built-in table agrees" : "the built-in table disagrees:");
    for (const auto& difference : report->differences) {
      fmt::print(
          "  {} on {}: {}\n", difference.feature, difference.target,
          difference.assembles ? "assembles, the table says no" : "does not assemble, the table says yes");
    }
  }
  return report->differences.empty() ? 0 : 1;
}

}  // namespace

void add_targets(CLI::App& app, Action* action) {
  auto options = std::make_shared<TargetsOptions>();
  CLI::App* verb = app.add_subcommand("targets", "Limits and PTX features of every target, or of one");
  verb->add_option("target", options->name, "Target such as sm_121a; default: all");
  verb->add_flag(
      "--probe", options->probe,
      "Assemble every feature on every target with the NVRTC that is present; fails if the table disagrees");
  verb->add_flag("--again", options->again, "With --probe: do not use the answer kept from last time");
  verb->add_flag("--json", options->json, "The result as JSON on standard output");
  verb->callback([options, action] {
    *action = [options] {
      if (options->probe) return probe(*options);
      return options->name.empty() ? list(options->json) : show(options->name, options->json);
    };
  });
}

}  // namespace rtjit

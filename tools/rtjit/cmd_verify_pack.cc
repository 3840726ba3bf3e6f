// rtjit verify-pack: whether a pack is whole, whose it is, and whether what is in it fits its target and
// computes the right thing.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "emulator/emulated_device.h"
#include "runtime/cuda_device.h"
#include "tools/rtjit/command.h"
#include "tools/rtjit/pack_text.h"
#include "tools/rtjit/progress.h"
#include "tools/rtjit/scope_options.h"
#include "tools/rtjit/table.h"
#include "tuner/pack_check.h"
#include "tuner/pack_results.h"

namespace rtjit {
namespace {

// The emulator is thousands of times slower than what limits are made for.
constexpr std::chrono::minutes kEmulatedLimit{30};

struct VerifyPackOptions {
  std::string pack, trusted_keys;
  std::vector<std::string> template_folders;
  std::optional<int> device;
  bool emulate = false, require_results = false, no_results = false;
  bool json = false, quiet = false;

  bool demands_results() const { return require_results || device || emulate; }
};

// What running the pack's kernels has shown, or why they were not run.
struct Outcome {
  std::string device;                    // "" where nothing was run
  std::vector<std::string> not_checked;  // what was not run, and why
  std::vector<PackResult> results;
};

// The GPU that the results are looked at on: the one that was named, else the first of the pack's target.
Result<DeviceInfo> find_device(const VerifyPackOptions& options, const Target& target) {
  if (options.emulate) {
    auto device = make_emulated_device(target);
    if (!device) return device.error();
    return (*device)->info();
  }
  auto count = cuda_device_count();
  if (!count) return count.error().with_context("no GPU can be used");
  const int first = options.device.value_or(0), last = options.device ? first : std::max(*count - 1, 0);
  std::vector<std::string> others;
  for (int ordinal = first; ordinal <= last; ++ordinal) {
    auto device = open_cuda_device(ordinal);
    if (!device && last == first) return device.error().with_context("no GPU can be used");
    if (device && (*device)->info().target == target) return (*device)->info();
    others.push_back(device ? fmt::format("GPU {} ({}) is {}", ordinal, (*device)->info().name,
                                          (*device)->info().target.name())
                            : fmt::format("GPU {}: {}", ordinal, device.error().message));
  }
  return make_error(ErrorCode::unsupported, "the pack is for {}; {}", target.name(), join(others, "; "));
}

// An Error: what was asked for cannot be done at all, or it was stopped.
Status run_results(const VerifyPackOptions& options, const PackManifest& manifest,
                   const TemplateRegistry& registry, Outcome* outcome) {
  auto target = Target::parse(manifest.target);
  if (!target) return target.error();
  auto device = find_device(options, *target);
  if (!device) {
    outcome->not_checked.push_back(device.error().message);
    return {};
  }
  PackRun run;
  run.device = *device;
  run.worker_command = {std::filesystem::read_symlink("/proc/self/exe").string(), "worker"};
  if (options.emulate) {
    run.worker_command.insert(run.worker_command.end(), {"--emulate", target->name()});
    run.limits.candidate_limit = run.oracle_limit = kEmulatedLimit;
  }
  run.template_folders = options.template_folders;
  run.compiler = compile_pool_factory();
  run.cancel = install_cancel_handler();
  Progress progress(options.quiet || options.json);
  bool begun = false;
  run.progress = [&](int64_t done, int64_t total) {
    if (!begun) progress.begin("checking results", total);
    begun = true;
    progress.update("checking results", done, total);
  };
  auto checked = check_pack_results(options.pack, manifest, registry, run);
  progress.end();
  if (!checked) return checked.error();
  outcome->device = options.emulate ? fmt::format("the emulator, as {}", target->name()) : device->name;
  outcome->results = std::move(checked->results);
  outcome->not_checked = std::move(checked->not_checked);
  if (outcome->results.empty() && outcome->not_checked.empty())
    outcome->not_checked.push_back("none of its winners is of a template that is here");
  return {};
}

std::string name_of(const PackResult& result) {
  return fmt::format(
      "{} {} {}", result.template_name, result.label.empty() ? result.problem : result.label,
      result.bucket == 0 ? std::string("packing weights") : fmt::format("bucket {}", result.bucket));
}

void print_results(const Outcome& outcome) {
  for (const std::string& why : outcome.not_checked) fmt::print("results    not checked: {}\n", why);
  if (outcome.results.empty()) return;
  fmt::print("results    on {}, compared with the oracle compiled here\n\n", outcome.device);
  Table table({{"template"},
               {"problem"},
               {"bucket", Table::Align::right},
               {"verdict"},
               {"cases", Table::Align::right},
               {"compared", Table::Align::right},
               {"differ", Table::Align::right},
               {"relative error", Table::Align::right},
               {"limit", Table::Align::right},
               {"largest error", Table::Align::right},
               {"limit", Table::Align::right},
               {"pipeline"}});
  for (const PackResult& result : outcome.results) {
    const VerifyOutcome& found = result.outcome;
    const bool numbers = found.compared > 0 && result.bucket > 0;
    const auto number = [&](double value) { return numbers ? fmt::format("{:.2e}", value) : "-"; };
    const auto limit = [&](double value) { return numbers ? fmt::format("{:g}", value) : "-"; };
    table.add({result.template_name, result.label.empty() ? result.problem : result.label,
               result.bucket == 0 ? "-" : with_thousands(result.bucket), to_string(found.verdict),
               fmt::to_string(found.cases), with_thousands(found.compared), with_thousands(found.different),
               number(found.rel_l2), limit(result.rel_l2_limit), number(found.max_err),
               limit(result.max_err_limit), result.bucket == 0 ? "packing weights" : result.pipeline});
  }
  fmt::print("{}\n", table.render());
  for (const PackResult& result : outcome.results) {
    if (result.not_in_pack.empty()) continue;
    fmt::print(
        "note: {}: the pack lacks the binary of {}: it was compiled here, as an engine would have to\n",
        name_of(result), join(result.not_in_pack, ", "));
  }
}

nlohmann::ordered_json results_json(const Outcome& outcome) {
  auto list = nlohmann::ordered_json::array();
  for (const PackResult& result : outcome.results) {
    const VerifyOutcome& found = result.outcome;
    list.push_back({{"template", result.template_name},
                    {"problem", result.problem},
                    {"label", result.label},
                    {"part", result.bucket == 0 ? "packing" : "launch"},
                    {"bucket", result.bucket},
                    {"pipeline", result.pipeline},
                    {"verdict", to_string(found.verdict)},
                    {"reason", found.reason},
                    {"rel_l2", found.rel_l2},
                    {"rel_l2_limit", result.rel_l2_limit},
                    {"max_err", found.max_err},
                    {"max_err_limit", result.max_err_limit},
                    {"compared", found.compared},
                    {"different", found.different},
                    {"cases", found.cases},
                    {"not_in_pack", result.not_in_pack}});
  }
  return list;
}

void print_json(const VerifyPackOptions& options, const PackInfo& info, const PackReport& report,
                const Outcome& outcome, bool ok) {
  auto out = nlohmann::ordered_json::parse(to_json(info.manifest));
  out["path"] = options.pack;
  out["bytes"] = file_bytes(options.pack);
  out["signer"] = info.signer ? nlohmann::ordered_json(info.signer->text()) : nlohmann::ordered_json();
  out["winners_checked"] = report.winners;
  out["binaries_checked"] = report.binaries;
  out["winners_of_other_templates"] = report.unknown_winners;
  out["results_checked"] = !outcome.results.empty() && outcome.not_checked.empty();
  out["results_on"] =
      outcome.device.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(outcome.device);
  out["results_not_checked"] = outcome.not_checked;
  out["results"] = results_json(outcome);
  out["findings"] = report.findings;
  out["ok"] = ok;
  fmt::print("{}\n", out.dump(1));
}

void print_text(const PackInfo& info, const PackReport& report, const Outcome& outcome, bool trusted) {
  print_manifest(info.manifest);
  fmt::print("signed     {}{}\n", info.signer ? info.signer->text() : "no", trusted ? ", trusted" : "");
  fmt::print("checked    {} winners, {} binaries against the limits of {}\n", with_thousands(report.winners),
             with_thousands(report.binaries), info.manifest.target);
  if (report.unknown_winners > 0) {
    fmt::print(
        "not checked {} winners of templates or versions of them that are not here; they are not used "
        "either\n",
        with_thousands(report.unknown_winners));
  }
  print_results(outcome);
  for (const std::string& finding : report.findings) fmt::print("bad: {}\n", finding);
}

int run(const VerifyPackOptions& options) {
  std::vector<PublicKey> trusted;
  if (!options.trusted_keys.empty()) {
    auto keys = read_public_keys(options.trusted_keys);
    if (!keys) return fail(keys.error());
    trusted = *std::move(keys);
  }
  auto info = read_pack(options.pack);
  if (!info) return fail(info.error());
  auto registry = TemplateRegistry::create(options.template_folders);
  if (!registry) return fail(registry.error());
  auto report = check_pack(options.pack, info->manifest, **registry);
  if (!report) return fail(report.error());
  const Status trust = check_trust(*info, trusted, options.pack);
  if (!trust) report->findings.insert(report->findings.begin(), trust.error().message);

  Outcome outcome;
  if (options.no_results) {
    outcome.not_checked.push_back("--no-results");
  } else if (!report->findings.empty()) {
    // A pack is code, and this one is not what it should be.
    outcome.not_checked.push_back("kernels of a pack with findings are not run");
  } else if (Status status = run_results(options, info->manifest, **registry, &outcome); !status) {
    const int code = fail(status.error());
    return status.error().code == ErrorCode::cancelled ? 130 : code;
  }
  for (const PackResult& result : outcome.results) {
    if (result.outcome.verdict == Verdict::ok) continue;
    report->findings.push_back(fmt::format("{}{}: {}", name_of(result),
                                           result.pipeline.empty() ? "" : " (" + result.pipeline + ")",
                                           result.outcome.reason));
  }
  const bool good = report->findings.empty(),
             enough = outcome.not_checked.empty() || !options.demands_results();
  if (options.json) {
    print_json(options, *info, *report, outcome, good && enough);
  } else {
    print_text(*info, *report, outcome, trust.ok() && !trusted.empty());
  }
  if (!good) {
    fmt::print(stderr, "rtjit: {} must not be used: {} finding{}\n", options.pack, report->findings.size(),
               report->findings.size() == 1 ? "" : "s");
  } else if (!enough) {
    fmt::print(stderr, "rtjit: {}: not all results could be checked, as was asked for\n", options.pack);
  }
  return good && enough ? 0 : 1;
}

}  // namespace

void add_verify_pack(CLI::App& app, Action* action) {
  auto options = std::make_shared<VerifyPackOptions>();
  CLI::App* verb = app.add_subcommand("verify-pack",
                                      "Checks a pack: structure, hashes, signature, limits of the target "
                                      "and, on a GPU of it, results; exit status 1 if "
                                      "anything is bad");
  verb->add_option("PACK", options->pack, "File made by rtjit pack")->required();
  verb->add_option("--trust", options->trusted_keys,
                   "File of public keys: the pack must be signed by one of them");
  verb->add_option("--templates", options->template_folders,
                   "Folder with further templates; may be repeated");
  auto* device =
      verb->add_option(
              "--device", options->device,
              "Check results on this GPU. Default: the first one of the pack's target, if there is one")
          ->check(CLI::Range(0, 1023));
  auto* emulate = verb->add_flag(
      "--emulate", options->emulate,
      "Check results on the emulator, at full size: for small problems, and packs made with --with-ptx");
  auto* require =
      verb->add_flag("--require-results", options->require_results,
                     "Results that cannot be checked count as bad; --device and --emulate imply it");
  auto* none = verb->add_flag("--no-results", options->no_results, "Run nothing");
  emulate->excludes(device);
  none->excludes(device)->excludes(emulate)->excludes(require);
  verb->add_flag("--json", options->json, "The result as JSON on standard output");
  verb->add_flag("--quiet", options->quiet, "No progress");
  verb->footer(
      "Results are those of every bucket that the pack has winners for: its kernels run in a process of "
      "their own, and what\n"
      "they write is compared with the reference kernels of the templates that are here, which are compiled "
      "on the spot\n"
      "(so that NVRTC is needed). Kernels of a pack with other findings are not run.\n\n"
      "  rtjit verify-pack sm_90a.rtpack                          what can be checked on this machine\n"
      "  rtjit verify-pack sm_90a.rtpack --require-results        before a pack is rolled out, on a GPU of "
      "its target");
  verb->callback([options, action] { *action = [options] { return run(*options); }; });
}

}  // namespace rtjit

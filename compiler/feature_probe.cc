#include "compiler/feature_probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

#include "base/text.h"
#include "compiler/features.h"
#include "compiler/nvrtc.h"
#include "compiler/probe_cache.h"

namespace rtjit {
namespace {

Result<NvrtcOutput> ask(const Nvrtc& nvrtc, const std::string& source, std::string_view kind,
                        const Target& target) {
  NvrtcInput input;
  input.source = source;
  input.name = "probe.cu";
  input.options = {fmt::format("--gpu-architecture={}{}", kind, target.name().substr(3))};
  return nvrtc.compile(input);
}

std::string kernel_name(size_t feature) { return fmt::format("probe_{}", feature); }

// The lines of the PTX that the assembler's errors name.
std::vector<int> error_lines(std::string_view log) {
  std::vector<int> lines;
  for (const std::string& line : split(log, '\n')) {
    size_t at = line.find("line ");
    size_t end = line.find("; error");
    if (at == line.npos || end == line.npos || end < at + 5) continue;
    if (std::optional<int64_t> number = parse_int(std::string_view(line).substr(at + 5, end - at - 5)))
      lines.push_back(static_cast<int>(*number));
  }
  return lines;
}

// The feature whose kernel a line of the PTX belongs to: that of the last ".entry probe_<number>" before it.
std::optional<size_t> feature_at(const std::vector<std::string>& ptx_lines, int line) {
  constexpr std::string_view kEntry = ".entry probe_";
  for (size_t at = std::min<size_t>(line, ptx_lines.size()); at-- > 0;) {
    size_t entry = ptx_lines[at].find(kEntry);
    if (entry == std::string::npos) continue;
    std::string_view rest = std::string_view(ptx_lines[at]).substr(entry + kEntry.size());
    std::optional<int64_t> number = parse_int(rest.substr(0, rest.find('(')));
    if (!number) return std::nullopt;
    return static_cast<size_t>(*number);
  }
  return std::nullopt;
}

// Which of `live` the assembler refuses, found from one program that holds them all. Nothing when the errors
// could not be attributed; an empty list when the program assembles.
Result<std::optional<std::vector<size_t>>> refused_in_batch(const Nvrtc& nvrtc, const Target& target,
                                                            const std::vector<size_t>& live) {
  std::string source;
  for (size_t feature : live) source += probe_source(all_features()[feature], kernel_name(feature));
  Result<NvrtcOutput> assembled = ask(nvrtc, source, "sm_", target);
  if (!assembled) return assembled.error();
  std::vector<size_t> refused;
  if (assembled->ok) return std::optional(refused);
  Result<NvrtcOutput> ptx = ask(nvrtc, source, "compute_", target);  // for the lines that the errors speak of
  if (!ptx) return ptx.error();
  if (!ptx->ok) return std::optional<std::vector<size_t>>();
  std::vector<std::string> lines = split(ptx->ptx, '\n');
  for (int line : error_lines(assembled->log)) {
    std::optional<size_t> feature = feature_at(lines, line);
    if (!feature || std::find(live.begin(), live.end(), *feature) == live.end())
      return std::optional<std::vector<size_t>>();
    if (std::find(refused.begin(), refused.end(), *feature) == refused.end()) refused.push_back(*feature);
  }
  if (refused.empty()) return std::optional<std::vector<size_t>>();
  return std::optional(refused);
}

// Gives every feature of `live` a program of its own.
Status probe_each(const Nvrtc& nvrtc, const Target& target, const std::vector<size_t>& live,
                  std::string& cells) {
  for (size_t feature : live) {
    Result<NvrtcOutput> output = ask(nvrtc, probe_source(all_features()[feature]), "sm_", target);
    if (!output) return output.error();
    cells[feature] = output->ok ? 'x' : '.';
  }
  return {};
}

}  // namespace

Result<std::string> probe_target(const Nvrtc& nvrtc, const Target& target, bool one_by_one) {
  std::vector<int> archs = nvrtc.supported_archs();
  if (std::find(archs.begin(), archs.end(), target.cc()) == archs.end()) return std::string();
  Result<NvrtcOutput> plain = ask(nvrtc, "__global__ void k() {}", "sm_", target);
  if (!plain) return plain.error();
  if (!plain->ok) return std::string();  // knows the architecture, but not with this suffix

  std::string cells(all_features().size(), 'x');
  std::vector<size_t> live(cells.size());
  for (size_t i = 0; i < live.size(); ++i) live[i] = i;
  while (!one_by_one && !live.empty()) {
    Result<std::optional<std::vector<size_t>>> refused = refused_in_batch(nvrtc, target, live);
    if (!refused) return refused.error();
    if (!*refused) break;  // not clear who is to blame: ask one by one
    if ((*refused)->empty()) return cells;
    for (size_t feature : **refused) {
      cells[feature] = '.';
      std::erase(live, feature);
    }
  }
  if (Status done = probe_each(nvrtc, target, live, cells); !done) return done.error();
  return cells;
}

namespace {

// One column of cells per target of Target::all(), "" for those that this NVRTC does not know.
Result<std::vector<std::string>> probe_columns(const Nvrtc& nvrtc, const ProbeOptions& options) {
  const std::vector<Target>& targets = Target::all();
  std::vector<std::string> columns(targets.size());
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::optional<Error> failure;
  int done = 0;
  auto work = [&] {
    for (size_t i = next++; i < targets.size(); i = next++) {
      Result<std::string> column = probe_target(nvrtc, targets[i]);
      std::lock_guard lock(mutex);
      if (column) {
        columns[i] = *std::move(column);
      } else if (!failure) {
        failure = column.error().with_context("probing " + targets[i].name());
      }
      if (options.progress) options.progress(++done, static_cast<int>(targets.size()));
    }
  };
  int count = options.threads > 0 ? options.threads : std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (int i = 1; i < count; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  if (failure) return *failure;
  return columns;
}

void fill_report(const std::vector<std::string>& columns, ProbeReport& report) {
  const std::vector<Target>& targets = Target::all();
  const std::vector<Feature>& features = all_features();
  for (const Feature& feature : features) report.features.emplace_back(feature.name);
  report.cells.resize(features.size());
  for (size_t t = 0; t < targets.size(); ++t) {
    if (columns[t].empty()) continue;
    report.targets.push_back(targets[t]);
    for (size_t f = 0; f < features.size(); ++f) {
      bool assembles = columns[t][f] == 'x';
      report.cells[f] += columns[t][f];
      if (assembles != supports(targets[t], features[f].name))
        report.differences.push_back({targets[t].name(), std::string(features[f].name), assembles});
    }
  }
}

}  // namespace

Result<ProbeReport> probe_features(const Nvrtc& nvrtc, const ProbeOptions& options) {
  auto start = std::chrono::steady_clock::now();
  ProbeReport report;
  report.compiler = nvrtc.version();
  std::optional<std::vector<std::string>> columns;
  if (!options.cache_file.empty()) columns = read_probe_cache(options.cache_file, report.compiler);
  report.from_cache = columns.has_value();
  if (!columns) {
    Result<std::vector<std::string>> probed = probe_columns(nvrtc, options);
    if (!probed) return probed.error();
    columns = *std::move(probed);
    if (!options.cache_file.empty()) write_probe_cache(options.cache_file, report.compiler, *columns);
  }
  fill_report(*columns, report);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace rtjit

#include "tools/rtjit/dump.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "compiler/compile_pool.h"
#include "tuner/candidates.h"

namespace rtjit {
namespace {

namespace fs = std::filesystem;

Status write_file(const fs::path& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file) return make_error(ErrorCode::io, "cannot write {}", path.string());
  return {};
}

std::string facts_json(const Binary& binary, const ExplainEntry& entry) {
  nlohmann::json out = {{"stage", entry.stage},
                        {"variant", entry.variant},
                        {"config", entry.config},
                        {"binary_key", binary.key},
                        {"compiler", binary.compiler},
                        {"compile_ms", binary.compile_ms},
                        {"dynamic_smem_bytes", entry.smem_bytes},
                        {"threads", entry.threads}};
  for (const Binary::Kernel& kernel : binary.kernels) {
    const KernelResources& facts = kernel.resources;
    out["kernels"].push_back({{"name", kernel.name_expression},
                              {"symbol", kernel.symbol},
                              {"registers", facts.registers},
                              {"static_smem", facts.static_smem},
                              {"stack", facts.stack},
                              {"spill_stores", facts.spill_stores},
                              {"spill_loads", facts.spill_loads},
                              {"barriers", facts.barriers},
                              {"code_bytes", facts.code_bytes}});
  }
  for (const FeatureUse& use : binary.features) {
    out["features"].push_back(
        {{"feature", use.feature}, {"ptx_line", use.line}, {"instruction", use.instruction}});
  }
  return out.dump(2) + "\n";
}

Status write_config(const fs::path& folder, const CompileRequest& request, const CompileOutcome& outcome,
                    const ExplainEntry& entry) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return make_error(ErrorCode::io, "cannot create {}: {}", folder.string(), failed.message());
  std::vector<std::pair<const char*, std::string>> files = {{"source.cu", specialized_source(request)}};
  if (outcome.binary) {
    files.emplace_back("kernel.ptx", outcome.binary->ptx);
    files.emplace_back("kernel.cubin", outcome.binary->cubin);
    files.emplace_back("facts.json", facts_json(*outcome.binary, entry));
    files.emplace_back("compiler.log", outcome.binary->log);
  } else {
    files.emplace_back("compiler.log", outcome.reject.reason + "\n" + outcome.reject.log);
  }
  for (const auto& [name, content] : files) {
    auto written = write_file(folder / name, content);
    if (!written) return written;
  }
  return {};
}

}  // namespace

Result<int> dump_configs(const ExplainRequest& request, const ExplainReport& report,
                         const std::string& folder) {
  auto pool = request.compiler();
  if (!pool) return pool.error();
  const ProblemScope& scope = request.scope;
  const SearchContext context{scope.tmpl, scope.problem, scope.target, scope.facts,
                              gpu_facts(scope.target, scope.device)};
  int written = 0;
  // Enough in flight to keep every thread busy, few enough for any memory.
  struct Pending {
    const ExplainEntry* entry;
    CompileRequest request;
    std::shared_future<Result<CompileOutcome>> outcome;
  };
  std::deque<Pending> window;
  const size_t window_size = static_cast<size_t>(std::max(1, (*pool)->threads())) * 3;
  auto finish_oldest = [&]() -> Status {
    const Pending& oldest = window.front();
    const Result<CompileOutcome>& outcome = oldest.outcome.get();
    if (!outcome) return outcome.error();
    const ExplainEntry& entry = *oldest.entry;
    const std::string name =
        entry.stage + "." + entry.variant + (entry.config.empty() ? "" : "." + entry.config);
    Status done = write_config(fs::path(folder) / name, oldest.request, *outcome, entry);
    written += done.ok();
    window.pop_front();
    return done;
  };
  for (const Stage& stage : scope.tmpl->stages) {
    if (!stage.tuned) continue;
    auto space = make_stage_space(context, stage, {report.bucket});
    if (!space) return space.error();
    for (const ExplainEntry& entry : report.entries) {
      if (entry.stage != stage.name) continue;
      if (request.cancel && request.cancel->load()) {
        (*pool)->cancel_pending();
        return make_error(ErrorCode::cancelled, "stopped on request; {} configs were written to {}", written,
                          folder);
      }
      const int index = space->find(entry.variant, entry.config);
      if (index < 0 || !space->candidates[static_cast<size_t>(index)].gate.ok()) continue;
      CompileRequest compile = compile_request(context, space->candidates[static_cast<size_t>(index)],
                                               request.limits.compile_limit);
      auto outcome = (*pool)->submit(compile);
      window.push_back({&entry, std::move(compile), std::move(outcome)});
      if (window.size() < window_size) continue;
      if (Status status = finish_oldest(); !status) return status.error();
    }
  }
  while (!window.empty()) {
    if (Status status = finish_oldest(); !status) return status.error();
  }
  return written;
}

}  // namespace rtjit

#include "compiler/compile.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "compiler/compile_clock.h"
#include "compiler/features.h"
#include "compiler/nvrtc.h"
#include "compiler/ptxas_log.h"
#include "compiler/specialize.h"

namespace rtjit {
namespace {

CompileOutcome reject(std::string kind, std::string reason, std::string log = "") {
  CompileOutcome outcome;
  outcome.reject = {kind, kind + ": " + reason, std::move(log)};
  return outcome;
}

CompileOutcome reject_time(const CompileRequest& request, std::string log) {
  return reject("timeout",
                fmt::format("compiling took longer than {} ms", with_thousands(request.time_limit.count())),
                std::move(log));
}

// Older targets allow less to arrays that a kernel declares than to dynamic shared memory.
CompileOutcome reject_smem(const CompileRequest& request, int64_t needs, int64_t allows,
                           std::string log = "") {
  bool declared_alone = allows < request.target.limits().smem_per_block;
  return reject(
      "smem",
      fmt::format("needs {} B, {} allows {} B{} per block", with_thousands(needs), request.target.name(),
                  with_thousands(allows), declared_alone ? " of declared (not dynamic) shared memory" : ""),
      std::move(log));
}

// What can be told without compiling.
std::optional<CompileOutcome> check_request(const CompileRequest& request) {
  for (const std::string& feature : request.declared_features)
    if (!supports(request.target, feature))
      return reject("feature", fmt::format("{} is not supported by {}", feature, request.target.name()));
  if (int64_t allows = request.target.limits().smem_per_block; request.smem_bytes > allows)
    return reject_smem(request, request.smem_bytes, allows);
  return std::nullopt;
}

// The first feature that the PTX uses and the target lacks.
std::optional<CompileOutcome> check_uses(const CompileRequest& request, const std::vector<FeatureUse>& uses,
                                         const std::string& log) {
  for (const FeatureUse& use : uses) {
    if (supports(request.target, use.feature)) continue;
    return reject("feature",
                  fmt::format("{} is not supported by {} (used at PTX line {}: {})", use.feature,
                              request.target.name(), use.line, use.instruction),
                  log);
  }
  return std::nullopt;
}

// The line of the log that says what is wrong.
std::string first_error(std::string_view log) {
  for (const std::string& line : split(log, '\n'))
    if (line.find("error") != line.npos || line.find("fatal") != line.npos) return line;
  std::vector<std::string> lines = split(log, '\n');
  return lines.empty() ? "the compiler refused without a word" : lines.front();
}

// One compile of one request, with its deadline.
class Compilation {
 public:
  Compilation(const Nvrtc& nvrtc, const CompileRequest& request) : nvrtc_(nvrtc), request_(request) {}

  Result<CompileOutcome> run() {
    std::vector<int> archs = nvrtc_.supported_archs();
    if (std::find(archs.begin(), archs.end(), request_.target.cc()) == archs.end()) {
      // One newer than all that it knows came after it; others it knows no more, or never did.
      const bool newer =
          !archs.empty() && request_.target.cc() > *std::max_element(archs.begin(), archs.end());
      return make_error(
          newer ? ErrorCode::compiler_too_old : ErrorCode::unsupported,
          "{} does not know {}; it knows {}. {} NVRTC may: install one, or name it with RTJIT_NVRTC",
          nvrtc_.version(), request_.target.name(), fmt::format("sm_{}", fmt::join(archs, " sm_")),
          newer ? "A newer" : "Another");
    }
    if (std::optional<CompileOutcome> rejected = check_request(request_)) return *rejected;
    Result<std::vector<std::string>> reachable = request_sources(request_);
    if (!reachable) return reachable.error();
    reachable_ = *std::move(reachable);

    Result<NvrtcOutput> output = ask(Artifact::cubin);
    if (!output) return output.error();
    return output->ok ? accept(*output) : refuse(*output);
  }

 private:
  bool late() const { return clock_.is_over(request_.time_limit); }

  Result<NvrtcOutput> ask(Artifact artifact) const {
    NvrtcInput input = make_input(nvrtc_, request_, reachable_, artifact);
    input.cancelled = [this] { return late(); };
    return nvrtc_.compile(input);
  }

  // Compiles to PTX only and looks at what it uses. A reject, or nothing when all is well.
  Result<std::optional<CompileOutcome>> scan_front_end() const {
    Result<NvrtcOutput> output = ask(Artifact::ptx);
    if (!output) return output.error();
    if (output->cancelled) return std::optional(reject_time(request_, output->log));
    if (!output->ok) return std::optional(reject("compile", first_error(output->log), output->log));
    return check_uses(request_, scan_ptx(output->ptx), output->log);
  }

  Result<CompileOutcome> refuse(const NvrtcOutput& output) const {
    if (output.cancelled) return reject_time(request_, output.log);
    PtxasRefusal refusal = parse_ptxas_refusal(output.log);
    if (refusal.kind == PtxasRefusal::Kind::none)
      return reject("compile", first_error(output.log), output.log);
    // Whatever the assembler says: a feature that the target lacks is the reason, and has a name.
    Result<std::optional<CompileOutcome>> named = scan_front_end();
    if (!named) return named.error();
    if (*named) return **named;
    switch (refusal.kind) {
      case PtxasRefusal::Kind::smem:
        return reject_smem(request_, refusal.number, refusal.limit, output.log);
      case PtxasRefusal::Kind::registers:
        return reject("registers", fmt::format("ptxas could not allocate ({})", refusal.number), output.log);
      case PtxasRefusal::Kind::feature:  // one that the scanner has no name for
        return reject("feature",
                      fmt::format("'{}' is not supported by {} (the assembler's words, PTX line {})",
                                  refusal.words, request_.target.name(), refusal.line),
                      output.log);
      case PtxasRefusal::Kind::other:
      case PtxasRefusal::Kind::none:
        break;
    }
    return reject("compile", refusal.words, output.log);
  }

  Result<CompileOutcome> accept(const NvrtcOutput& output) const {
    std::vector<FeatureUse> uses = scan_ptx(output.ptx);
    if (std::optional<CompileOutcome> rejected = check_uses(request_, uses, output.log)) return *rejected;
    auto binary = std::make_shared<Binary>();
    binary->compiler = nvrtc_.version();
    binary->key = binary_key(request_, binary->compiler);
    binary->cubin = output.cubin;
    binary->ptx = output.ptx;
    binary->log = output.log;
    binary->features = std::move(uses);
    if (!request_.declared_features.empty()) {
      const std::vector<std::string>& declared = request_.declared_features;
      for (const FeatureUse& use : binary->features)
        if (std::find(declared.begin(), declared.end(), use.feature) == declared.end())
          binary->undeclared_features.push_back(use.feature);
    }
    if (Status filled = fill_kernels(output, *binary); !filled) return filled.error();
    binary->compile_ms = std::chrono::duration<double, std::milli>(clock_.cpu_time()).count();
    CompileOutcome outcome;
    outcome.binary = std::move(binary);
    return outcome;
  }

  Status fill_kernels(const NvrtcOutput& output, Binary& binary) const {
    Result<std::vector<KernelResources>> resources = read_cubin(output.cubin);
    if (!resources) return resources.error().with_context("reading what NVRTC made");
    std::vector<PtxasKernelFacts> said = parse_ptxas_log(output.log);
    for (size_t i = 0; i < request_.name_expressions.size(); ++i) {
      const std::string& symbol = output.lowered_names[i];
      auto found = std::find_if(resources->begin(), resources->end(),
                                [&](const KernelResources& kernel) { return kernel.symbol == symbol; });
      if (found == resources->end())
        return make_error(ErrorCode::internal, "the cubin has no kernel '{}' for '{}'", symbol,
                          request_.name_expressions[i]);
      for (const PtxasKernelFacts& facts : said) {
        if (facts.symbol != symbol) continue;
        found->spill_stores = facts.spill_stores;
        found->spill_loads = facts.spill_loads;
      }
      binary.kernels.push_back({request_.name_expressions[i], symbol, *found});
    }
    return {};
  }

  const Nvrtc& nvrtc_;
  const CompileRequest& request_;
  CompileClock clock_;
  std::vector<std::string> reachable_;
};

}  // namespace

Result<CompileOutcome> compile(const Nvrtc& nvrtc, const CompileRequest& request) {
  return Compilation(nvrtc, request).run();
}

}  // namespace rtjit

// rtjit doctor: the whole environment, what works in it, and what to do about what does not.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/environment.h"
#include "base/files.h"
#include "cache/pack.h"
#include "cache/verify.h"
#include "compiler/nvrtc.h"
#include "emulator/emulated_device.h"
#include "rtjit.h"
#include "runtime/cuda_device.h"
#include "runtime/miss_tune.h"
#include "runtime/probe_kernel.h"
#include "templates/registry.h"
#include "tools/rtjit/cache_options.h"

namespace rtjit {
namespace {

using Clock = std::chrono::steady_clock;

struct Check {
  enum class State { ok, note, problem };
  std::string name;
  State state = State::ok;
  std::string found;
  std::string advice{};  // what to do; "" when all is well
};

const char* name_of(Check::State state) {
  switch (state) {
    case Check::State::ok:
      return "ok";
    case Check::State::note:
      return "note";
    case Check::State::problem:
      return "PROBLEM";
  }
  return "";
}

constexpr std::chrono::milliseconds kProbeLimit{30000};

class Doctor {
 public:
  explicit Doctor(const std::string& database) : database_(database) {}

  std::vector<Check> examine() {
    library();
    compiler();
    gpus();
    emulator();
    cache();
    packs();
    variables();
    return std::move(checks_);
  }

 private:
  void ok(std::string name, std::string found) {
    checks_.push_back({std::move(name), Check::State::ok, std::move(found)});
  }
  void note(std::string name, std::string found, std::string advice) {
    checks_.push_back({std::move(name), Check::State::note, std::move(found), std::move(advice)});
  }
  void problem(std::string name, std::string found, std::string advice) {
    checks_.push_back({std::move(name), Check::State::problem, std::move(found), std::move(advice)});
  }

  void library() {
    auto registry = TemplateRegistry::create();
    if (!registry)
      return problem("library", registry.error().message, "this build is broken: build it again");
    ok("library", fmt::format("{}, templates {}", rtjit_version(), join((*registry)->names(), ", ")));
    const std::string tool = tool_path();
    if (file_bytes(tool) > 0) return ok("tool", tool + " (what the miss policy `tune` starts)");
    note("tool", fmt::format("{} is not there: the miss policy `tune` cannot start it", tool),
         "install the command beside the library, or name it with RTJIT_TOOL");
  }

  void compiler() {
    auto opened = Nvrtc::open();
    if (!opened) {
      return problem("compiler",
                     fmt::format("{}: {}", to_string(opened.error().code), opened.error().message),
                     opened.error().code == ErrorCode::compiler_too_old
                         ? "install a newer toolkit or NVIDIA's wheel (pip install -U nvidia-cuda-nvrtc), or "
                           "name one with RTJIT_NVRTC"
                         : "without NVRTC only what the cache or a pack holds can be served; tune needs it");
    }
    nvrtc_ = *opened;
    ok("compiler", fmt::format("{} from {}, {} architectures", nvrtc_->version(), nvrtc_->path(),
                               nvrtc_->supported_archs().size()));
  }

  // Compiles, loads and runs the probe, and looks at what it wrote: "" or the status and what went wrong.
  std::string probe(Device& device) {
    if (nvrtc_ == nullptr) return "there is no compiler";
    const auto told = [](const Error& error) {
      return fmt::format("{}: {}", to_string(error.code), error.message);
    };
    auto outcome = compile(*nvrtc_, probe_request(device.info().target, kProbeLimit));
    if (!outcome) return told(outcome.error());
    if (!outcome->binary) return outcome->reject.reason;
    const Status status = run_probe(device, *outcome->binary);
    return status ? "" : told(status.error());
  }

  void gpus() {
    auto count = cuda_device_count();
    if (!count || *count == 0) {
      const ErrorCode code = count ? ErrorCode::no_gpu : count.error().code;
      const std::string found = fmt::format(
          "{}: {}", to_string(code),
          count
              ? "the driver sees none (check nvidia-smi and CUDA_VISIBLE_DEVICES; in a container: --gpus all)"
              : count.error().message);
      // A machine without a GPU is as it should be; one whose driver or GPU does not work is not.
      if (code == ErrorCode::no_gpu || code == ErrorCode::unavailable) {
        return note(
            "GPU", found,
            "tune, explain, check and pack work for any --target without one; launching kernels needs one");
      }
      return problem("GPU", found,
                     "until then engines cannot open the library; --target works without a GPU");
    }
    for (int i = 0; i < *count; ++i) {
      const std::string name = fmt::format("GPU {}", i);
      auto device = open_cuda_device(i);
      if (!device) {
        problem(name, fmt::format("{}: {}", to_string(device.error().code), device.error().message),
                "engines that open this GPU get that status; the others are not affected");
        continue;
      }
      const DeviceInfo& info = (*device)->info();
      std::string found = fmt::format("{}, {}, {} SMs, {} GiB, driver {}", info.name, info.target.name(),
                                      info.sm_count, info.total_memory >> 30, info.driver_version);
      const auto begin = Clock::now();
      if (const std::string failure = probe(**device); !failure.empty()) {
        problem(
            name, fmt::format("{}: a probe kernel does not run: {}", found, failure),
            nvrtc_ == nullptr ? "get NVRTC first (above)" : "see what nvidia-smi says, and the advice above");
        continue;
      }
      found += fmt::format("; a probe kernel was compiled and ran in {:.0f} ms",
                           std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
      if (info.disagreements.empty()) {
        ok(name, found);
      } else {
        note(name, found + "; " + join(info.disagreements, "; "), "the device's own limits are used");
      }
    }
  }

  void emulator() {
    auto target = Target::parse("sm_90a");
    auto device = make_emulated_device(*target);
    if (!device) return problem("emulator", device.error().message, "this build is broken: build it again");
    const std::string failure = probe(**device);
    if (failure.empty()) return ok("emulator", "a probe kernel ran on an emulated sm_90a");
    if (nvrtc_ == nullptr) return note("emulator", "not tried: " + failure, "");
    problem("emulator", failure, "please report this");
  }

  void cache() {
    CacheOptions options;
    options.database = database_;
    auto path = options.path();
    if (!path) return problem("cache", path.error().message, "");
    std::string said;
    StoreOptions store_options;
    store_options.path = *path;
    store_options.warn = [&](const std::string& text) { said += (said.empty() ? "" : "; ") + text; };
    auto store = Store::open(store_options);
    if (!store)
      return problem("cache", store.error().message,
                     "RTJIT_TRUST must name a file of public keys (docs/packs.md)");
    auto info = (*store)->info();
    if (!info) return problem("cache", info.error().message, "");
    const std::string found =
        fmt::format("{}: {} winners, {} rows, {} binaries, {} B, schema {}", *path, info->winners, info->rows,
                    info->binaries, with_thousands(info->file_bytes), info->schema_version);
    if (!info->writable) {
      return note("cache", said.empty() ? found + "; it cannot be written" : said,
                  info->schema_version > 0
                      ? "it is read; new results are not kept. Another place: RTJIT_CACHE or --db"
                      : "nothing is read or kept. Another place: RTJIT_CACHE or --db");
    }
    if (auto report = verify_database(*path); report && !report->ok()) {
      return problem(
          "cache",
          fmt::format("{}; {} findings, the first: {}", found, report->findings.size(), report->findings[0]),
          "rtjit cache verify lists them; rtjit cache merge into a new file leaves them out");
    }
    if (!said.empty()) return note("cache", found + "; " + said, "");
    ok("cache", found);
  }

  void packs() {
    std::vector<PublicKey> trusted;
    if (const std::string file = environment("RTJIT_TRUST"); !file.empty()) {
      auto keys = read_public_keys(file);
      if (!keys) {
        problem("trust", keys.error().message, "RTJIT_TRUST must name a file of public keys (docs/packs.md)");
      } else {
        trusted = *std::move(keys);
        ok("trust", fmt::format("{}: {} keys", file, trusted.size()));
      }
    }
    for (const std::string& path : split(environment("RTJIT_PACKS"), ':')) {
      if (path.empty()) continue;
      auto pack = read_pack(path);
      if (!pack) {
        problem("pack", pack.error().message, "take it out of RTJIT_PACKS, or make it again with rtjit pack");
      } else if (Status trust = check_trust(*pack, trusted, path); !trust) {
        problem("pack", trust.error().message, "");
      } else {
        ok("pack",
           fmt::format("{}: {}, {} problems, {}", path, pack->manifest.target, pack->manifest.problems.size(),
                       pack->signer ? "signed by " + pack->signer->text() : "not signed"));
      }
    }
  }

  void variables() {
    std::vector<std::string> set;
    for (const char* name :
         {"RTJIT_CACHE", "RTJIT_NVML", "RTJIT_NVRTC", "RTJIT_NVRTC_PATH", "RTJIT_PACKS", "RTJIT_PREBUILT",
          "RTJIT_TOOL", "RTJIT_TRUST", "XDG_CACHE_HOME", "CUDA_HOME", "CUDA_PATH", "CUDA_VISIBLE_DEVICES"}) {
      if (const std::string value = environment(name); !value.empty())
        set.push_back(fmt::format("{}={}", name, value));
    }
    ok("environment", set.empty() ? "no variable that matters here is set" : join(set, " "));
  }

  const std::string& database_;
  std::vector<Check> checks_;
  std::shared_ptr<const Nvrtc> nvrtc_;
};

int run_doctor(const CacheOptions& options) {
  const std::vector<Check> checks = Doctor(options.database).examine();
  int problems = 0;
  for (const Check& check : checks) problems += check.state == Check::State::problem;
  if (options.json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Check& check : checks) {
      list.push_back({{"check", check.name},
                      {"state", check.state == Check::State::problem ? "problem" : name_of(check.state)},
                      {"found", check.found},
                      {"advice", check.advice}});
    }
    const nlohmann::ordered_json out = {{"ok", problems == 0}, {"checks", list}};
    fmt::print("{}\n", out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
    return problems == 0 ? 0 : 1;
  }
  for (const Check& check : checks) {
    fmt::print("{:<12} {:<8} {}\n", check.name, name_of(check.state), check.found);
    if (!check.advice.empty()) fmt::print("{:<12} {:<8} -> {}\n", "", "", check.advice);
  }
  return problems == 0 ? 0 : 1;
}

}  // namespace

void add_doctor(CLI::App& app, Action* action) {
  auto options = std::make_shared<CacheOptions>();
  CLI::App* verb = app.add_subcommand(
      "doctor",
      "Looks at compiler, GPUs, cache and packs, and says what works; exit status 1 if something does not");
  options->add_to(*verb);
  verb->callback([options, action] { *action = [options] { return run_doctor(*options); }; });
}

}  // namespace rtjit

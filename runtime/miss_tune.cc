#include "runtime/miss_tune.h"

#include <dlfcn.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>

#include "base/environment.h"
#include "base/process.h"
#include "cache/key_locks.h"

namespace rtjit {
namespace {

// A whole model takes about a minute; a run that needs this long hangs.
constexpr Milliseconds kTuneLimit = std::chrono::minutes(60);
// How long it takes at most until a wish to stop is noticed.
constexpr Milliseconds kGlance{100};

bool wished(const std::atomic<bool>* stop) { return stop != nullptr && stop->load(); }

Error stopped() { return make_error(ErrorCode::cancelled, "tuning was stopped: the kernel was closed"); }

// Ranks that start together miss the same winners: one tunes, the others then only read what it found. Null: stopped.
std::unique_ptr<KeyLocks> wait_for_turn(const Store& store, const std::string& key, const std::atomic<bool>* stop) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + kTuneLimit;
  while (!wished(stop)) {
    const auto begin = Clock::now();
    auto lock = std::make_unique<KeyLocks>(store, std::vector<std::string>{key}, kGlance);
    // What is refused at once is not held by another process: there is no place for locks.
    if (lock->held() || Clock::now() - begin < kGlance / 2 || Clock::now() > deadline) return lock;
  }
  return nullptr;
}

}  // namespace

std::string tool_path() {
  if (const std::string given = environment("RTJIT_TOOL"); !given.empty()) return given;
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&tool_path), &info) != 0 && info.dli_fname != nullptr) {
    std::string file = info.dli_fname;
    size_t slash = file.rfind('/');
    std::string folder = slash == std::string::npos ? "." : file.substr(0, slash);
    for (const char* place : {"/../bin/rtjit", "/../../bin/rtjit"}) {  // lib/ and lib/<multiarch>/
      if (::access((folder + place).c_str(), X_OK) == 0) return folder + place;
    }
  }
  return "rtjit";
}

Status tune_on_miss(const Context& context, const Template& tmpl, const Problem& problem,
                    const std::vector<int64_t>& buckets, const std::atomic<bool>* stop) {
  auto info = context.store().info();
  if (!info) return info.error();
  if (!info->writable || info->path == ":memory:") {
    return make_error(ErrorCode::read_only,
                      "the database {} cannot be written, so there is nowhere to tune into", info->path);
  }
  ProcessOptions options;
  options.arguments = {tool_path(),
                       "tune",
                       tmpl.name,
                       "--problem",
                       problem.canonical(),
                       "--tokens",
                       fmt::format("{}", fmt::join(buckets, ",")),
                       "--db",
                       info->path,
                       "--device",
                       std::to_string(context.device().info().ordinal),
                       "--quiet"};
  for (const std::string& folder : context.options().template_folders) {
    options.arguments.insert(options.arguments.end(), {"--templates", folder});
  }
  const auto turn = wait_for_turn(context.store(), fmt::format("tune {} {}", tmpl.name, problem.canonical()), stop);
  if (turn == nullptr) return stopped();
  context.log(LogLevel::info, fmt::format("running {}", fmt::join(options.arguments, " ")));
  auto child = ChildProcess::start(options);
  if (!child) return child.error();
  (*child)->close_input();
  const auto deadline = std::chrono::steady_clock::now() + kTuneLimit;
  std::optional<ProcessExit> exit;
  while (!exit) {
    exit = (*child)->wait(kGlance);
    if (exit) break;
    if (wished(stop)) return stopped();  // leaving kills the child
    if (std::chrono::steady_clock::now() > deadline) {
      return make_error(ErrorCode::timeout, "{} tune did not end within {} min and was killed", options.arguments[0],
                        kTuneLimit / std::chrono::minutes(1));
    }
  }
  if (exit->ok()) return {};
  std::string_view words = (*child)->error_output();
  if (words.size() > 2000) words.remove_prefix(words.size() - 2000);
  return make_error(ErrorCode::internal, "{} tune ended with {}: {}", options.arguments[0], exit->describe(), words);
}

}  // namespace rtjit

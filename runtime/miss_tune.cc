#include "runtime/miss_tune.h"

#include <dlfcn.h>
#include <unistd.h>

#include "base/environment.h"
#include "base/process.h"
#include "cache/key_locks.h"

namespace rtjit {
namespace {

// A whole model takes about a minute; a run that needs this long hangs.
constexpr Milliseconds kTuneLimit = std::chrono::minutes(60);

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
                    const std::vector<int64_t>& buckets) {
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
  // Ranks that start together miss the same winners: one tunes, the others then only read what it found.
  const KeyLocks lock(context.store(), {fmt::format("tune {} {}", tmpl.name, problem.canonical())}, kTuneLimit);
  context.log(LogLevel::info, fmt::format("running {}", fmt::join(options.arguments, " ")));
  auto outcome = run_process(options, kTuneLimit);
  if (!outcome) return outcome.error();
  if (outcome->exit.ok()) return {};
  std::string_view words = outcome->error_output;
  if (words.size() > 2000) words.remove_prefix(words.size() - 2000);
  return make_error(ErrorCode::internal, "{} tune ended with {}: {}", options.arguments[0],
                    outcome->exit.describe(), words);
}

}  // namespace rtjit

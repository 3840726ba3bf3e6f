// One tuning run: every config of every tuned stage -> gates -> ranking or measurement -> verified winners in
// the store.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "compiler/target.h"
#include "runtime/device.h"
#include "templates/manifest.h"
#include "tuner/candidates.h"
#include "tuner/part_times.h"
#include "tuner/problem_scope.h"
#include "tuner/ranking.h"
#include "tuner/strategy.h"

namespace rtjit {

class BinaryCache;
class CompilePool;
class Store;

// Opens the device that stands in for a GPU that is not present (the emulator), for verification.
using EmulatorFactory = std::function<Result<std::unique_ptr<Device>>(const Target&)>;
// Opens the compiler when the first config needs it; a run that the cache answers never calls it.
using CompilePoolFactory = std::function<Result<std::shared_ptr<CompilePool>>()>;

struct TuneLimits {
  TieRule ties{};
  int64_t max_spill_bytes = 32;  // a config that spills more is rejected (the oracle never is)
  std::chrono::milliseconds compile_limit{10000};
  std::chrono::milliseconds candidate_limit{
      2000};                                    // watchdog: this much beyond what the candidate should need
  std::vector<int64_t> emulator_tokens{5, 33};  // bucket-scalar values that the emulator verifies with
};

// Where the time goes. All but `compile` are parts of the run's own time: `wait` is that in which nothing
// could be measured because a compile was not done, `setup` that in which the measuring worker was started
// and the problem's weights were brought onto the device, `settle` that in which the best were measured
// again, `load` is what loading binaries there took (it is also part of `measure`, `settle` and `verify`).
// `compile` is the processor time of all compiler threads, most of which passes while something else is
// measured.
enum class TunePhase { enumerate, compile, predict, wait, setup, load, measure, verify, settle };
const char* to_string(TunePhase phase);

// A part of a run that is shared out: piece `index` (from 0) of `count`. A piece of work is one stage in one
// bucket, numbered by bucket, then stage.
struct Shard {
  size_t index = 0, count = 1;
  bool has(size_t item) const { return item % count == index; }
};

// Told of everything as it happens, on the thread that called tune(). Every method may do nothing.
class TuneObserver {
 public:
  virtual ~TuneObserver() = default;
  // A phase begins with `total` steps (0 = not known); repeated with a larger total when more work turns up.
  virtual void on_phase(TunePhase, int64_t total) { (void)total; }
  // `done` of `total` steps are finished; the ETA follows from the rate.
  virtual void on_progress(TunePhase, int64_t done, int64_t total) { (void)done, (void)total; }
  virtual void on_rejected(Verdict, int64_t count_so_far) { (void)count_so_far; }
  virtual void on_best(const std::string& stage, int64_t bucket, const std::string& variant,
                       const std::string& config, double time_us, Knowledge) {
    (void)stage, (void)bucket, (void)variant, (void)config, (void)time_us;
  }
  virtual void on_warning(const std::string& sentence) { (void)sentence; }
};

struct TuneRequest {
  std::shared_ptr<const Template> tmpl;
  Problem problem;
  Target target;
  std::optional<DeviceInfo> device;  // given: measure on it. Its target must equal `target`
  std::vector<int64_t> buckets;      // empty: all of the template's
  // Not empty: only matching configs are looked at, and stages without any keep their defaults. What is found
  // out about each is stored; winners are reported but not published, since others might be better.
  ConfigFilter filter;
  Store* store = nullptr;  // not owned; outlives the call
  // What came with the library, or null: what serves where `store` knows nothing (tuner/incumbents.h). As
  // `store`.
  const Store* shipped = nullptr;
  CompilePoolFactory compiler;
  EmulatorFactory emulator;  // empty: winners for absent targets stay unverified ("compiled")
  // How to start the measuring worker: program and arguments. Needed with a device.
  std::vector<std::string> worker_command;
  std::vector<std::string> template_folders;  // passed on to the worker
  TuneLimits limits;
  StrategyOptions search;
  // How long the run may take, 0 = as long as it needs. Then it stops with the best so far: what was verified
  // until then is stored, the rest is reported as out of time.
  std::chrono::milliseconds budget{0};
  Shard shard;  // of the work; what other shards have to do is neither done nor reported
  // Asked before each piece of work of the shard: false when another run has taken it. Empty: all is taken.
  std::function<bool(size_t item)> claim;
  std::shared_ptr<BinaryCache> shared_binaries;  // of runs that go on side by side; may be null
  // Ignore stored winners, verdicts and times; binaries are still reused, and quarantine holds.
  bool force = false;
  bool retry_quarantined = false;  // try configs again that faulted or hung
  bool verify = true;              // false: nothing is published; the report shows what would have won
  const std::atomic<bool>* cancel = nullptr;       // set: stop soon; everything finished is in the store
  const std::atomic<bool>* also_cancel = nullptr;  // the same, for runs that go on side by side
};

// A config that was measured again to settle who wins (tuner/settle.h).
struct SettledContender {
  std::string variant, config;
  double time_us = 0;            // settled
  std::vector<double> times_us;  // by pass
};

// Why and how well one stage is served in one bucket.
struct BucketReport {
  int64_t bucket = 0;
  bool has_winner = false;
  std::string variant, config;
  std::string why;  // "fastest of 41 predicted; 6 % ahead of the default"
  Knowledge knowledge = Knowledge::none;
  double time_us = 0, default_time_us = 0;
  bool verified = false;
  std::string verified_on;  // "NVIDIA H200", "emulator, hidden=352,..."; "" when only compiled
  int64_t smem_bytes = 0;
  int registers = 0;
  std::string default_variant, default_config;
  int candidates = 0;
  // Not rejected by any gate so far; a config that no search wanted has not met the later ones.
  int feasible = 0;
  int compiled = 0, measured = 0;
  std::map<Verdict, int> rejected;  // all candidates of the stage
  std::map<Gate, int> rejected_by;
  std::vector<SettledContender> contenders;  // fastest first; empty: there was nothing to settle
  bool being_settled = false;  // the winner is the search's: the run ended before it was settled
  bool from_cache = false;     // answered from the store
  bool out_of_time = false;    // the budget was used up before a winner was verified
};

struct StageReport {
  std::string stage;
  std::vector<BucketReport> buckets;
};

struct TuneReport {
  std::string template_name, problem, target, sku,
      device_name;  // device_name: the representative GPU when absent
  std::vector<StageReport> stages;
  int compiled = 0, reused_binaries = 0;
  std::map<TunePhase, double> phase_ms;
  PhaseParts parts_ms;  // what some of them consist of
  double total_ms = 0;
  std::vector<std::string> warnings;
  bool cancelled = false;    // what is reported so far is kept; running again goes on from there
  bool out_of_time = false;  // the same, by the budget
};

// Errors are those of the request or the environment (no compiler, device lost); rejected configs are data.
// `observer` may be null. One call per store and device at a time is the caller's business; several are
// harmless.
Result<TuneReport> tune(const TuneRequest& request, TuneObserver* observer = nullptr);

}  // namespace rtjit

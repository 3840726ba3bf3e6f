#include "tuner/fleet.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "tuner/binary_source.h"

namespace rtjit {
namespace {

// Passes what several runs say to one observer, one at a time, with the counts added up.
class SharedObserver {
 public:
  explicit SharedObserver(TuneObserver& observer) : observer_(observer) {}

  class Part : public TuneObserver {
   public:
    explicit Part(SharedObserver& shared) : shared_(shared) {}
    void on_phase(TunePhase phase, int64_t total) override { shared_.add(this, phase, 0, total, true); }
    void on_progress(TunePhase phase, int64_t done, int64_t total) override {
      shared_.add(this, phase, done, total, false);
    }
    void on_rejected(Verdict verdict, int64_t count) override {
      std::lock_guard<std::mutex> lock(shared_.mutex_);
      int64_t& most = shared_.rejected_[verdict];  // every run rejects the same configs
      if (count <= most) return;
      most = count;
      shared_.observer_.on_rejected(verdict, count);
    }
    void on_best(const std::string& stage, int64_t bucket, const std::string& variant,
                 const std::string& config, double time_us, Knowledge knowledge) override {
      std::lock_guard<std::mutex> lock(shared_.mutex_);
      shared_.observer_.on_best(stage, bucket, variant, config, time_us, knowledge);
    }
    void on_warning(const std::string& sentence) override {
      std::lock_guard<std::mutex> lock(shared_.mutex_);
      if (shared_.said_.insert(sentence).second) shared_.observer_.on_warning(sentence);
    }

   private:
    SharedObserver& shared_;
  };

 private:
  struct Count {
    int64_t done = 0, total = 0;
  };
  void add(const Part* part, TunePhase phase, int64_t done, int64_t total, bool begins) {
    std::lock_guard<std::mutex> lock(mutex_);
    std::map<const Part*, Count>& counts = counts_[phase];
    counts[part] = {begins ? counts[part].done : done, total};
    Count sum;
    for (const auto& [unused, count] : counts) {
      sum.done += count.done;
      sum.total += count.total;
    }
    if (begins) {
      observer_.on_phase(phase, sum.total);
    } else {
      observer_.on_progress(phase, std::min(sum.done, sum.total), sum.total);
    }
  }

  TuneObserver& observer_;
  std::mutex mutex_;
  std::map<TunePhase, std::map<const Part*, Count>> counts_;
  std::map<Verdict, int64_t> rejected_;
  std::set<std::string> said_;
};

// Which pieces of work of one device model are taken.
class Dealer {
 public:
  bool claim(size_t item) {
    std::lock_guard<std::mutex> lock(mutex_);
    return taken_.insert(item).second;
  }

 private:
  std::mutex mutex_;
  std::set<size_t> taken_;
};

// Opened once, whoever comes first.
CompilePoolFactory shared_pool(const CompilePoolFactory& factory) {
  if (!factory) return nullptr;
  struct State {
    std::mutex mutex;
    std::shared_ptr<CompilePool> pool;
  };
  auto state = std::make_shared<State>();
  return [state, factory]() -> Result<std::shared_ptr<CompilePool>> {
    std::lock_guard<std::mutex> lock(state->mutex);
    if (state->pool) return state->pool;
    auto opened = factory();
    if (opened) state->pool = *opened;
    return opened;
  };
}

void merge(const TuneReport& part, TuneReport* sum) {
  for (const StageReport& stage : part.stages) {
    auto found = std::find_if(sum->stages.begin(), sum->stages.end(),
                              [&](const StageReport& other) { return other.stage == stage.stage; });
    for (const BucketReport& bucket : stage.buckets) {
      // What both found in the store, each reports.
      bool known = bucket.from_cache && part.sku == sum->sku &&
                   std::any_of(found->buckets.begin(), found->buckets.end(),
                               [&](const BucketReport& other) { return other.bucket == bucket.bucket; });
      if (!known) found->buckets.push_back(bucket);
    }
    std::stable_sort(found->buckets.begin(), found->buckets.end(),
                     [](const BucketReport& a, const BucketReport& b) { return a.bucket < b.bucket; });
  }
  sum->compiled += part.compiled;
  sum->reused_binaries += part.reused_binaries;
  for (const auto& [phase, ms] : part.phase_ms) sum->phase_ms[phase] += ms;
  for (const auto& [phase, parts] : part.parts_ms) {
    for (const auto& [name, ms] : parts) sum->parts_ms[phase][name] += ms;
  }
  sum->total_ms = std::max(sum->total_ms, part.total_ms);
  for (const std::string& warning : part.warnings) {
    bool said = std::find(sum->warnings.begin(), sum->warnings.end(), warning) != sum->warnings.end();
    if (!said) sum->warnings.push_back(warning);
  }
  sum->cancelled = sum->cancelled || part.cancelled;
  sum->out_of_time = sum->out_of_time || part.out_of_time;
}

}  // namespace

Result<TuneReport> tune_on_devices(const TuneRequest& request, const std::vector<DeviceInfo>& devices,
                                   TuneObserver* observer) {
  if (devices.empty()) return make_error(ErrorCode::invalid_argument, "tune: no device given");
  TuneObserver silent;
  SharedObserver shared(observer ? *observer : silent);
  const CompilePoolFactory compiler = shared_pool(request.compiler);
  auto binaries = std::make_shared<BinaryCache>();
  std::map<std::string, Dealer> dealers;  // by model
  std::atomic<bool> failed{false};
  std::vector<std::optional<Result<TuneReport>>> reports(devices.size());
  for (const DeviceInfo& device : devices) dealers[device.sku_fingerprint()];

  std::vector<SharedObserver::Part> observers(devices.size(), SharedObserver::Part(shared));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < devices.size(); ++i) {
    threads.emplace_back([&, i] {
      TuneRequest part = request;
      part.device = devices[i];
      part.target = devices[i].target;
      part.compiler = compiler;
      part.shared_binaries = binaries;
      part.also_cancel = &failed;
      Dealer& dealer = dealers.at(devices[i].sku_fingerprint());
      part.claim = [&dealer](size_t item) { return dealer.claim(item); };
      reports[i] = tune(part, &observers[i]);
      if (!reports[i]->ok()) failed = true;
    });
  }
  for (std::thread& thread : threads) thread.join();

  TuneReport sum;
  for (size_t i = 0; i < devices.size(); ++i) {
    const Result<TuneReport>& report = *reports[i];
    if (!report)
      return report.error().with_context(fmt::format("{} {}", devices[i].name, devices[i].ordinal));
    if (i == 0) {
      sum = *report;
    } else {
      merge(*report, &sum);
    }
  }
  if (devices.size() > 1) {
    sum.device_name = fmt::format("{} devices, the first {}", devices.size(), devices.front().name);
  }
  return sum;
}

}  // namespace rtjit

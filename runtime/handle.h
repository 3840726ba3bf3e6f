// A kernel: a template opened for one problem on one device, ready to launch in every bucket.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/background_tune.h"
#include "runtime/context.h"
#include "runtime/frozen_launch.h"
#include "runtime/launcher.h"
#include "runtime/resolve.h"

namespace rtjit {

struct OpenOptions {
  MissPolicy miss_policy = MissPolicy::nearest;
  int64_t max_bucket = 0;            // largest value of the bucket scalar that will be launched; 0: no limit
  std::vector<std::string> configs;  // overrides, see parse_stage_override
};

// Thread-safe.
class KernelHandle {
 public:
  // `problem`: "preset=...", "key=value,..." or both. Everything that a launch may need is compiled and
  // loaded when it returns.
  static Result<std::unique_ptr<KernelHandle>> open(std::shared_ptr<Context> context,
                                                    const std::string& template_name,
                                                    const std::string& problem, const OpenOptions& options);

  const Context& context() const { return *context_; }
  const Template& source() const { return *tmpl_; }
  const Problem& problem() const { return problem_; }
  // Identity of the packed layout: equal text, interchangeable bytes. It names what packing depends on
  // (LaunchPlan::packing_keys), not the rest of the problem. "" when nothing is packed.
  const std::string& layout() const { return layout_; }

  // What a launch with the bucket scalar anywhere up to `value` needs.
  Result<int64_t> workspace_bytes(int64_t value) const;
  int64_t packed_bytes() const { return packed_bytes_; }

  Status pack(std::span<const TensorArg> inputs, DevicePtr packed, int64_t packed_bytes,
              StreamHandle stream) const;
  // HOT: neither compiles, allocates, locks nor waits.
  Status launch(std::span<const TensorArg> arguments, DevicePtr packed, int64_t packed_bytes,
                DevicePtr workspace, int64_t workspace_bytes, StreamHandle stream) const;

  // Decides a launch ahead; it stays valid whatever becomes of the handle. Takes over first what a background
  // tune has found since, unless `stream` is being captured: loading kernels does not belong into a capture.
  Result<std::unique_ptr<FrozenLaunch>> freeze(std::span<const TensorArg> arguments, DevicePtr packed,
                                               int64_t packed_bytes, DevicePtr workspace,
                                               int64_t workspace_bytes, StreamHandle stream);

  // Why this config serves `value`. Lives as long as the handle.
  const std::string& provenance(int64_t value) const;
  // The same stage by stage, and the pipeline that serves `value`, for tools.
  const std::vector<ServingStage>& serving(int64_t value) const { return entry_for(value).stages; }
  const Pipeline& pipeline(int64_t value) const { return *entry_for(value).pipeline; }

  // (argument, dimension) pairs whose size is the bucket scalar.
  const std::vector<std::pair<int, int>>& bucket_sources() const { return bucket_sources_; }

  // Looks the cache up again. Launches of other threads go on with the former choice until it is done. That
  // stays loaded: captured graphs may hold its kernels.
  Status refresh();

  // Whether a background tune still runs.
  bool tuning() const { return background_ != nullptr && background_->running(); }

  // Errors name an address that the device cannot use.
  Status check_addresses(std::span<const TensorArg> arguments, DevicePtr packed, DevicePtr workspace) const;

 private:
  struct Entry {
    int64_t bucket = 0;
    std::shared_ptr<const Pipeline> pipeline;  // shared by buckets with equal choices
    std::string provenance;
    std::vector<ServingStage> stages;
    bool missed = false;  // ResolvedBucket::missed
  };
  struct Table {
    std::vector<Entry> entries;  // by ascending bucket
  };
  // Addresses of that many launches are looked at: mixing up devices is a mistake of the first launch, and
  // asking the driver at each would cost as much as a launch.
  static constexpr int kCheckedLaunches = 8;
  KernelHandle() = default;
  Result<std::unique_ptr<Table>> make_table();
  Status make_packing();
  const Entry& entry_for(int64_t value) const;
  Result<const Pipeline*> pipeline_for(std::span<const TensorArg> arguments,
                                       std::shared_ptr<const Pipeline>* owner = nullptr) const;
  void tune_in_background(const Table& table);
  bool bucket_value(std::span<const TensorArg> arguments, int64_t* value) const;

  std::shared_ptr<Context> context_;
  std::shared_ptr<const Template> tmpl_;
  Problem problem_;
  OpenOptions options_;
  std::vector<StageOverride> overrides_;
  std::vector<int64_t> buckets_;
  std::string layout_;
  int64_t packed_bytes_ = 0;
  std::vector<std::pair<int, int>> bucket_sources_;  // (argument, dimension) that tells the bucket scalar
  ModuleCache modules_;
  std::unique_ptr<BinaryProvider> binaries_;
  std::unique_ptr<Pipeline> packing_;
  std::mutex refresh_mutex_;  // guards modules_, binaries_ and tables_
  std::vector<std::unique_ptr<Table>>
      tables_;  // the former ones: for captured graphs, strings and launches under way
  std::atomic<const Table*> table_{nullptr};  // the last of them
  mutable std::atomic<int> unchecked_launches_{kCheckedLaunches};
  std::unique_ptr<BackgroundTune> background_;
};

}  // namespace rtjit

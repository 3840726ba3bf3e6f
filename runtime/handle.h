// A kernel: a template opened for one problem on one device, ready to launch in every bucket.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/context.h"
#include "runtime/launcher.h"
#include "runtime/resolve.h"

namespace rtjit {

struct OpenOptions {
  MissPolicy miss_policy = MissPolicy::nearest;
  int64_t max_bucket = 0;            // largest value of the bucket scalar that will be launched; 0: no limit
  std::vector<std::string> configs;  // overrides, see parse_stage_override
};

// Thread-safe except for refresh().
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
  // Identity of the packed layout: equal text, interchangeable bytes.
  const std::string& layout() const { return layout_; }

  // What a launch with the bucket scalar anywhere up to `value` needs.
  Result<int64_t> workspace_bytes(int64_t value) const;
  int64_t packed_bytes() const { return packed_bytes_; }

  Status pack(std::span<const TensorArg> inputs, DevicePtr packed, int64_t packed_bytes,
              StreamHandle stream) const;
  // HOT: neither compiles, allocates, locks nor waits.
  Status launch(std::span<const TensorArg> arguments, DevicePtr packed, int64_t packed_bytes,
                DevicePtr workspace, int64_t workspace_bytes, StreamHandle stream) const;

  // Why this config serves `value`. Lives as long as the handle.
  const std::string& provenance(int64_t value) const;
  // The pipeline that serves `value`, for tools.
  const Pipeline& pipeline(int64_t value) const { return *table_->entries[index_for(value)].pipeline; }

  // (argument, dimension) pairs whose size is the bucket scalar.
  const std::vector<std::pair<int, int>>& bucket_sources() const { return bucket_sources_; }

  // Looks the cache up again. Not while launching on other threads. The former choice stays loaded: captured
  // graphs may hold its kernels.
  Status refresh();

 private:
  struct Entry {
    int64_t bucket = 0;
    std::shared_ptr<const Pipeline> pipeline;  // shared by buckets with equal choices
    std::string provenance;
  };
  struct Table {
    std::vector<Entry> entries;  // by ascending bucket
  };
  KernelHandle() = default;
  Result<std::unique_ptr<Table>> make_table();
  Status make_packing();
  size_t index_for(int64_t value) const;
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
  std::unique_ptr<Table> table_;
  std::vector<std::unique_ptr<Table>> former_;  // kept for captured graphs and for strings handed out
};

}  // namespace rtjit

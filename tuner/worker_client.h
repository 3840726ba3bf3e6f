// The parent's side of measuring: starts the worker process, talks to it, kills and replaces it.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "templates/problem.h"
#include "tuner/measurer.h"

namespace rtjit {

struct WorkerSetup {
  std::vector<std::string> command;  // program and arguments
  std::vector<std::string> template_folders;
  std::shared_ptr<const Template> tmpl;
  Problem problem;
  int device_ordinal = 0;
  int64_t l2_bytes = 0;
  PipelineSpec oracle;                              // its binaries may come later, by set_oracle()
  std::shared_ptr<const Binary> pack_binary;        // may be null
  std::shared_ptr<const Binary> probe;              // of probe_request(): whether the device works
  std::chrono::milliseconds candidate_limit{2000};  // beyond the time that was predicted
  std::chrono::milliseconds setup_limit{120000};    // device start, packing, first inputs
  std::chrono::milliseconds oracle_limit{120000};   // it is slow
  std::chrono::milliseconds compare_limit{20000};   // reading and comparing large outputs
  std::function<void(const std::string&)> warn;
  const std::atomic<bool>* cancel = nullptr;
};

// Not thread-safe; the worker dies with the thread that created the client, at the latest with the client.
class WorkerClient : public Measurer {
 public:
  // Starts a first worker, so that a device or command that does not work is an error here.
  static Result<std::unique_ptr<WorkerClient>> create(WorkerSetup setup);
  ~WorkerClient() override;

  // Before anything is measured or verified, where `oracle` came without binaries.
  Status set_oracle(PipelineSpec oracle);

  Result<std::vector<Measurement>> measure(const MeasureJob& job) override;
  Result<VerifyOutcome> verify(const PipelineSpec& candidate, int64_t bucket) override;

  // Whether other kernels that pack weights than the setup's give the same bytes. Their key is not that of
  // the setup's binary.
  Result<VerifyOutcome> verify_packing(const std::shared_ptr<const Binary>& binary);

  double load_ms() const override { return load_ms_; }
  PhaseParts parts_ms() const override { return parts_ms_; }

  int restarts() const { return restarts_; }

 private:
  struct Answer;
  explicit WorkerClient(WorkerSetup setup) : setup_(std::move(setup)) {}
  class Group;
  Status start();
  Status send_oracle();
  Status ensure_running();
  // `killed`: somebody killed the worker meanwhile, so that the result says nothing about the candidate.
  Result<VerifyOutcome> verify_once(const PipelineSpec& candidate, int64_t bucket, bool* killed);
  // The same for verify_packing().
  Result<VerifyOutcome> repack_once(const Binary& binary, bool* killed);
  // What came of an answer to `verify` or `repack`: a verdict, or an Error that says nothing about the
  // candidate. `before`: how far it had come.
  static Result<VerifyOutcome> outcome_of(const Answer& answer, Reached before);
  void stop();
  // Sends one request and waits for its answer; `limit` starts again with each step that the worker tells of,
  // and is `kernel_limit` while a candidate runs. Kills the worker when it does not answer in time or breaks.
  Answer ask(const std::string& request, std::chrono::milliseconds limit,
             std::chrono::milliseconds kernel_limit = std::chrono::milliseconds(0));
  Result<std::string> next_line(std::chrono::milliseconds limit);
  std::chrono::milliseconds kernel_limit(double expected_us, int launches) const;
  Answer send_binary(const Binary& binary);
  Answer load(const PipelineSpec& spec, int id);
  std::string pipeline_json(const char* operation, const PipelineSpec& spec, int id) const;

  WorkerSetup setup_;
  std::unique_ptr<ChildProcess> child_;
  std::set<std::string> sent_;  // keys of binaries that the running worker has
  std::set<int> loaded_;        // ids of pipelines that it has
  int next_id_ = 1;
  int restarts_ = 0;
  double load_ms_ = 0;
  PhaseParts parts_ms_;
};

}  // namespace rtjit

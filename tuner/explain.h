// Every config of a problem with its verdict, the numbers behind it and where they come from.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/records.h"
#include "tuner/candidates.h"
#include "tuner/problem_scope.h"
#include "tuner/session.h"

namespace rtjit {

struct ExplainRequest {
  ProblemScope scope;  // one entry per config that scope.filter matches; times are for scope.buckets.front()
  Store* store = nullptr;       // may be null
  bool compile = false;         // compile what neither the static gate nor the store decides
  CompilePoolFactory compiler;  // needed when `compile`
  TuneLimits limits;
  const std::atomic<bool>* cancel = nullptr;
  std::function<void(int64_t done, int64_t total)> progress;  // of compiling, stage by stage; may be empty
};

struct ExplainEntry {
  std::string stage, variant, config;
  Verdict verdict = Verdict::ok;
  std::string reason;  // "" when ok
  VerdictSource source = VerdictSource::static_gate;
  int64_t smem_bytes = 0, smem_limit = 0;  // of a block
  int registers = 0;                       // per thread; compiled, else predicted; 0 = unknown
  bool registers_compiled = false;
  int registers_limit = 0;  // of a block of so many threads
  int64_t threads = 0;
  int stack = 0, spills = 0;
  int blocks_per_sm = 0;  // occupancy, known as the registers are; 0 when rejected or unknown
  std::vector<std::string> features;
  double predicted_us = 0;  // for the bucket; 0 when rejected or not predictable
  int predicted_rank = 0;   // 1 = the fastest among the stage's configs that no gate rejected; 0 = none
  double measured_us = 0;   // 0 = never measured
  double measured_low_us = 0, measured_high_us = 0;
  int samples = 0;
  // Time in that of the bucket's winner, measured where both were, else predicted; 1.2 = 20 % slower; 0 = not
  // known.
  double of_winner = 0;
  bool verified = false;
  std::string verified_on;
  // From the comparison with the reference; limits of 0: it was not compared.
  double rel_l2 = 0, rel_l2_limit = 0, max_err = 0, max_err_limit = 0;
  bool is_default = false, is_winner = false;
  std::optional<QuarantineRow> quarantine;  // why it is not run any more, with the evidence

  // What the limits leave over; below 0: what is missing. That of registers says nothing where they are
  // unknown.
  int64_t smem_left() const { return smem_limit - smem_bytes; }
  int registers_left() const { return registers_limit - registers; }
};

// A variant of which no config survives.
struct ExplainNote {
  std::string stage, variant;
  std::string serving;        // the variant that serves instead; "": the stage cannot run
  bool other_target = false;  // the variant is not for this target
  std::string reason;         // what keeps every config from running; "": not the same everywhere
  std::string text;           // all of it in a sentence, with that reason, or that of most configs
};

struct ExplainReport {
  int64_t bucket = 0;
  std::vector<ExplainEntry> entries;  // stage, variant, then config in the order of the space
  std::vector<ExplainNote> notes;     // about variants of which scope.filter matches a config
};

Result<ExplainReport> explain(const ExplainRequest& request);

}  // namespace rtjit

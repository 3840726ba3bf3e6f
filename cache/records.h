// What the cache stores, as plain data. docs/cache-format.md documents the tables.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rtjit {

// The verdicts of the four gates; names are those of docs/verdicts.md and of `explain --json`.
enum class Verdict {
  ok,
  smem,
  feature,
  registers,
  spill,
  constraint,
  compile,
  timeout,
  launch,
  fault,
  hang,
  wrong
};
const char* to_string(Verdict verdict);
std::optional<Verdict> parse_verdict(std::string_view text);
std::vector<std::string> verdict_names();

// How a time came about. Ordered: a later one is better knowledge.
enum class Knowledge { none, predicted, measured };
const char* to_string(Knowledge knowledge);
std::optional<Knowledge> parse_knowledge(std::string_view text);

// Verdicts that only a running kernel can get: launch, fault, hang and wrong. Such a config must not win
// again.
bool failed_when_run(Verdict verdict);

// The last thing that a candidate did well before it failed.
enum class Reached {
  nothing,   // it did not compile
  compiled,  // loading it failed
  loaded,    // it failed the first time that it ran
  launched,  // it had run to its end at least once
  verified,  // its results had been right in at least one case
};
const char* to_string(Reached reached);
std::optional<Reached> parse_reached(std::string_view text);

// A config of a template.
struct ConfigName {
  std::string stage, variant, config;  // Config::canonical()
  auto operator<=>(const ConfigName&) const = default;
};

// What a tuning row is about. `bucket` 0: a verdict that holds for every bucket (static and compile gates).
struct RowKey {
  std::string template_name, template_hash;  // content of manifest and sources
  std::string problem;                       // Problem::canonical()
  std::string stage, variant, config;        // Config::canonical()
  int64_t bucket = 0;
  std::string target;  // "sm_90a"
  std::string sku;     // DeviceInfo::sku_fingerprint(), or "" for a target without a device
  bool operator==(const RowKey&) const = default;
};

struct TuningRow {
  RowKey key;
  Verdict verdict = Verdict::ok;
  std::string reason;  // the sentence with numbers; why it was rejected
  Knowledge knowledge = Knowledge::none;
  double time_us = 0;                        // predicted or measured median; 0 = none
  double time_low_us = 0, time_high_us = 0;  // confidence interval when measured
  int samples = 0;
  bool verified = false;
  double rel_l2 = 0, rel_l2_limit = 0, max_err = 0, max_err_limit = 0;
  std::string verified_on;  // "NVIDIA H200", "emulator, hidden=320,...": the size that was verified, or ""
  int64_t smem_bytes = 0, smem_limit = 0;
  int registers = 0, stack = 0, spills = 0;
  std::string binary_key;                   // "" when there is none
  std::string compiler;                     // "nvrtc 13.0"
  std::string device_name, driver, policy;  // timing policy and environment, text for people
  bool is_default = false;                  // the variant's default config for this bucket
  int64_t updated_unix = 0;
};

// The chosen config of a stage for a bucket.
struct WinnerRow {
  std::string template_name, template_hash, problem, stage;
  int64_t bucket = 0;
  std::string target, sku;
  std::string variant, config;
  Knowledge knowledge = Knowledge::none;
  bool verified = false;
  double time_us = 0;
  std::string why;  // one sentence for the table: "fastest of 41 measured; 6 % ahead of the default"
  int64_t updated_unix = 0;
};

// A candidate that faulted, hung or wrote outside its buffers, with the evidence. It is not run again for the
// same content of the template and the same compiler.
struct QuarantineRow {
  RowKey key;            // `bucket` is the one in which it failed
  std::string compiler;  // "nvrtc 13.0"; part of the key
  Verdict verdict = Verdict::fault;
  std::string error;  // the sentence
  Reached reached = Reached::nothing;
  std::string features;  // of its PTX, by name, separated by spaces
  std::string binary_key, device_name, driver;
  int64_t updated_unix = 0;
};

// Which verdicts lead to quarantine: those of kernels that may take the device or its memory down with them.
bool is_quarantined(Verdict verdict);

// How much a row knows. A row of an equal key is replaced only by one that knows at least as much.
// Tuning rows: 5 measured and verified, or failed when run; 4 measured; 3 predicted and verified; 2
// predicted; 0 never run: a verdict from before the run holds only until the config is looked at again, with
// --force or by another compiler. Winners: 5 and 4 measured (verified or not), 3 and 2 predicted.
int evidence(const TuningRow& row);
int evidence(const WinnerRow& row);
inline int evidence(const QuarantineRow&) { return 0; }  // the latest counts

// Whether the row is a rejection that rests on what a compiler made or refused to make of the config: another
// compiler may decide otherwise.
bool rejected_by_compiler(const TuningRow& row);

// What may be stored: template, hash, stage and target are named, the bucket is not negative, and a measured
// winner is verified; a quarantined candidate faulted or hung. Else ErrorCode::invalid_argument.
Status check_row(const TuningRow& row);
Status check_row(const WinnerRow& row);
Status check_row(const QuarantineRow& row);

}  // namespace rtjit

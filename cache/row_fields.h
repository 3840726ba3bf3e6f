// The fields of rows, one by one, for all that is done with each of them: statements, checksums, the text
// form. Private to cache/.
#pragma once

#include <tuple>
#include <type_traits>

#include "cache/records.h"

namespace rtjit {

// Calls `visit` with the name of each column and the field. The key comes first. `Row` may be const.
template <typename Row, typename Visit>
void visit_key(Row& key, Visit&& visit) {
  visit("template", key.template_name);
  visit("template_hash", key.template_hash);
  visit("problem", key.problem);
  visit("stage", key.stage);
  visit("bucket", key.bucket);
  visit("target", key.target);
  visit("sku", key.sku);
}

template <typename Key, typename Visit>
void visit_row_key(Key& key, Visit&& visit) {
  visit_key(key, visit);
  visit("variant", key.variant);
  visit("config", key.config);
}

template <typename Row, typename Visit>
requires std::is_same_v<std::remove_const_t<Row>, TuningRow>
void visit_values(Row& row, Visit&& visit) {
  visit("verdict", row.verdict);
  visit("reason", row.reason);
  visit("knowledge", row.knowledge);
  visit("time_us", row.time_us);
  visit("time_low_us", row.time_low_us);
  visit("time_high_us", row.time_high_us);
  visit("samples", row.samples);
  visit("verified", row.verified);
  visit("rel_l2", row.rel_l2);
  visit("rel_l2_limit", row.rel_l2_limit);
  visit("max_err", row.max_err);
  visit("max_err_limit", row.max_err_limit);
  visit("verified_on", row.verified_on);
  visit("smem_bytes", row.smem_bytes);
  visit("smem_limit", row.smem_limit);
  visit("registers", row.registers);
  visit("stack", row.stack);
  visit("spills", row.spills);
  visit("binary_key", row.binary_key);
  visit("compiler", row.compiler);
  visit("device_name", row.device_name);
  visit("driver", row.driver);
  visit("policy", row.policy);
  visit("is_default", row.is_default);
  visit("updated_unix", row.updated_unix);
}

template <typename Row, typename Visit>
requires std::is_same_v<std::remove_const_t<Row>, WinnerRow>
void visit_values(Row& row, Visit&& visit) {
  visit("variant", row.variant);
  visit("config", row.config);
  visit("knowledge", row.knowledge);
  visit("verified", row.verified);
  visit("time_us", row.time_us);
  visit("why", row.why);
  visit("updated_unix", row.updated_unix);
}

template <typename Row, typename Visit>
requires std::is_same_v<std::remove_const_t<Row>, QuarantineRow>
void visit_values(Row& row, Visit&& visit) {
  visit("verdict", row.verdict);
  visit("error", row.error);
  visit("reached", row.reached);
  visit("features", row.features);
  visit("binary_key", row.binary_key);
  visit("device_name", row.device_name);
  visit("driver", row.driver);
  visit("updated_unix", row.updated_unix);
}

// The fields that make a row the same row.
template <typename Row, typename Visit>
void visit_identity(Row& row, Visit&& visit) {
  using Plain = std::remove_const_t<Row>;
  if constexpr (std::is_same_v<Plain, TuningRow>) {
    visit_row_key(row.key, visit);
  } else if constexpr (std::is_same_v<Plain, QuarantineRow>) {
    visit_row_key(row.key, visit);
    visit("compiler", row.compiler);
  } else {
    visit_key(row, visit);
  }
}

template <typename Row, typename Visit>
void visit_all(Row& row, Visit&& visit) {
  visit_identity(row, visit);
  visit_values(row, visit);
}

// The same as a value to compare by; the order in which rows are listed.
inline auto row_identity(const TuningRow& row) {
  const RowKey& key = row.key;
  return std::tie(key.template_name, key.problem, key.target, key.sku, key.template_hash, key.stage,
                  key.bucket, key.variant, key.config);
}
inline auto row_identity(const QuarantineRow& row) {
  const RowKey& key = row.key;
  return std::tie(key.template_name, key.problem, key.target, key.sku, key.template_hash, key.stage,
                  key.bucket, key.variant, key.config, row.compiler);
}
inline auto row_identity(const WinnerRow& row) {
  return std::tie(row.template_name, row.problem, row.target, row.sku, row.template_hash, row.stage,
                  row.bucket);
}

}  // namespace rtjit

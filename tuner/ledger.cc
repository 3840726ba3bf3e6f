#include "tuner/ledger.h"

#include <algorithm>
#include <chrono>
#include <ctime>

#include "cache/store.h"
#include "tuner/settle_record.h"

namespace rtjit {
namespace {

constexpr size_t kGroup = 16;
constexpr double kGroupSeconds = 0.25;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string name_of(const RowKey& key) { return key.stage + '|' + key.variant + '|' + key.config; }

}  // namespace

Ledger::Ledger(Store* store, const SearchContext& context, std::string sku, Warn warn)
    : store_(store), context_(context), sku_(std::move(sku)), warn_(std::move(warn)) {}

Ledger::~Ledger() { flush(); }

void Ledger::describe_device(std::string device_name, std::string driver, std::string policy) {
  device_name_ = std::move(device_name);
  driver_ = std::move(driver);
  policy_ = std::move(policy);
}

std::string Ledger::name_of(const Candidate& candidate) {
  return candidate.stage->name + '|' + candidate.variant->name + '|' + candidate.config_text;
}

void Ledger::remember(const TuningRow& row) {
  std::string name = rtjit::name_of(row.key);
  if (row.key.sku == sku_) {
    if (failed_when_run(row.verdict)) failures_[name] = row;
    rows_[{name, row.key.bucket}] = row;
  } else if (row.key.bucket == 0 && !row.binary_key.empty()) {
    elsewhere_[name] = row;
  }
}

Status Ledger::load() {
  if (!store_) return {};
  RowKey pattern;
  pattern.template_name = context_.tmpl->name;
  pattern.template_hash = context_.tmpl->content_hash;
  pattern.problem = context_.problem.canonical();
  pattern.target = context_.target.name();
  pattern.bucket = -1;
  auto rows = store_->rows(pattern);
  if (!rows) return rows.error();
  for (const TuningRow& row : *rows) remember(row);
  QuarantineRow quarantined;
  quarantined.key = pattern;
  auto quarantine = store_->quarantine(quarantined);
  if (!quarantine) return quarantine.error();
  for (const QuarantineRow& row : *quarantine) {
    if (row.key.sku.empty() && !sku_.empty()) continue;
    quarantine_[rtjit::name_of(row.key)].push_back(row);
  }
  for (auto& [name, list] : quarantine_) {
    std::stable_sort(list.begin(), list.end(), [](const QuarantineRow& a, const QuarantineRow& b) {
      return a.updated_unix < b.updated_unix;
    });
  }
  WinnerRow winner;
  winner.template_name = pattern.template_name;
  winner.template_hash = pattern.template_hash;
  winner.problem = pattern.problem;
  winner.target = pattern.target;
  winner.bucket = -1;
  auto winners = store_->winners(winner);
  if (!winners) return winners.error();
  for (WinnerRow& row : *winners) {
    if (row.sku != sku_) continue;
    Key key{row.stage, row.bucket};
    winners_[std::move(key)] = std::move(row);
  }
  return {};
}

const TuningRow* Ledger::find(const Candidate& candidate, int64_t bucket) const {
  auto found = rows_.find({name_of(candidate), bucket});
  return found == rows_.end() ? nullptr : &found->second;
}

const TuningRow* Ledger::find_elsewhere(const Candidate& candidate) const {
  auto found = elsewhere_.find(name_of(candidate));
  return found == elsewhere_.end() ? nullptr : &found->second;
}

const TuningRow* Ledger::find_failure(const Candidate& candidate) const {
  auto found = failures_.find(name_of(candidate));
  return found == failures_.end() ? nullptr : &found->second;
}

const QuarantineRow* Ledger::find_quarantine(const Candidate& candidate, std::string_view compiler) const {
  auto found = quarantine_.find(name_of(candidate));
  if (found == quarantine_.end()) return nullptr;
  for (size_t i = found->second.size(); i-- > 0;) {
    const QuarantineRow& row = found->second[i];
    if (compiler.empty() || row.compiler == compiler) return &row;
  }
  return nullptr;
}

const WinnerRow* Ledger::find_winner(const std::string& stage, int64_t bucket) const {
  auto found = winners_.find({stage, bucket});
  return found == winners_.end() ? nullptr : &found->second;
}

bool Ledger::being_settled(const WinnerRow& winner) const {
  if (winner.sku != sku_) return false;
  auto row = rows_.find({winner.stage + '|' + winner.variant + '|' + winner.config, winner.bucket});
  return row != rows_.end() && settle_record(row->second.policy).open;
}

RowKey Ledger::key(const Candidate& candidate, int64_t bucket) const {
  return {context_.tmpl->name,
          context_.tmpl->content_hash,
          context_.problem.canonical(),
          candidate.stage->name,
          candidate.variant->name,
          candidate.config_text,
          bucket,
          context_.target.name(),
          sku_};
}

TuningRow Ledger::row(const Candidate& candidate, int64_t bucket) const {
  TuningRow row;
  row.key = key(candidate, bucket);
  row.verdict = candidate.gate.verdict;
  row.reason = candidate.gate.reason;
  row.smem_bytes = candidate.facts.smem + candidate.compiled.static_smem;
  row.smem_limit = context_.gpu.limits.smem_per_block;
  row.registers = candidate.registers();
  row.stack = candidate.compiled.stack;
  row.spills = candidate.compiled.spills;
  if (candidate.compiled_known) {
    row.registers = candidate.compiled.registers;
    row.binary_key = candidate.binary_key;
    row.compiler = candidate.compiler;
  }
  row.device_name = device_name_;
  row.driver = driver_;
  row.policy = policy_;
  row.updated_unix = static_cast<int64_t>(std::time(nullptr));
  return row;
}

void Ledger::put_soon(TuningRow row) {
  remember(row);
  if (!store_) return;
  if (waiting_.empty()) waiting_since_ = now_seconds();
  waiting_.push_back(std::move(row));
  if (waiting_.size() >= kGroup || now_seconds() - waiting_since_ > kGroupSeconds) flush();
}

void Ledger::put_now(TuningRow row) {
  put_soon(std::move(row));
  flush();
}

void Ledger::put_winner(WinnerRow row, std::vector<TuningRow> rows) {
  for (const TuningRow& rests_on : rows) remember(rests_on);
  row.template_name = context_.tmpl->name;
  row.template_hash = context_.tmpl->content_hash;
  row.problem = context_.problem.canonical();
  row.target = context_.target.name();
  row.sku = sku_;
  row.updated_unix = static_cast<int64_t>(std::time(nullptr));
  winners_[{row.stage, row.bucket}] = row;
  if (!store_) return;
  flush();  // what was found out before comes first
  write([this, row, rows = std::move(rows)] { return store_->put_winner(row, rows); });
}

void Ledger::put_quarantined(const Candidate& candidate, TuningRow row, Reached reached,
                             std::string features) {
  QuarantineRow quarantined;
  quarantined.key = row.key;
  quarantined.compiler = candidate.compiler;
  quarantined.verdict = row.verdict;
  quarantined.error = row.reason;
  quarantined.reached = reached;
  quarantined.features = std::move(features);
  quarantined.binary_key = candidate.binary_key;
  quarantined.device_name = device_name_;
  quarantined.driver = driver_;
  quarantined.updated_unix = row.updated_unix;
  quarantine_[name_of(candidate)].push_back(quarantined);
  remember(row);
  if (!store_) return;
  flush();
  write([this, quarantined, row] { return store_->put_quarantine(quarantined, row); });
}

void Ledger::release(const Candidate& candidate, const std::string& compiler) {
  const std::string name = name_of(candidate);
  std::erase_if(quarantine_[name],
                [&](const QuarantineRow& row) { return compiler.empty() || row.compiler == compiler; });
  if (auto failure = failures_.find(name);
      failure != failures_.end() && is_quarantined(failure->second.verdict)) {
    failures_.erase(failure);
  }
  std::erase_if(rows_, [&](const auto& entry) {
    return entry.first.first == name && is_quarantined(entry.second.verdict);
  });
  released_.insert(candidate.stage->name);
  if (store_)
    write([this, row_key = key(candidate, 0), compiler] { return store_->release(row_key, compiler); });
}

void Ledger::put_binary(const Binary& binary, const std::string& label) {
  if (store_)
    write([this, kept = std::make_shared<Binary>(binary), label] {
      return store_->put_binary(*kept, context_.target.name(), label);
    });
}

void Ledger::flush() {
  if (waiting_.empty() && unwritten_.empty()) return;
  std::vector<TuningRow> rows;
  rows.swap(waiting_);
  write([this, rows = std::move(rows)] { return store_->put_rows(rows); });
}

void Ledger::write(std::function<Status()> body) {
  unwritten_.push_back(std::move(body));
  while (!unwritten_.empty()) {
    Status status = unwritten_.front()();
    if (!status) {
      // Only a full or failing disk may get better; nobody waits for a read-only one.
      if (status.error().code != ErrorCode::io) unwritten_.clear();
      if (warn_ && !warned_) warn_(fmt::format("results cannot be stored: {}", status.error().message));
      warned_ = true;
      return;
    }
    unwritten_.erase(unwritten_.begin());
  }
}

}  // namespace rtjit

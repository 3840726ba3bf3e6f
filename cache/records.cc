#include "cache/records.h"

#include <iterator>

namespace rtjit {
namespace {

// In the order of the enums.
constexpr const char* kVerdicts[] = {"ok",      "smem",    "feature", "registers", "spill", "constraint",
                                     "compile", "timeout", "launch",  "fault",     "hang",  "wrong"};
constexpr const char* kKnowledge[] = {"none", "predicted", "measured"};
constexpr const char* kReached[] = {"nothing", "compiled", "loaded", "launched", "verified"};
static_assert(std::size(kReached) == static_cast<size_t>(Reached::verified) + 1);
static_assert(std::size(kVerdicts) == static_cast<size_t>(Verdict::wrong) + 1);
static_assert(std::size(kKnowledge) == static_cast<size_t>(Knowledge::measured) + 1);

template <typename Enum, size_t N>
std::optional<Enum> parse_name(const char* const (&names)[N], std::string_view text) {
  for (size_t i = 0; i < N; ++i) {
    if (text == names[i]) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

Status check_key(const std::string& template_name, const std::string& template_hash, const std::string& stage,
                 const std::string& target, int64_t bucket) {
  if (template_name.empty() || template_hash.empty() || stage.empty() || target.empty() || bucket < 0) {
    return make_error(
        ErrorCode::invalid_argument,
        "a row needs template name, template hash, stage, target and a bucket >= 0; came: '{}', '{}', "
        "'{}', '{}', {}",
        template_name, template_hash, stage, target, bucket);
  }
  return {};
}

}  // namespace

const char* to_string(Verdict verdict) { return kVerdicts[static_cast<int>(verdict)]; }
const char* to_string(Knowledge knowledge) { return kKnowledge[static_cast<int>(knowledge)]; }
std::optional<Verdict> parse_verdict(std::string_view text) { return parse_name<Verdict>(kVerdicts, text); }
std::vector<std::string> verdict_names() { return {std::begin(kVerdicts), std::end(kVerdicts)}; }
std::optional<Knowledge> parse_knowledge(std::string_view text) {
  return parse_name<Knowledge>(kKnowledge, text);
}

const char* to_string(Reached reached) { return kReached[static_cast<int>(reached)]; }
std::optional<Reached> parse_reached(std::string_view text) { return parse_name<Reached>(kReached, text); }

bool failed_when_run(Verdict verdict) {
  return verdict == Verdict::launch || verdict == Verdict::fault || verdict == Verdict::hang ||
         verdict == Verdict::wrong;
}

bool is_quarantined(Verdict verdict) { return verdict == Verdict::fault || verdict == Verdict::hang; }

int evidence(const TuningRow& row) {
  if (failed_when_run(row.verdict)) return 5;
  if (row.verdict != Verdict::ok) return 0;
  if (row.knowledge == Knowledge::measured) return row.verified ? 5 : 4;
  if (row.knowledge == Knowledge::predicted) return row.verified ? 3 : 2;
  return 0;
}

bool rejected_by_compiler(const TuningRow& row) {
  return row.verdict != Verdict::ok && !failed_when_run(row.verdict) && !row.compiler.empty();
}

int evidence(const WinnerRow& row) { return 2 * static_cast<int>(row.knowledge) + (row.verified ? 1 : 0); }

Status check_row(const TuningRow& row) {
  const RowKey& key = row.key;
  return check_key(key.template_name, key.template_hash, key.stage, key.target, key.bucket);
}

Status check_row(const WinnerRow& row) {
  if (Status status = check_key(row.template_name, row.template_hash, row.stage, row.target, row.bucket);
      !status.ok())
    return status;
  if (row.knowledge == Knowledge::measured && !row.verified) {
    return make_error(
        ErrorCode::invalid_argument,
        "{}.{} bucket {}: a measured winner must be verified against the reference before it is stored",
        row.template_name, row.stage, row.bucket);
  }
  return {};
}

Status check_row(const QuarantineRow& row) {
  const RowKey& key = row.key;
  Status status = check_key(key.template_name, key.template_hash, key.stage, key.target, key.bucket);
  if (!status.ok()) return status;
  if (!is_quarantined(row.verdict)) {
    return make_error(ErrorCode::invalid_argument,
                      "{}.{}: a config is quarantined for fault or hang; came: {}", key.template_name,
                      key.stage, to_string(row.verdict));
  }
  return {};
}

}  // namespace rtjit

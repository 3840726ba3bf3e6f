#include "tuner/settle_record.h"

#include <fmt/format.h>

#include <cstdlib>

namespace rtjit {
namespace {

constexpr std::string_view kOpen = "; being settled, us by pass:";
constexpr std::string_view kClosed = "; settled, us by pass:";

size_t start_of_record(std::string_view policy) {
  const size_t open = policy.find(kOpen);
  return open != std::string_view::npos ? open : policy.find(kClosed);
}

std::string pass_text(double time_us) { return fmt::format("{:.3f}", time_us); }

}  // namespace

double recorded_us(double time_us) { return std::strtod(pass_text(time_us).c_str(), nullptr); }

std::string with_settle_record(std::string_view policy, const SettleRecord& record) {
  std::string text = without_settle_record(policy);
  if (record.empty()) return text;
  text += record.open ? kOpen : kClosed;
  for (double time : record.times_us) text += ' ' + pass_text(time);
  return text;
}

SettleRecord settle_record(std::string_view policy) {
  SettleRecord record;
  const size_t start = start_of_record(policy);
  if (start == std::string_view::npos) return record;
  record.open = policy.substr(start, kOpen.size()) == kOpen;
  const std::string times(policy.substr(start + (record.open ? kOpen : kClosed).size()));
  const char* at = times.c_str();
  for (char* end = nullptr;; at = end) {
    const double time = std::strtod(at, &end);
    if (end == at) return record;
    if (time > 0) record.times_us.push_back(time);
  }
}

std::string without_settle_record(std::string_view policy) {
  return std::string(policy.substr(0, start_of_record(policy)));
}

}  // namespace rtjit

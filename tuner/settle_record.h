// The passes that a config has been through, in the text that a tuning row says of how it was measured: what
// is finished is found there by the next run, and by people.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rtjit {

struct SettleRecord {
  bool open = false;             // the winner does not stand yet
  std::vector<double> times_us;  // by pass
  bool empty() const { return !open && times_us.empty(); }
};

// A pass's time as it is recorded, so that a run that goes on decides as one that was not stopped.
double recorded_us(double time_us);

// `policy` (TuningRow::policy) with this record, and no other.
std::string with_settle_record(std::string_view policy, const SettleRecord& record);
// What it says; empty where it says nothing.
SettleRecord settle_record(std::string_view policy);
// The rest of it.
std::string without_settle_record(std::string_view policy);

}  // namespace rtjit

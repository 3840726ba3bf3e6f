// What real silicon returned, stored compactly, and the comparison with what a device returns now.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "tests/silicon/case.h"

namespace rtjit::silicon {

// The results of one case. Bit-for-bit cases keep their first bytes and a hash of each further chunk; the
// others keep everything.
struct Record {
  uint64_t fingerprint = 0;
  bool digested = false;
  std::vector<uint8_t> bytes;
};

struct RecordFile {
  std::string device, driver;
  std::map<std::string, Record> records;  // by case name
};

// `full`: keep everything, to look into differences.
Record make_record(const Case& c, const std::vector<uint8_t>& results, bool full = false);

Status save(const RecordFile& file, const std::string& path);
Result<RecordFile> load_records(const std::string& path);

// Empty when `results` agree with the record within the case's bound; else what differs, as a sentence.
// `worst` receives the largest distance seen, in ulps, where a bound applies.
std::string compare(const Case& c, const Record& record, const std::vector<uint8_t>& results,
                    double* worst = nullptr);

// The table of bounds for docs/emulator.md: one line per reason.
std::string bounds_table();

}  // namespace rtjit::silicon

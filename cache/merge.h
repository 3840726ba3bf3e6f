// Puts the contents of one database into another so that neither order nor repetition matters: for any key
// the better of the two remains, by a total order on contents.
#pragma once

#include "base/result.h"
#include "cache/contents.h"

namespace rtjit {

// Which of two rows, winners or binaries of the same key remains. A strict total order on content: two that
// are equal by it are equal bit for bit. What decides, in this order:
//   row     evidence(); a failure when run before a success; the later updated_unix; the shorter time_us
//   (none
//           and NaN last); the greater text (to_line())
//   winner  evidence(); the later updated_unix; the shorter time_us; the greater text
//   quarantine  the later updated_unix; the greater text
//   binary  the later created_unix; the greater sha256; the greater text
// A failure wins because a config that one machine has seen fail must not win on another.
bool better(const TuningRow& a, const TuningRow& b);
bool better(const WinnerRow& a, const WinnerRow& b);
bool better(const QuarantineRow& a, const QuarantineRow& b);
bool better(const StoredBinary& a, const StoredBinary& b);

struct MergeCounts {
  int64_t added = 0;     // there was none of the key
  int64_t replaced = 0;  // the one there was not as good
  int64_t kept = 0;      // the one there was as good or better
};
struct MergeReport {
  MergeCounts rows, winners, quarantine, binaries;
};

// In one transaction: all of it, or nothing. A winner stays in its table even where a merged row says that
// its config failed when run (removing it would make the result depend on the order of merging);
// lookup_winner() passes over it.
Result<MergeReport> merge_into(Store& store, const Contents& other);

}  // namespace rtjit

// The order of candidates for one bucket, and the rule that makes ties resolve alike on every rank and rerun.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cache/records.h"
#include "tuner/candidates.h"
#include "tuner/strategy.h"

namespace rtjit {

struct Ranked {
  int candidate = -1;              // index into StageSpace::candidates
  double time_us = 0;              // predicted or measured; 0 = not known
  double low_us = 0, high_us = 0;  // interval when measured
  int samples = 0;
  Knowledge knowledge = Knowledge::none;
  bool is_default = false;
  bool is_incumbent = false;  // what serves so far
  bool settled = false;  // the time is that of several passes (tuner/settle.h), the interval their extremes
};

// What counts as equal.
struct TieRule {
  double fraction = 0.01;  // of a time: nearer than this is a tie
  // What serves so far is kept while nothing is faster by more than this. So much wider than
  // `fraction` that a config that won a tie once does not lose it to noise the next time: what several tunes
  // of one GPU say of two configs' ratio varies by half a percent to one.
  double keep = 0.03;
};

// The finalists of a search whose prospects are the space's candidates, index by index.
std::vector<Ranked> rank_finalists(std::span<const Prospect> prospects, Knowledge knowledge);

// Index into `ranked` of the entry that should win; -1 when empty. Known times beat unknown ones. What serves
// so far wins while the rule keeps it; where the default config is no slower, that one does: nothing that is
// slower than the default is ever kept. Else entries within `fraction` of the fastest,
// or whose interval overlaps the fastest one's when both are measured and lie within three times that
// fraction, are tied; where the fastest one is settled, only what is settled and within `fraction` is. Ties
// resolve in this order: the default config, less shared memory, fewer registers, smaller parameter values in
// the manifest's order, then the variant's place in the manifest.
int choose_winner(const StageSpace& space, const std::vector<Ranked>& ranked, const TieRule& rule);

// Why it won, for the table: "fastest of 41 predicted; 6 % ahead of the default". `looked_at`: how many
// configs' times are known, where `ranked` is only those that a search did not drop.
std::string explain_choice(const std::vector<Ranked>& ranked, int winner, const TieRule& rule,
                           int rejected_when_run, int looked_at = 0);

}  // namespace rtjit

// Who wins among configs whose times are too near each other for one look.
//
// The last round of a search measures its best configs side by side, but at one moment. At another moment,
// with other buffers and another temperature, the ratio of two configs is another one, by more than the
// intervals of the first say. So those near the fastest, the contenders, are measured again: in passes, each
// of which measures all of them in turns at a moment of its own. What counts of a pass is how the contenders
// relate in it, not how fast the device was; of several passes, the median. It ends as soon as every pass,
// each taken alone, would have chosen the same winner as all together (or most of all that there may be
// would), or after a fixed number of passes.
//
// Knows no device: a tuning run measures the passes (tuner/stage_settler.h), a replay makes them up.
#pragma once

#include <cstddef>
#include <vector>

#include "tuner/ranking.h"

namespace rtjit {

// Of the fastest time: what is nearer may turn out to be as fast, and is a contender.
inline constexpr double kSettleNear = 0.04;
// Likewise for the default config and what serves so far. One look that a disturbance spoilt must not take
// their place away: seen on an H200 at 2,048 tokens, 4 % behind in two of five tunes and ahead in all passes of
// the others.
inline constexpr double kSettleNearReference = 0.08;
// Samples of each contender in a pass.
inline constexpr int kSettleSamples = 3;

class Settle {
 public:
  // `finalists`: of the search. The fastest of those near the fastest are contenders, four at most besides
  // the default config and what serves so far, which may be farther behind. `most_passes` 0: nothing is to
  // be settled. `space` outlives it.
  Settle(const StageSpace& space, const std::vector<Ranked>& finalists, const TieRule& rule, int most_passes);

  // Candidates that the next pass measures, in the order in which add() takes their times.
  std::vector<int> contenders() const;
  // Whether a winner stands: there is one contender at most, the passes agree, or none is left.
  bool done() const;

  // The times of one pass, each above 0.
  void add(const std::vector<double>& times_us);
  // It failed, in a pass or when its results were looked at: it is a contender no more.
  void reject(int candidate);

  int passes() const { return static_cast<int>(passes_.size()); }
  std::vector<double> times_of(int candidate) const;  // by pass
  // The contenders and, for comparison, the default config and what serves so far. A contender's time is
  // settled as soon as there is a pass: the passes decide how contenders relate, and the search how fast all
  // of them are, so that their times can be compared with those of the configs that were not measured again.
  std::vector<Ranked> ranked() const;
  // Index into ranked(); -1: no contender is left.
  int winner() const;

 private:
  int choose(size_t first, size_t count) const;  // by these passes: a candidate
  std::vector<Ranked> settled_by(size_t first, size_t count) const;

  const StageSpace& space_;
  TieRule rule_;
  int most_passes_;
  std::vector<Ranked> contenders_;  // as the search knows them
  std::vector<Ranked> others_;      // that are compared with and cannot win
  std::vector<std::vector<double>> passes_;
};

}  // namespace rtjit

// How a search spends its effort: which configs of one stage and bucket to compile and measure next, and how
// often.
//
// A strategy decides from predictions and from what has been measured so far, and touches neither a device
// nor a store. The same strategy therefore runs on a GPU, on the cost model alone, and on a sweep that was
// stored earlier (tuner/replay.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace rtjit {

// What is known of one config.
struct Prospect {
  double predicted_us = 0;                      // 0: the cost model says nothing
  double time_us = 0, low_us = 0, high_us = 0;  // measured so far
  int samples = 0;                              // that the time rests on; 0: not measured
  int asked = 0;                                // samples of the last batch that measured it; see finalists()
  bool is_default = false;
  bool is_incumbent = false;  // what serves so far (tuner/incumbents.h)
  bool rejected = false;      // by the compiler, or when it ran
  bool measured() const { return samples > 0 && !rejected; }
  // Measured by every strategy, from the first batch to the last: what the winner is compared with.
  bool is_reference() const { return is_default || is_incumbent; }
};

// Indices of prospects, each to be compiled if it is not, and measured until it has this many samples.
struct Batch {
  std::vector<size_t> prospects;
  int samples = 0;
  bool empty() const { return prospects.empty(); }
};

class Strategy {
 public:
  virtual ~Strategy() = default;
  // Called with the same prospects again and again, each time after the batch before it was measured. An
  // empty batch: nothing more is wanted.
  virtual Batch next(std::span<const Prospect> prospects) = 0;
};

struct StrategyOptions {
  std::string name = "halving";
  int configs = 8;    // that are looked at, besides the default and what serves so far; `exhaustive`: all
  int samples = 9;    // of a config that may win
  uint64_t seed = 1;  // of `random`
  int passes = 0;     // that settle who of the best wins, at most (tuner/settle.h); 0: the search decides
};

// One search needs a strategy of its own. ErrorCode::invalid_argument lists the names:
//
// - exhaustive: every config
// - model: those with the best predictions
// - halving: the same ones with few samples each, then the better half of them with more, and so on
// - random: drawn with the seed
Result<std::unique_ptr<Strategy>> make_strategy(const StrategyOptions& options);
std::vector<std::string> strategy_names();

// The measured prospects that may win: those of which most samples were asked, so that a lucky first sample
// does not beat a thorough look.
std::vector<size_t> finalists(std::span<const Prospect> prospects);

}  // namespace rtjit

// The strategies themselves, for strategy.cc, and what they share.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "tuner/strategy.h"

namespace rtjit {

std::unique_ptr<Strategy> make_exhaustive(const StrategyOptions& options);
std::unique_ptr<Strategy> make_model(const StrategyOptions& options);
std::unique_ptr<Strategy> make_random(const StrategyOptions& options);
std::unique_ptr<Strategy> make_halving(const StrategyOptions& options);

// All indices, best predicted first; without a prediction last, in the order of the space.
std::vector<size_t> by_prediction(std::span<const Prospect> prospects);

// Takes configs from a list until `count` of them stand: one that is rejected is replaced by the next.
class Picker {
 public:
  explicit Picker(size_t count) : count_(count) {}

  // Those to look at now; references are among the first ones, beyond the count. `order` is the same in every
  // call.
  std::vector<size_t> pick(std::span<const Prospect> prospects, std::span<const size_t> order);
  const std::vector<size_t>& picked() const { return picked_; }

 private:
  size_t count_, next_ = 0;
  std::vector<size_t> picked_;
};

}  // namespace rtjit

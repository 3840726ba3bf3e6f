// The strategies that go through a list once: exhaustive, model, random.
#include <algorithm>
#include <numeric>

#include "tuner/inputs.h"
#include "tuner/strategies.h"

namespace rtjit {

std::vector<size_t> by_prediction(std::span<const Prospect> prospects) {
  std::vector<size_t> order(prospects.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    double left = prospects[a].predicted_us, right = prospects[b].predicted_us;
    if ((left > 0) != (right > 0)) return left > 0;
    return left < right;
  });
  return order;
}

std::vector<size_t> Picker::pick(std::span<const Prospect> prospects, std::span<const size_t> order) {
  std::vector<size_t> now;
  size_t standing = 0;
  for (size_t index : picked_) standing += !prospects[index].rejected && !prospects[index].is_reference();
  const bool first = next_ == 0;
  while (next_ < order.size() && standing < count_) {
    size_t index = order[next_++];
    if (prospects[index].rejected || prospects[index].is_reference()) continue;
    now.push_back(index);
    ++standing;
  }
  if (first) {
    for (size_t index = 0; index < prospects.size(); ++index) {
      if (prospects[index].is_reference() && !prospects[index].rejected) now.push_back(index);
    }
  }
  picked_.insert(picked_.end(), now.begin(), now.end());
  return now;
}

namespace {

// Every listed config, and no other, is measured with all samples; `order` is made when first asked.
class ListStrategy : public Strategy {
 public:
  ListStrategy(size_t count, int samples) : picker_(count), samples_(samples) {}

  Batch next(std::span<const Prospect> prospects) override {
    if (order_.size() != prospects.size()) order_ = order(prospects);
    return {picker_.pick(prospects, order_), samples_};
  }

 protected:
  virtual std::vector<size_t> order(std::span<const Prospect> prospects) = 0;

 private:
  Picker picker_;
  int samples_;
  std::vector<size_t> order_;
};

class ByModel : public ListStrategy {
 public:
  using ListStrategy::ListStrategy;
  std::vector<size_t> order(std::span<const Prospect> prospects) override { return by_prediction(prospects); }
};

class ByChance : public ListStrategy {
 public:
  ByChance(size_t count, int samples, uint64_t seed) : ListStrategy(count, samples), random_(seed) {}
  std::vector<size_t> order(std::span<const Prospect> prospects) override {
    std::vector<size_t> order(prospects.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[static_cast<size_t>(random_.below(static_cast<int64_t>(i)))]);
    }
    return order;
  }

 private:
  Random random_;
};

}  // namespace

std::unique_ptr<Strategy> make_exhaustive(const StrategyOptions& options) {
  return std::make_unique<ByModel>(SIZE_MAX, options.samples);  // the promising ones first: it may be stopped
}

std::unique_ptr<Strategy> make_model(const StrategyOptions& options) {
  return std::make_unique<ByModel>(static_cast<size_t>(options.configs), options.samples);
}

std::unique_ptr<Strategy> make_random(const StrategyOptions& options) {
  return std::make_unique<ByChance>(static_cast<size_t>(options.configs), options.samples, options.seed);
}

}  // namespace rtjit

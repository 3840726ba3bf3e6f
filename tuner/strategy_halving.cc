// Successive elimination: many configs with few samples, then fewer with more.
#include <algorithm>

#include "tuner/settle.h"
#include "tuner/strategies.h"

namespace rtjit {
namespace {

constexpr int kFirstShare = 3;        // of the samples are taken in the first round
constexpr double kHopeless = 1.25;    // of the best time: no second look, however few are left
constexpr double kIndistinct = 1.01;  // of the time of the last one that stays: it stays as well

class Halving : public Strategy {
 public:
  explicit Halving(const StrategyOptions& options)
      : picker_(static_cast<size_t>(options.configs)),
        all_samples_(options.samples),
        samples_((options.samples + kFirstShare - 1) / kFirstShare),
        near_(options.passes > 0 ? 1 + kSettleNear : 1) {}

  Batch next(std::span<const Prospect> prospects) override {
    if (field_.empty()) {
      if (order_.size() != prospects.size()) order_ = by_prediction(prospects);
      if (auto now = picker_.pick(prospects, order_); !now.empty()) return {now, samples_};
      field_ = picker_.picked();
    }
    if (samples_ >= all_samples_) return {};
    samples_ = std::min(all_samples_, 2 * samples_);
    eliminate(prospects);
    return {field_, samples_};
  }

 private:
  // References stay to the end.
  void eliminate(std::span<const Prospect> prospects) {
    std::vector<size_t> standing;
    for (size_t index : field_) {
      if (prospects[index].measured()) standing.push_back(index);
    }
    std::stable_sort(standing.begin(), standing.end(),
                     [&](size_t a, size_t b) { return prospects[a].time_us < prospects[b].time_us; });
    field_.clear();
    if (standing.empty()) return;
    double best = prospects[standing.front()].time_us;
    double last = prospects[standing[(standing.size() - 1) / 2]].time_us;
    double limit = std::min(kHopeless * best, std::max(kIndistinct * last, near_ * best));
    for (size_t index : standing) {
      if (prospects[index].is_reference() || prospects[index].time_us <= limit) field_.push_back(index);
    }
  }

  Picker picker_;
  int all_samples_, samples_;
  double near_;  // of the best time: it stays, so that who wins does not hang on who was dropped here
  std::vector<size_t> order_, field_;
};

}  // namespace

std::unique_ptr<Strategy> make_halving(const StrategyOptions& options) {
  return std::make_unique<Halving>(options);
}

}  // namespace rtjit

#include "tuner/strategy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "tuner/effort.h"
#include "tuner/inputs.h"
#include "tuner/search.h"

namespace rtjit {
namespace {

// Made-up configs: true times, predictions that miss them, samples with noise, and some that are rejected.
class MadeUpBench : public Bench {
 public:
  explicit MadeUpBench(uint64_t seed, double noise = 0.04, size_t count = 60) : random_(seed), noise_(noise) {
    for (size_t i = 0; i < count; ++i) {
      truth_.push_back(10 * std::exp(1.2 * random_.uniform()));
      rejected_.push_back(i % 11 == 7);
      Prospect prospect;
      prospect.predicted_us = i % 13 == 5 ? 0 : truth_.back() * std::exp(0.5 * (random_.uniform() - 0.5));
      prospect.is_default = i == 31;
      prospects.push_back(prospect);
    }
  }

  Status measure(const Batch& batch, std::vector<Prospect>* all) override {
    EXPECT_FALSE(batch.empty());
    EXPECT_GT(batch.samples, 0);
    ++batches;
    for (size_t index : batch.prospects) {
      Prospect& prospect = (*all)[index];
      EXPECT_FALSE(prospect.rejected) << "a rejected config is asked for again";
      EXPECT_LT(prospect.samples, batch.samples) << "what is known is asked for again";
      order.push_back(index);
      if (rejected_[index]) {
        prospect.rejected = true;
        continue;
      }
      samples += batch.samples - prospect.samples;
      double error = noise_ / std::sqrt(batch.samples) * 3.4 * (random_.uniform() - 0.5);
      prospect.time_us = truth_[index] * (1 + error);
      prospect.samples = batch.samples;
    }
    return {};
  }

  // Of the true best, after the search; takes the fastest of the finalists.
  double regret() const {
    double best = 1e9, chosen = 0, fastest = 1e9;
    for (size_t i = 0; i < truth_.size(); ++i) {
      if (!rejected_[i]) best = std::min(best, truth_[i]);
    }
    for (size_t i : finalists(prospects)) {
      if (prospects[i].time_us < fastest) fastest = prospects[i].time_us, chosen = truth_[i];
    }
    return chosen / best;
  }

  std::vector<Prospect> prospects;
  std::vector<size_t> order;
  int batches = 0, samples = 0;

 private:
  Random random_;
  double noise_;
  std::vector<double> truth_;
  std::vector<bool> rejected_;
};

void run(MadeUpBench& bench, const StrategyOptions& options) {
  auto strategy = make_strategy(options);
  ASSERT_TRUE(strategy.ok()) << strategy.error().message;
  Status status = search(**strategy, bench, &bench.prospects);
  ASSERT_TRUE(status.ok()) << status.error().message;
}

TEST(Strategy, NamesAreListed) {
  EXPECT_EQ(make_strategy({.name = "best"}).error().message,
            "there is no strategy 'best'; strategies are exhaustive, model, halving, random");
  EXPECT_EQ(effort_options("most").error().message,
            "there is no effort 'most'; efforts are quick, default, thorough");
  EXPECT_FALSE(make_strategy({.configs = 0}).ok());
  EXPECT_EQ(effort_options("default")->name, "halving");
}

// Who wins must not hang on which of several equals was dropped early.
TEST(Strategy, HalvingDropsNothingThatMayBeSettled) {
  for (int passes : {0, 7}) {
    std::vector<Prospect> prospects(8);
    for (size_t i = 0; i < 8; ++i) prospects[i].predicted_us = 10 + static_cast<double>(i);
    auto strategy = make_strategy({.configs = 8, .samples = 9, .passes = passes});
    ASSERT_TRUE(strategy.ok());
    size_t last = 0;
    for (Batch batch = (*strategy)->next(prospects); !batch.empty(); batch = (*strategy)->next(prospects)) {
      last = batch.prospects.size();
      for (size_t index : batch.prospects) {
        prospects[index].samples = prospects[index].asked = batch.samples;
        prospects[index].time_us = index < 6 ? 100 + 0.7 * static_cast<double>(index) : 105;
      }
    }
    EXPECT_EQ(last, passes > 0 ? 6u : 4u) << passes;
  }
  EXPECT_FALSE(make_strategy({.passes = -1}).ok());
  EXPECT_EQ(effort_options("quick")->passes, 0);
  EXPECT_GT(effort_options("default")->passes, 0);
}

TEST(Strategy, EveryOneMeasuresTheDefaultAndOnlyWhatItMay) {
  for (const std::string& name : strategy_names()) {
    for (uint64_t seed = 1; seed <= 30; ++seed) {
      MadeUpBench bench(seed);
      run(bench, {.name = name, .configs = 8, .samples = 9, .seed = seed});
      EXPECT_TRUE(bench.prospects[31].measured()) << name;
      size_t measured = 0;
      for (const Prospect& prospect : bench.prospects) measured += prospect.measured();
      if (name == "exhaustive") {
        EXPECT_EQ(measured, 55u) << "60 less those that are rejected";
      } else {
        EXPECT_EQ(measured, 9u) << name << ": eight, others in place of rejected ones, and the default";
      }
      for (size_t index : finalists(bench.prospects)) EXPECT_EQ(bench.prospects[index].samples, 9) << name;
    }
  }
}

TEST(Strategy, ExhaustiveWithoutNoiseHasNoRegret) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    MadeUpBench bench(seed, 0);
    run(bench, {.name = "exhaustive", .configs = 1, .samples = 1});
    EXPECT_EQ(bench.regret(), 1);
  }
}

TEST(Strategy, ModelTakesTheBestPredictions) {
  MadeUpBench bench(3);
  run(bench, {.name = "model", .configs = 5, .samples = 2});
  double worst = 0;
  for (size_t index : bench.order) {
    if (index != 31) worst = std::max(worst, bench.prospects[index].predicted_us);
  }
  for (size_t i = 0; i < bench.prospects.size(); ++i) {
    if (std::count(bench.order.begin(), bench.order.end(), i) > 0) continue;
    double predicted = bench.prospects[i].predicted_us;
    EXPECT_TRUE(predicted == 0 || predicted >= worst) << i;
  }
}

// For the samples that `model` spends on 12 configs, halving looks at 18: it finds faster ones.
TEST(Strategy, HalvingIsNoWorseThanTheModelAtTheSameCost) {
  double halving = 0, model = 0;
  int64_t halving_samples = 0, model_samples = 0;
  constexpr int kRuns = 300;
  for (uint64_t seed = 1; seed <= kRuns; ++seed) {
    MadeUpBench a(seed), b(seed);
    run(a, {.name = "halving", .configs = 18, .samples = 9});
    run(b, {.name = "model", .configs = 12, .samples = 9});
    halving += std::log(a.regret());
    model += std::log(b.regret());
    halving_samples += a.samples;
    model_samples += b.samples;
  }
  EXPECT_LE(halving_samples, model_samples);
  EXPECT_LE(halving, model);
  EXPECT_LT(std::exp(halving / kRuns), 1.03);
}

TEST(Strategy, HalvingLooksCloserAtFewer) {
  MadeUpBench bench(5);
  run(bench, {.name = "halving", .configs = 16, .samples = 12});
  std::map<int, int> by_samples;
  for (const Prospect& prospect : bench.prospects) ++by_samples[prospect.samples];
  EXPECT_GT(by_samples[4], 0);
  EXPECT_GT(by_samples[8], 0);
  EXPECT_GT(by_samples[12], 0);
  EXPECT_LT(by_samples[12], 8);
}

TEST(Strategy, RandomFollowsItsSeed) {
  MadeUpBench a(1), b(1), c(1);
  run(a, {.name = "random", .seed = 7});
  run(b, {.name = "random", .seed = 7});
  run(c, {.name = "random", .seed = 8});
  EXPECT_EQ(a.order, b.order);
  EXPECT_NE(a.order, c.order);
}

TEST(Strategy, NothingToMeasureEndsAtOnce) {
  for (const std::string& name : strategy_names()) {
    auto strategy = *make_strategy({.name = name});
    EXPECT_TRUE(strategy->next({}).empty()) << name;
    EXPECT_TRUE(strategy->next({}).empty()) << name;
    std::vector<Prospect> rejected(3);
    for (Prospect& prospect : rejected) prospect.rejected = true;
    EXPECT_TRUE((*make_strategy({.name = name}))->next(rejected).empty()) << name;
  }
}

}  // namespace
}  // namespace rtjit

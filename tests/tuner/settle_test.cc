#include "tuner/settle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "tuner/inputs.h"
#include "tuner/settle_record.h"

namespace rtjit {
namespace {

class SettleTest : public testing::Test {
 protected:
  SettleTest() {
    KeySpec m;
    m.name = "m";
    m.values = {int64_t{1}, int64_t{16}};
    stage_.variants.resize(1);
    stage_.variants[0].name = "mma";
    stage_.variants[0].parameters = {m};
    space_.stage = &stage_;
  }

  // A config with its time as the search knows it. Earlier ones need less shared memory.
  Ranked& add(double time_us) {
    Candidate c;
    c.stage = &stage_;
    c.variant = &stage_.variants[0];
    const auto number = static_cast<int64_t>(space_.candidates.size());
    c.config = Config({{"m", number + 1}});
    c.config_text = c.config.canonical();
    c.facts.smem = 1000 * number;
    space_.candidates.push_back(c);
    Ranked entry;
    entry.candidate = static_cast<int>(number);
    entry.time_us = time_us;
    entry.low_us = 0.99 * time_us;
    entry.high_us = 1.01 * time_us;
    entry.samples = 9;
    entry.knowledge = Knowledge::measured;
    finalists_.push_back(entry);
    return finalists_.back();
  }
  Settle settle(int most_passes = 7) { return Settle(space_, finalists_, rule_, most_passes); }
  int winner(const Settle& settle) {
    const int index = settle.winner();
    return index < 0 ? -1 : settle.ranked()[static_cast<size_t>(index)].candidate;
  }
  // A pass, with times by candidate.
  static void pass(Settle& settle, const std::vector<double>& times_us) {
    std::vector<double> pass;
    for (int candidate : settle.contenders()) pass.push_back(times_us[static_cast<size_t>(candidate)]);
    settle.add(pass);
  }
  // Index -> settled time.
  std::map<int, double> times(const Settle& settle) {
    std::map<int, double> result;
    for (const Ranked& entry : settle.ranked()) result[entry.candidate] = entry.time_us;
    return result;
  }

  TieRule rule_;
  Stage stage_;
  StageSpace space_;
  std::vector<Ranked> finalists_;
};

TEST_F(SettleTest, WhereNothingIsNearThereIsNothingToDo) {
  EXPECT_TRUE(settle().done());
  EXPECT_EQ(settle().winner(), -1);
  add(108.1).is_default = true;
  add(100);
  add(104.1);
  EXPECT_TRUE(settle().done());
  EXPECT_EQ(winner(settle()), 1);
  EXPECT_EQ(settle().ranked().size(), 2u) << "the default is there to be compared with";
  add(103.9);
  EXPECT_FALSE(settle().done());
  EXPECT_TRUE(settle(0).done()) << "not wanted";
}

// As seen on a GPU: a disturbed look at the default config, which is the faster one.
TEST_F(SettleTest, OneBadLookDoesNotTakeTheDefaultsPlace) {
  add(105).is_default = true;
  add(100);
  Settle settle = this->settle();
  ASSERT_THAT(settle.contenders(), testing::ElementsAre(1, 0));
  for (int i = 0; i < 3; ++i) pass(settle, {100.0, 101.3});
  EXPECT_TRUE(settle.done());
  EXPECT_EQ(winner(settle), 0);
}

TEST_F(SettleTest, FourContendersBesidesWhatIsAlwaysCompared) {
  for (double time : {100.0, 100.5, 101.0, 101.5, 102.0, 110.0}) add(time);
  add(103).is_default = true;
  add(103.5).is_incumbent = true;
  add(109).is_incumbent = true;
  EXPECT_THAT(settle().contenders(), testing::ElementsAre(0, 1, 2, 3, 6, 7));
  EXPECT_EQ(settle().ranked().back().candidate, 8);
}

TEST_F(SettleTest, HowFastTheDeviceIsAtTheMomentDoesNotMatter) {
  add(101.5);
  add(100);
  Settle s = settle();
  pass(s, {101.5, 100});
  pass(s, {1.1 * 101.5, 1.1 * 100});
  EXPECT_FALSE(s.done()) << "two may agree by chance";
  pass(s, {0.95 * 101.5, 0.95 * 100});
  EXPECT_TRUE(s.done());
  EXPECT_EQ(winner(s), 1);
  EXPECT_NEAR(times(s)[0], 101.5, 1e-9) << "times stay comparable with those of the search";
  EXPECT_NEAR(times(s)[1], 100, 1e-9);
  EXPECT_TRUE(s.ranked()[0].settled);
  EXPECT_EQ(s.ranked()[0].samples, 9 + 3 * kSettleSamples);
}

TEST_F(SettleTest, AConfigThatMovesByFourPercentIsSettledByItsMedian) {
  add(102);
  add(100);
  Settle s = settle();
  pass(s, {102, 100});
  pass(s, {98, 100});  // on its own, this would make the other one win
  pass(s, {102.2, 100});
  EXPECT_FALSE(s.done());
  pass(s, {101.9, 100});
  EXPECT_FALSE(s.done());
  pass(s, {102, 100});
  EXPECT_TRUE(s.done()) << "four of seven at most have agreed";
  EXPECT_EQ(winner(s), 1);
  EXPECT_NEAR(times(s)[0] / times(s)[1], 1.02, 1e-9);
  EXPECT_THAT(s.times_of(0), testing::ElementsAre(102, 98, 102.2, 101.9, 102));
}

TEST_F(SettleTest, WhatTheSearchSawWrongIsPutRight) {
  add(103);
  add(100);  // it was lucky: at other moments it is the slower one
  Settle s = settle();
  for (int i = 0; i < 3; ++i) pass(s, {100, 103});
  EXPECT_TRUE(s.done());
  EXPECT_EQ(winner(s), 0);
}

TEST_F(SettleTest, WithoutAgreementItEndsAfterTheLastPass) {
  add(101);
  add(100);
  Settle s = settle(5);
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(s.done()) << i;
    pass(s, {i % 2 ? 100.2 : 102, 100});  // within the tie or not, in turns
  }
  EXPECT_TRUE(s.done());
  EXPECT_EQ(winner(s), 1) << "the median of the ratios is 1.02";
}

TEST_F(SettleTest, ATieIsDecidedByTheFixedOrderWhateverTheIntervals) {
  add(100.8);
  add(100);
  Settle s = settle();
  for (int i = 0; i < 3; ++i) pass(s, {100.8, 100});
  EXPECT_EQ(winner(s), 0) << "within 1 % the leaner one";
  finalists_[0].time_us = 101.3;  // the intervals overlap, which ties times of one look and not settled ones
  EXPECT_EQ(choose_winner(space_, finalists_, rule_), 0);
  Settle apart = settle();
  for (int i = 0; i < 3; ++i) pass(apart, {101.3, 100});
  EXPECT_EQ(winner(apart), 1);
}

TEST_F(SettleTest, WhatServesIsKeptUntilSomethingIsClearlyFaster) {
  add(100);
  add(102.7).is_incumbent = true;
  Settle s = settle();
  for (int i = 0; i < 3; ++i) pass(s, {100, 102.7});
  EXPECT_EQ(winner(s), 1);
  Settle clear = settle();
  for (int i = 0; i < 3; ++i) pass(clear, {100, 103.3});
  EXPECT_EQ(winner(clear), 0);
}

TEST_F(SettleTest, NothingSlowerThanTheDefaultWins) {
  Random random(3);
  for (int trial = 0; trial < 200; ++trial) {
    finalists_.clear();
    space_.candidates.clear();
    for (int i = 0; i < 4; ++i) add(100 + 4 * random.uniform());
    finalists_[static_cast<size_t>(random.below(4))].is_default = true;
    finalists_[static_cast<size_t>(random.below(4))].is_incumbent = true;
    Settle s = settle();
    while (!s.done()) {
      std::vector<double> times;
      for (size_t i = 0; i < s.contenders().size(); ++i) times.push_back(100 + 4 * random.uniform());
      s.add(times);
    }
    double of_default = 0;
    for (const Ranked& entry : s.ranked()) of_default = entry.is_default ? entry.time_us : of_default;
    EXPECT_LE(s.ranked()[static_cast<size_t>(s.winner())].time_us, of_default) << trial;
  }
}

TEST_F(SettleTest, WhatFailsIsNoContenderAnyMore) {
  add(100);
  add(102.5);
  add(100.5);
  Settle s = settle();
  pass(s, {100, 102.5, 100.5});
  EXPECT_THAT(s.contenders(), testing::ElementsAre(0, 2, 1));
  s.reject(0);
  EXPECT_THAT(s.contenders(), testing::ElementsAre(2, 1));
  EXPECT_THAT(s.times_of(1), testing::ElementsAre(102.5));
  EXPECT_THAT(s.times_of(2), testing::ElementsAre(100.5));
  s.reject(2);
  EXPECT_TRUE(s.done());
  EXPECT_EQ(winner(s), 1);
  s.reject(1);
  EXPECT_EQ(winner(s), -1);
}

// Five tunes of a device that is as restless as an H200 was: configs that differ by fractions of a percent,
// every look at one off by half a percent, and now and then by three.
TEST_F(SettleTest, FiveTunesAgree) {
  Random random(7);
  auto normal = [&] {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += random.uniform();
    return sum;
  };
  auto look = [&](double truth) {
    double error = 0.005 * normal();
    if (random.uniform() < 0.05) error += random.uniform() < 0.5 ? 0.03 : -0.03;
    return truth * std::exp(error);
  };
  int buckets = 0, alike = 0, alike_without = 0;
  for (; buckets < 200; ++buckets) {
    std::vector<double> truth;
    for (int i = 0; i < 5; ++i) truth.push_back(100 * std::exp(0.06 * random.uniform()));
    int serves = -1, serves_without = -1;  // what the first of six tunes leaves to the others
    std::set<int> winners, winners_without;
    for (int tune = 0; tune < 6; ++tune) {
      finalists_.clear();
      space_.candidates.clear();
      for (double time : truth) add(look(time));
      finalists_[2].is_default = true;
      std::vector<Ranked> without = finalists_;
      if (serves >= 0) finalists_[static_cast<size_t>(serves)].is_incumbent = true;
      if (serves_without >= 0) without[static_cast<size_t>(serves_without)].is_incumbent = true;
      Settle s = settle();
      while (!s.done()) {
        std::vector<double> times;
        for (int candidate : s.contenders()) times.push_back(look(truth[static_cast<size_t>(candidate)]));
        s.add(times);
      }
      if (tune == 0) {
        serves = winner(s);
        serves_without = without[static_cast<size_t>(choose_winner(space_, without, rule_))].candidate;
      } else {
        winners.insert(winner(s));
        winners_without.insert(choose_winner(space_, without, rule_));
      }
    }
    alike += winners.size() == 1;
    alike_without += winners_without.size() == 1;
  }
  EXPECT_GE(alike, 0.93 * buckets);
  EXPECT_LE(alike_without, 0.8 * buckets) << "then there was nothing to settle";
  fmt::print("{} of {} buckets alike, {} without passes\n", alike, buckets, alike_without);
}

TEST(SettleRecord, IsPartOfThePolicy) {
  const std::string policy = "median of 9 rounds; SM clock 1,980 MHz";
  EXPECT_TRUE(settle_record(policy).empty());
  const std::string open = with_settle_record(policy, {true, {}});
  EXPECT_TRUE(settle_record(open).open);
  EXPECT_EQ(open, policy + "; being settled, us by pass:");
  const std::string more = with_settle_record(open, {true, {recorded_us(157.90249), 158}});
  EXPECT_EQ(more, policy + "; being settled, us by pass: 157.902 158.000");
  EXPECT_THAT(settle_record(more).times_us, testing::ElementsAre(157.902, 158));
  EXPECT_EQ(recorded_us(157.90249), 157.902);
  const std::string closed = with_settle_record(more, {false, {1.5}});
  EXPECT_EQ(closed, policy + "; settled, us by pass: 1.500");
  EXPECT_FALSE(settle_record(closed).open);
  EXPECT_EQ(without_settle_record(closed), policy);
  EXPECT_EQ(with_settle_record(closed, {}), policy);
}

}  // namespace
}  // namespace rtjit

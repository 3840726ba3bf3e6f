#include "tuner/ranking.h"

#include <gtest/gtest.h>

namespace rtjit {
namespace {

class RankingTest : public testing::Test {
 protected:
  RankingTest() {
    KeySpec m;
    m.name = "m";
    m.values = {int64_t{64}, int64_t{128}};
    stage_.variants.resize(1);
    stage_.variants[0].name = "mma";
    stage_.variants[0].parameters = {m};
    space_.stage = &stage_;
  }

  // Adds a candidate and its entry.
  Ranked& add(int64_t m, double time_us, int64_t smem = 1000, int registers = 64) {
    Candidate c;
    c.stage = &stage_;
    c.variant = &stage_.variants[0];
    c.config = Config({{"m", m}});
    c.config_text = c.config.canonical();
    c.facts.smem = smem;
    c.compiled_known = true;
    c.compiled.registers = registers;
    space_.candidates.push_back(c);
    Ranked entry;
    entry.candidate = static_cast<int>(space_.candidates.size()) - 1;
    entry.time_us = time_us;
    entry.knowledge = time_us > 0 ? Knowledge::predicted : Knowledge::none;
    ranked_.push_back(entry);
    return ranked_.back();
  }
  int choose() { return choose_winner(space_, ranked_, rule_); }

  std::string explain(int winner) { return explain_choice(ranked_, winner, rule_, 0); }

  TieRule rule_;
  Stage stage_;
  StageSpace space_;
  std::vector<Ranked> ranked_;
};

TEST_F(RankingTest, FastestWins) {
  EXPECT_EQ(choose(), -1);
  add(64, 20).is_default = true;
  add(128, 10);
  EXPECT_EQ(choose(), 1);
  EXPECT_EQ(explain(1), "fastest of 2 predicted; 100 % ahead of the default");
}

TEST_F(RankingTest, TiesGoToTheDefaultThenLessSmemThenFewerRegistersThenSmallerTiles) {
  add(64, 10.00, 1000, 64);
  add(64, 10.05, 900, 80);
  EXPECT_EQ(choose(), 1);
  add(64, 10.05, 900, 64);
  EXPECT_EQ(choose(), 2);
  add(128, 10.02, 900, 64);
  EXPECT_EQ(choose(), 2);
  add(128, 10.09, 5000, 255).is_default = true;
  EXPECT_EQ(choose(), 4);
  EXPECT_EQ(explain(4), "fastest of 5 predicted; 5 tied, the default goes first");
}

TEST_F(RankingTest, BeyondOnePercentIsNoTie) {
  add(64, 10.2, 100, 16).is_default = true;
  add(128, 10.0);
  EXPECT_EQ(choose(), 1);
}

TEST_F(RankingTest, OverlappingIntervalsTieWithinThreePercent) {
  Ranked& fast = add(64, 10.0);
  fast.low_us = 9.8, fast.high_us = 10.3, fast.samples = 9;
  Ranked& usual = add(128, 10.25);
  usual.low_us = 10.2, usual.high_us = 10.4, usual.samples = 9, usual.is_default = true;
  EXPECT_EQ(choose(), 1);
  ranked_[1].low_us = 10.31;
  EXPECT_EQ(choose(), 0);
}

TEST_F(RankingTest, WhatServesSoFarIsKeptUntilSomethingIsClearlyFaster) {
  add(64, 10.0, 100, 16);
  add(128, 10.19, 5000, 255).is_incumbent = true;
  add(256, 10.5).is_default = true;
  EXPECT_EQ(choose(), 1) << "beyond a tie, and with the worst of everything";
  EXPECT_EQ(explain(1), "1.9 % behind the fastest of 3 predicted, kept; 3 % ahead of the default");
  ranked_[1].time_us = 10.31;
  EXPECT_EQ(choose(), 0);
  ranked_[1].time_us = 9.9;
  EXPECT_EQ(choose(), 1);
  EXPECT_EQ(explain(1), "fastest of 3 predicted, kept; 6 % ahead of the default");
}

TEST_F(RankingTest, TheDefaultGoesBeforeWhatServesWhereItIsFaster) {
  add(64, 10.0);
  add(128, 10.15).is_incumbent = true;
  add(256, 10.14).is_default = true;
  EXPECT_EQ(choose(), 2);
  EXPECT_EQ(explain(2),
            "1.4 % behind the fastest of 3 predicted, faster than what served; it is the default");
  ranked_[2].time_us = 10.16;
  EXPECT_EQ(choose(), 1) << "no change for a default that is slower";
  ranked_[1].time_us = 10.31;
  EXPECT_EQ(choose(), 0) << "what served is more than 3 % behind the fastest";
  ranked_[1].time_us = 0;
  EXPECT_EQ(choose(), 0) << "it failed, or was not measured";
  ranked_[2].time_us = 9.0;
  ranked_[1].time_us = 10.05;
  EXPECT_EQ(choose(), 2);
}

TEST_F(RankingTest, ADefaultThatServesIsKept) {
  add(64, 10.0);
  Ranked& both = add(128, 10.18);
  both.is_incumbent = both.is_default = true;
  EXPECT_EQ(choose(), 1);
  EXPECT_EQ(explain(1), "1.8 % behind the fastest of 2 predicted, kept; it is the default");
  ranked_[1].time_us = 10.32;
  EXPECT_EQ(choose(), 0);
}

// Once chosen in a tie, a config stays chosen while times move by what they move from run to run.
TEST_F(RankingTest, NoiseDoesNotChangeTheWinnerTwice) {
  add(64, 10.00, 1000).is_default = false;
  add(128, 10.09, 100);
  EXPECT_EQ(choose(), 1) << "a tie: the leaner one";
  ranked_[1].is_incumbent = true;
  for (double time : {10.05, 10.11, 10.17, 10.02}) {
    ranked_[1].time_us = time;
    EXPECT_EQ(choose(), 1) << time;
  }
}

TEST_F(RankingTest, UnknownTimesNeverBeatKnownOnes) {
  add(64, 0).is_default = true;
  EXPECT_EQ(choose(), 0);
  EXPECT_EQ(explain(0), "the default config; no time is known");
  add(128, 500);
  EXPECT_EQ(choose(), 1);
}

}  // namespace
}  // namespace rtjit

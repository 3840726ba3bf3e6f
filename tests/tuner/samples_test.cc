#include "tuner/samples.h"

#include <gmock/gmock.h>

namespace rtjit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<Sample> times(std::initializer_list<double> all) {
  std::vector<Sample> samples;
  for (double us : all) samples.push_back({us, 0, false});
  return samples;
}

TEST(Samples, MedianAndInterval) {
  const Summary few = summarize(times({3, 1, 2}), {});
  EXPECT_EQ(few.median_us, 2);
  EXPECT_EQ(few.low_us, 1);
  EXPECT_EQ(few.high_us, 3);
  EXPECT_EQ(summarize(times({4, 1, 2, 3}), {}).median_us, 2.5);
  std::vector<Sample> many;
  for (int i = 1; i <= 101; ++i) many.push_back({static_cast<double>(i), 0, false});
  const Summary summary = summarize(many, {});
  EXPECT_EQ(summary.median_us, 51);
  EXPECT_EQ(summary.low_us, 42) << "order statistics about sqrt(n) from the middle";
  EXPECT_EQ(summary.high_us, 60);
  EXPECT_EQ(summary.samples, 101);
}

TEST(Samples, DisturbedOnesAreDroppedDownToTheFloor) {
  SamplingPolicy policy;
  policy.floor = 3;
  std::vector<Sample> samples = {{10, 1980}, {10, 1980}, {15, 1200}, {10, 1970}, {30, 1980, true}};
  Summary summary = summarize(samples, policy);
  EXPECT_EQ(summary.samples, 3);
  EXPECT_EQ(summary.dropped, 2);
  EXPECT_EQ(summary.high_us, 10);
  EXPECT_EQ(summary.sm_clock_mhz, 1980);
  policy.floor = 4;  // then the less disturbed one has to stay
  summary = summarize(samples, policy);
  EXPECT_EQ(summary.samples, 4);
  EXPECT_EQ(summary.high_us, 15);
  // A kernel that runs at the power cap all the time is not disturbed by it.
  samples = {{10, 1400}, {10, 1410}, {10, 1390}, {11, 1400}};
  EXPECT_EQ(summarize(samples, policy).dropped, 0);
}

TEST(SampleBook, StopsWhenTheTimesAreKnown) {
  SamplingPolicy policy;
  policy.rounds = 3;
  policy.max_rounds = 9;
  SampleBook book(2, policy);
  for (int round = 1; round <= 2; ++round) {
    book.add(0, {100});
    book.add(1, {110});
    EXPECT_THAT(book.close_round(), IsEmpty());
  }
  book.add(0, {100});
  book.add(1, {110});
  EXPECT_THAT(book.close_round(), ElementsAre(0u, 1u));
  EXPECT_TRUE(book.done());
  EXPECT_EQ(book.summary(0).samples, 3);
}

TEST(SampleBook, NoisyContendersGetMoreSamplesAndOthersDoNot) {
  SamplingPolicy policy;
  policy.rounds = 3;
  policy.max_rounds = 6;
  SampleBook book(3, policy);
  int rounds = 0;
  std::vector<size_t> closed_early;
  while (!book.done() && rounds < 20) {
    ++rounds;
    book.add(0, {rounds % 2 ? 100.0 : 104.0});
    if (book.needs_more(1)) book.add(1, {rounds % 2 ? 101.0 : 103.0});
    if (book.needs_more(2)) book.add(2, {rounds % 2 ? 120.0 : 124.0});
    const auto closed = book.close_round();
    if (rounds == 3) closed_early = closed;
  }
  EXPECT_THAT(closed_early, ElementsAre(2u)) << "its interval lies above the fastest one's";
  EXPECT_EQ(rounds, 6);
  EXPECT_EQ(book.summary(0).samples, 6);
  EXPECT_EQ(book.summary(2).samples, 3);
}

TEST(SampleBook, SlowOnesLeaveEarlyAndRejectedOnesDoNotCount) {
  SamplingPolicy policy;
  policy.rounds = 5;
  SampleBook book(3, policy);
  book.add(2, {1});
  book.reject(2);  // it failed: its time says nothing about the others
  for (int round = 1; round <= 3; ++round) {
    book.add(0, {100});
    book.add(1, {140});
    const auto closed = book.close_round();
    if (round == 3) {
      EXPECT_THAT(closed, ElementsAre(1u));
    }
  }
  EXPECT_TRUE(book.needs_more(0));
  EXPECT_FALSE(book.needs_more(2));
}

TEST(SamplingPolicy, SaysWhatItDoes) {
  EXPECT_THAT(SamplingPolicy().text(), HasSubstr("median of 9 to 27 rounds"));
  EXPECT_THAT(SamplingPolicy().text(), HasSubstr("0.5 %"));
  SamplingPolicy fixed;
  fixed.rounds = fixed.max_rounds = 3;
  EXPECT_THAT(fixed.text(), HasSubstr("median of 3 rounds"));
  EXPECT_THAT(fixed.text(), testing::Not(HasSubstr("%")));
}

}  // namespace
}  // namespace rtjit

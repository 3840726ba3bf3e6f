// The vector clocks by themselves: more participants than the short clocks hold, and clocks that outgrow a
// stamp.
#include "emulator/race_detector.h"

#include <gtest/gtest.h>

namespace rtjit::emu {
namespace {

TEST(RaceDetector, ParticipantsOfACluster) {
  RaceDetector races;
  races.start(32, 16, 4096);
  EXPECT_EQ(races.participant(15, 31), 15u * 33 + 31);
  uint32_t last = races.participant(15, 31), first = races.participant(0, 0);
  EXPECT_EQ(races.rank_of(last), 15u);
  EXPECT_EQ(races.warp_of(last), 31u);
  EXPECT_TRUE(races.is_agent(races.agent(last)));
  EXPECT_FALSE(races.is_agent(last));
  EXPECT_FALSE(races.write(last, 64, 16, 7).found());
  RaceDetector::Conflict c = races.read(first, 72, 4, 9);
  ASSERT_TRUE(c.found());
  EXPECT_TRUE(c.other_wrote);
  EXPECT_EQ(c.other_who, last);
  EXPECT_EQ(c.other_line, 7);
  Clock object;
  races.release(last, &object);
  races.acquire(first, object);
  EXPECT_FALSE(races.read(first, 72, 4, 9).found());
  EXPECT_TRUE(races.write(last, 72, 4, 10).found());  // what was read is not known to be read
}

TEST(RaceDetector, AgentsOfSmallBlocksOnly) {
  RaceDetector races;
  races.start(32, 1, 64);
  EXPECT_EQ(races.agent(5), 5u);
  EXPECT_FALSE(races.is_agent(31));
  races.start(4, 1, 64);
  EXPECT_TRUE(races.is_agent(races.agent(2)));
  EXPECT_FALSE(races.write(races.agent(2), 0, 4, 1).found());
  EXPECT_TRUE(races.write(2, 0, 4, 2).found());  // the issuer does not know when its operation is done
}

// Stamps have room for 2^19 steps of a clock here. Beyond them earlier accesses are forgotten, and what
// follows is judged as before.
TEST(RaceDetector, ClocksOutgrowStamps) {
  RaceDetector races;
  races.start(31, 16, 256);
  uint32_t a = races.participant(0, 0), b = races.participant(9, 3);
  Clock object;
  for (int i = 0; i < 600000; ++i) races.release(a, &object);
  EXPECT_FALSE(races.write(a, 0, 4, 1).found());
  EXPECT_TRUE(races.read(b, 0, 4, 2).found());
  races.release(a, &object);
  EXPECT_TRUE(races.read(b, 0, 4, 2).found());
  races.acquire(b, object);
  EXPECT_FALSE(races.read(b, 0, 4, 2).found());
  EXPECT_TRUE(races.write(a, 0, 4, 3).found());
  Clock back;
  races.release(b, &back);
  races.acquire(a, back);
  EXPECT_FALSE(races.write(a, 0, 4, 3).found());
}

// Beyond the 32 participants of most launches: fences are handed on with what is known, and copies that
// arrived are known to who acquires their mbarrier.
TEST(RaceDetector, ProxiesOfACluster) {
  using Kind = RaceDetector::Kind;
  RaceDetector races;
  races.start(8, 16, 4096);
  uint32_t a = races.participant(15, 7), b = races.participant(12, 0);
  EXPECT_FALSE(races.write(a, 0, 16, 1).found());
  Clock object;
  races.release(a, &object);
  races.acquire(b, object);
  EXPECT_EQ(races.read_async(b, 0, 16, 2).kind, Kind::proxy);
  races.fence_async_proxy(b);
  EXPECT_FALSE(races.read_async(b, 0, 16, 3).found());
  EXPECT_FALSE(races.write(a, 64, 16, 4).found());
  races.fence_async_proxy(a);
  races.release(a, &object);
  races.acquire(b, object);
  EXPECT_FALSE(races.read_async(b, 64, 16, 5).found());

  uint32_t time = races.clock_of(a);
  races.arrived(a, time, 128, 16, 6, true);
  EXPECT_EQ(races.read(b, 128, 16, 7).kind, Kind::warps);
  Clock mbarrier;
  RaceDetector::complete(&mbarrier, a, time);
  races.acquire(b, mbarrier);
  EXPECT_FALSE(races.read(b, 128, 16, 8).found());
  EXPECT_FALSE(races.read_async(b, 128, 16, 9).found());
}

// A copy that began before stamps were counted anew counts as ordered.
TEST(RaceDetector, CopiesOutlastStamps) {
  RaceDetector races;
  races.start(31, 16, 256);
  uint32_t a = races.participant(3, 0), b = races.participant(9, 3), time = races.clock_of(a);
  for (int i = 0; i < 600000; ++i) races.order_lanes(a);
  races.arrived(a, time, 0, 16, 1, true);
  EXPECT_FALSE(races.read(b, 0, 16, 2).found());
  races.arrived(a, races.clock_of(a), 0, 16, 3, true);
  EXPECT_TRUE(races.read(b, 0, 16, 4).found());
}

}  // namespace
}  // namespace rtjit::emu

#include "cache/stored_problem.h"

#include <gmock/gmock.h>

#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class StoredProblemTest : public testing::Test {
 protected:
  static ConfigName name_of(const TuningRow& row) { return {row.key.stage, row.key.variant, row.key.config}; }
  StoredProblem stored(const std::string& problem = sample_row(1).key.problem) {
    const RowKey key = sample_row(1).key;
    return StoredProblem(*store_, key.template_name, key.template_hash, problem, key.target);
  }
  WatchedStore store_{":memory:"};
};

TEST_F(StoredProblemTest, GivesEachConfigItsRowsAndNoOther) {
  TuningRow other_bucket = sample_row(1), no_config = sample_row(2), other_problem = sample_row(1);
  other_bucket.key.bucket = 4096;
  no_config.key.config = "";
  other_problem.key.problem = "hidden=1";
  ASSERT_TRUE(
      store_->put_rows({sample_row(1), sample_row(2), sample_row(4), other_bucket, no_config, other_problem})
          .ok());
  WinnerRow winner = sample_winner(64);
  winner.config = sample_row(2).key.config;
  ASSERT_TRUE(store_->put_winner(winner).ok());
  for (const bool winners_first : {false, true}) {
    StoredProblem problem = stored();
    if (winners_first) {
      EXPECT_THAT(**problem.winners(), SizeIs(1));
    }
    EXPECT_THAT(**problem.rows(name_of(sample_row(1))), SizeIs(2));
    EXPECT_THAT(**problem.rows(name_of(sample_row(2))), SizeIs(1));
    EXPECT_THAT(**problem.rows(name_of(no_config)), SizeIs(1)) << "an empty config is one, not any";
    EXPECT_THAT(**problem.rows({"gemm1", "mma", "block_m=3"}), IsEmpty());
  }
}

TEST_F(StoredProblemTest, AnEmptyProblemIsOneAndNotAny) {
  ASSERT_TRUE(store_->put_row(sample_row(1)).ok());
  ASSERT_TRUE(store_->put_winner(sample_winner(64)).ok());
  StoredProblem problem = stored("");
  EXPECT_THAT(**problem.winners(), IsEmpty());
  EXPECT_THAT(**problem.rows(name_of(sample_row(1))), IsEmpty());
}

TEST_F(StoredProblemTest, StaysAsItWasUntilItForgets) {
  StoredProblem problem = stored();
  EXPECT_THAT(**problem.winners(), IsEmpty());
  EXPECT_THAT(**problem.rows(name_of(sample_row(1))), IsEmpty());
  ASSERT_TRUE(store_->put_row(sample_row(1)).ok());
  ASSERT_TRUE(store_->put_winner(sample_winner(64)).ok());
  EXPECT_THAT(**problem.winners(), IsEmpty());
  EXPECT_THAT(**problem.rows(name_of(sample_row(1))), IsEmpty());
  problem.forget();
  EXPECT_THAT(**problem.winners(), SizeIs(1));
  EXPECT_THAT(**problem.rows(name_of(sample_row(1))), SizeIs(1));
}

}  // namespace
}  // namespace rtjit

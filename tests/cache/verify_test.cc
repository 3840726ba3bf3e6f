#include "cache/verify.h"

#include <gmock/gmock.h>

#include "cache/database.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Verify : public testing::Test {
 protected:
  Verify() {
    WatchedStore store(path_);
    EXPECT_TRUE(store->put_rows({sample_row(1), sample_row(2), sample_row(3)}).ok());
    EXPECT_TRUE(store->put_winner(sample_winner(64)).ok());
    EXPECT_TRUE(store->put_binary(sample_binary("key-1"), "sm_90a", "gemm1").ok());
    EXPECT_TRUE(store->put_binary(sample_binary("key-2"), "sm_90a", "gemm1").ok());
  }

  void change(const std::string& sql) {
    auto database = Database::open(path_, {});
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE((*database)->execute(sql).ok());
  }

  VerifyReport report() {
    auto result = verify_database(path_);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return result.ok() ? *result : VerifyReport{};
  }

  TempFolder folder_;
  std::string path_ = folder_.file("cache.db");
};

TEST_F(Verify, AWholeFileIsCountedAndGood) {
  const VerifyReport found = report();
  EXPECT_TRUE(found.ok()) << found.findings.front();
  EXPECT_EQ(found.rows, 3);
  EXPECT_EQ(found.winners, 1);
  EXPECT_EQ(found.binaries, 2);
}

TEST_F(Verify, NamesEachBadRowAndBinary) {
  change("UPDATE tuning SET time_us=1 WHERE config='block_m=2,block_n=128'");
  change("UPDATE winners SET why='bribed'");
  change("UPDATE binaries SET target='sm_80' WHERE key='key-2'");
  const VerifyReport found = report();
  EXPECT_THAT(found.findings, ElementsAre(AllOf(HasSubstr("table tuning"), HasSubstr("moe_mxfp4 gemm1"),
                                                HasSubstr("block_m=2,block_n=128")),
                                          HasSubstr("table winners"), HasSubstr("binary key-2 (gemm1)")));
  EXPECT_EQ(found.bad_rows, 1);
  EXPECT_EQ(found.bad_winners, 1);
  EXPECT_EQ(found.bad_binaries, 1);
  EXPECT_EQ(found.rows, 3);
  EXPECT_EQ(found.binaries, 2);
}

TEST_F(Verify, ADamagedFileIsAFindingAndStaysAsItIs) {
  std::string bytes = read_file(path_);
  for (size_t at = 4096; at < bytes.size(); at += 4096) bytes.replace(at, 64, std::string(64, '\xA5'));
  write_file(path_, bytes);
  EXPECT_FALSE(report().ok());
  EXPECT_EQ(read_file(path_), bytes);
  EXPECT_EQ(count_set_aside(folder_.path()), 0);
}

TEST_F(Verify, WhatIsNoDatabaseIsAFindingOrAnError) {
  EXPECT_EQ(verify_database(folder_.file("none.db")).error().code, ErrorCode::not_found);
  write_file(path_, std::string(8192, 'x'));
  EXPECT_FALSE(report().ok());
  const std::string other = folder_.file("other.db");
  auto database = Database::open(other, {});
  ASSERT_TRUE((*database)->execute("CREATE TABLE songs (name TEXT)").ok());
  EXPECT_EQ(verify_database(other).error().code, ErrorCode::unsupported);
}

}  // namespace
}  // namespace rtjit

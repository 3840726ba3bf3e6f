#include "cache/lookup.h"

#include <gmock/gmock.h>

#include "cache/sku.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

std::string sku(int sm_count) { return format_sku({"sm_90a", sm_count, 232448, 52428800, 6144, 3201}); }

class Lookup : public testing::Test {
 protected:
  void win(const std::string& config, int64_t bucket, Knowledge knowledge, const std::string& on,
           const std::string& hash = "hash-1") {
    WinnerRow winner = sample_winner(bucket);
    winner.config = config;
    winner.knowledge = knowledge;
    winner.sku = on;
    winner.template_hash = hash;
    ASSERT_TRUE(store_->put_winner(winner).ok());
  }

  std::optional<Found> look(int64_t bucket, const std::string& on) {
    LookupRequest request{"moe_mxfp4", "hash-1", sample_winner(1).problem, "gemm1", bucket, "sm_90a", on};
    Result<std::optional<Found>> found = lookup_winner(*store_, request);
    EXPECT_TRUE(found.ok());
    return *found;
  }

  WatchedStore store_{":memory:"};
};

TEST(Sku, IsReadBackAsWritten) {
  const SkuFacts facts{"sm_90a", 132, 232448, 52428800, 6144, 3201};
  EXPECT_EQ(format_sku(facts), "sm_90a,sm=132,smem=232448,l2=52428800,bus=6144,mclk=3201");
  EXPECT_EQ(parse_sku(format_sku(facts)), facts);
  for (const char* other :
       {"", "sm_90a", "sm_90a,sm=", "sm_90a,sm=x", "sm_90a,sm=0", "banana,sm=3", "sm_90a,132"}) {
    EXPECT_FALSE(parse_sku(other).has_value()) << other;
  }
}

TEST_F(Lookup, FindsNothingInAnEmptyStore) { EXPECT_FALSE(look(64, sku(132)).has_value()); }

TEST_F(Lookup, PrefersWhatSaysMoreAboutThisDevice) {
  win("predicted", 64, Knowledge::predicted, "");
  EXPECT_EQ(look(64, sku(132))->winner.config, "predicted");
  EXPECT_EQ(look(64, sku(132))->provenance, Provenance::predicted);
  EXPECT_EQ(look(64, sku(132))->sentence, "predicted for sm_90a, not measured");
  win("far away", 64, Knowledge::measured, sku(78));
  win("nearer", 64, Knowledge::measured, sku(114));
  EXPECT_EQ(look(64, sku(132))->winner.config, "nearer");
  EXPECT_EQ(look(64, sku(132))->provenance, Provenance::measured_nearby);
  EXPECT_EQ(look(64, sku(132))->sentence, "measured on another sm_90a device (114 SMs); this device has 132");
  win("here", 64, Knowledge::measured, sku(132));
  EXPECT_EQ(look(64, sku(132))->winner.config, "here");
  EXPECT_EQ(look(64, sku(132))->provenance, Provenance::measured_here);
  EXPECT_EQ(look(64, sku(132))->sentence, "measured on this device model");
}

TEST_F(Lookup, NamesTheDeviceThatMeasured) {
  TuningRow row = sample_row(1);
  row.key.config = "nearby";
  row.key.bucket = 64;
  row.key.sku = sku(132);
  ASSERT_TRUE(store_->put_row(row).ok());
  win("nearby", 64, Knowledge::measured, sku(132));
  const auto found = look(64, sku(114));
  EXPECT_EQ(found->sentence, "measured on NVIDIA H200 (132 SMs); this device has 114");
  ASSERT_TRUE(found->row.has_value());
  EXPECT_EQ(found->row->registers, 168);
  EXPECT_EQ(look(64, "")->sentence, "measured on NVIDIA H200 (132 SMs)") << "without a device";
}

TEST_F(Lookup, ANeighbouringBucketServesBeforeLesserKnowledge) {
  win("predicted", 64, Knowledge::predicted, "");
  win("half", 32, Knowledge::measured, sku(132));
  const auto found = look(64, sku(132));
  EXPECT_EQ(found->winner.config, "half");
  EXPECT_THAT(found->sentence, HasSubstr("for bucket 32, as none is known for bucket 64"));
}

TEST_F(Lookup, AFarBucketServesOnlyWhenNothingElseDoes) {
  win("small", 1, Knowledge::measured, sku(132));
  win("middle", 256, Knowledge::predicted, "");
  EXPECT_EQ(look(8192, sku(132))->winner.config, "middle");
  win("predicted", 8192, Knowledge::predicted, "");
  EXPECT_EQ(look(8192, sku(132))->winner.config, "predicted");
}

TEST_F(Lookup, NeverUsesAnotherTemplateHashTargetOrProblem) {
  win("stale", 64, Knowledge::measured, sku(132), "hash-0");
  WinnerRow other = sample_winner(64);
  other.problem = "hidden=1";
  ASSERT_TRUE(store_->put_winner(other).ok());
  other = sample_winner(64);
  other.target = "sm_80";
  ASSERT_TRUE(store_->put_winner(other).ok());
  EXPECT_FALSE(look(64, sku(132)).has_value());
  EXPECT_FALSE(lookup_winner(*store_, {"moe_mxfp4", "", "", "gemm1", 64, "sm_90a", ""}).ok());
}

TEST_F(Lookup, PassesOverAConfigThatIsKnownToFail) {
  const TempFolder folder;
  StoreOptions options{.path = folder.file("user.db"), .read_only = {folder.file("pack.db")}};
  {
    WatchedStore pack(folder.file("pack.db"));
    WinnerRow winner = sample_winner(64);
    winner.sku = sku(132);
    ASSERT_TRUE(pack->put_winner(winner).ok());
    winner.config = "second";
    winner.bucket = 32;
    ASSERT_TRUE(pack->put_winner(winner).ok());
  }
  WatchedStore store(options);
  const LookupRequest request{"moe_mxfp4", "hash-1", sample_winner(1).problem, "gemm1", 64,
                              "sm_90a",    sku(132)};
  EXPECT_EQ((*lookup_winner(*store, request))->winner.config, sample_winner(64).config);
  TuningRow row = sample_row(1);
  row.key.config = sample_winner(64).config;
  row.key.bucket = 64;
  row.key.sku = sku(132);
  row.verdict = Verdict::wrong;
  ASSERT_TRUE(store->put_row(row).ok());
  EXPECT_EQ((*lookup_winner(*store, request))->winner.config, "second");
}

}  // namespace
}  // namespace rtjit

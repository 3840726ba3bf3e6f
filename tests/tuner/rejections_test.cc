#include "tuner/rejections.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtjit {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Reasons, AreSplitOutsideOfParentheses) {
  EXPECT_THAT(split_reasons("constraint: small tiles (block_m = 8; required: block_m > 8); smem: needs 9 B"),
              ElementsAre("constraint: small tiles (block_m = 8; required: block_m > 8)", "smem: needs 9 B"));
  EXPECT_THAT(split_reasons("spill: 812 B"), ElementsAre("spill: 812 B"));
  EXPECT_THAT(split_reasons(""), IsEmpty());
}

TEST(Reasons, OfAKindDifferInNumbersAndParentheses) {
  EXPECT_EQ(reason_kind("smem: needs 139,264 B, sm_120a allows 101,376 B per block"),
            reason_kind("smem: needs 1 B, sm_120a allows 101,376 B per block"));
  EXPECT_EQ(reason_kind("constraint: small tiles (block_m = 8; required: f(block_m) > 8)"),
            "constraint: small tiles");
  EXPECT_NE(reason_kind("constraint: small tiles (block_m = 8)"),
            reason_kind("constraint: large tiles (block_m = 8)"));
  EXPECT_NE(reason_kind("feature: tma.tile.scatter4 is not supported by sm_121a"),
            reason_kind("feature: tma.tile.scatter8 is not supported by sm_121a"));
  EXPECT_EQ(reason_kind("registers: 288 threads x 255 = 73,440 > 65,536"),
            "registers: # threads x # = # > #");
}

TEST(Reasons, AreSharedToTheLetter) {
  EXPECT_EQ(shared_reason({"feature: a; constraint: b (x = 1)", "constraint: b (x = 1)",
                           "constraint: c (y = 2); constraint: b (x = 1)"}),
            "constraint: b (x = 1)");
  EXPECT_EQ(shared_reason({"constraint: b (x = 1)", "constraint: b (x = 2)"}), "");
  EXPECT_EQ(shared_reason({"constraint: b", ""}), "");
  EXPECT_EQ(shared_reason({}), "");
}

ExplainEntry rejected(const char* variant, const char* config, Verdict verdict, std::string reason) {
  ExplainEntry entry;
  entry.stage = "gemm1";
  entry.variant = variant;
  entry.config = config;
  entry.verdict = verdict;
  entry.reason = std::move(reason);
  entry.smem_limit = 101376;
  entry.registers_limit = 224;
  return entry;
}

ExplainEntry over_smem(const char* config, int64_t bytes, const char* more = "") {
  ExplainEntry entry =
      rejected("mma", config, Verdict::smem,
               fmt::format("smem: needs {} B, sm_120a allows 101376 B per block{}", bytes, more));
  entry.smem_bytes = bytes;
  return entry;
}

TEST(Rejections, AreCountedByReasonWithTheOneThatIsNearestToFitting) {
  ExplainEntry registers = rejected("mma", "r", Verdict::registers, "registers: 288 threads x 230 > 65,536");
  registers.registers = 230;  // 3 % over the limit; the nearest smem is 1 % over it
  ExplainEntry fine = rejected("mma", "ok", Verdict::ok, "");
  const std::vector<ExplainEntry> entries = {
      rejected("mma", "f", Verdict::feature, "feature: tma.tile.scatter4 is not supported by sm_120a"),
      rejected("mma", "c1", Verdict::constraint, "constraint: small tiles (block_m = 8); smem: needs 7 B"),
      over_smem("s1", 139264),
      rejected("mma", "c2", Verdict::constraint, "constraint: small tiles (block_m = 16)"),
      over_smem("s2", 102400),
      over_smem("s3", 101377, "; registers: about 300 per thread, the limit is 255"),
      registers,
      rejected("mma", "w", Verdict::wrong, "wrong: out row 3 must be all zeros"),
      fine,
      rejected("wgmma", "o", Verdict::constraint, "constraint: small tiles (block_m = 8)"),
  };
  const std::vector<Rejection> rejections = group_rejections(entries);
  std::vector<std::string> seen;
  for (const Rejection& r : rejections) {
    EXPECT_EQ(r.stage, "gemm1");
    EXPECT_EQ(r.verdict, r.nearest->verdict);
    seen.push_back(fmt::format("{} {} {}", r.variant, r.configs, r.nearest->config));
  }
  EXPECT_THAT(seen, ElementsAre("mma 1 w", "mma 3 s2", "mma 1 r", "mma 2 c2", "mma 1 f", "wgmma 1 o"));
  EXPECT_EQ(rejections[1].nearest->smem_left(), -1024);
  EXPECT_EQ(rejections[2].nearest->registers_left(), -6);
}

}  // namespace
}  // namespace rtjit

#include "tuner/problem_scope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tuner/scale_add.h"

namespace rtjit {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class ScopeTest : public testing::Test {
 protected:
  ScopeTest() { request_.template_name = "scale_add"; }
  Result<ProblemScope> resolve(const std::optional<DeviceInfo>& device = std::nullopt) {
    return resolve_scope(*registry_, request_, device);
  }
  std::string message(const std::optional<DeviceInfo>& device = std::nullopt) {
    auto scope = resolve(device);
    return scope.ok() ? "" : scope.error().message;
  }

  std::shared_ptr<const TemplateRegistry> registry_ = test::scale_add_registry();
  ScopeRequest request_;
};

TEST_F(ScopeTest, AbsentTargetAndAllBuckets) {
  request_.target = "sm_120a";
  request_.problem = "a=2.5";
  auto scope = resolve();
  ASSERT_TRUE(scope.ok()) << scope.error().message;
  EXPECT_EQ(scope->target.name(), "sm_120a");
  EXPECT_EQ(scope->problem.canonical(), "a=2.5");
  EXPECT_FALSE(scope->device.has_value());
  EXPECT_EQ(scope->sku, "");
  EXPECT_THAT(scope->buckets, ElementsAre(1024, 16384, 262144, 4194304));
}

TEST_F(ScopeTest, TheDevicePresentIsUsed) {
  DeviceInfo device = test::fake_device_info("sm_90a");
  auto scope = resolve(device);
  ASSERT_TRUE(scope.ok());
  EXPECT_EQ(scope->target.name(), "sm_90a");
  ASSERT_TRUE(scope->device.has_value());
  EXPECT_EQ(scope->sku, device.sku_fingerprint());
  EXPECT_EQ(scope->facts.sm_count, 4);
  request_.target = "sm_90a";
  EXPECT_TRUE(resolve(device)->device.has_value());
  request_.target = "sm_80";
  EXPECT_FALSE(resolve(device)->device.has_value());
}

TEST_F(ScopeTest, TokensBecomeBuckets) {
  request_.target = "sm_90a";
  request_.tokens = "20000, 7,9,1024,5000000";
  auto scope = resolve();
  ASSERT_TRUE(scope.ok()) << scope.error().message;
  EXPECT_THAT(scope->tokens, ElementsAre(7, 9, 1024, 20000, 5000000));
  EXPECT_THAT(scope->buckets, ElementsAre(1024, 262144, 4194304));
}

TEST_F(ScopeTest, Filter) {
  request_.target = "sm_90a";
  request_.config = "variant=unrolled,items=4";
  auto scope = resolve();
  ASSERT_TRUE(scope.ok()) << scope.error().message;
  Config four({{"block", int64_t{64}}, {"items", int64_t{4}}}),
      two({{"block", int64_t{64}}, {"items", int64_t{2}}});
  EXPECT_TRUE(scope->filter.matches("add", "unrolled", four));
  EXPECT_FALSE(scope->filter.matches("add", "unrolled", two));
  EXPECT_FALSE(scope->filter.matches("add", "reference", Config()));
  EXPECT_TRUE(ConfigFilter().matches("add", "reference", Config()));
}

TEST_F(ScopeTest, ErrorsNameTheOptionAndWhatIsAllowed) {
  EXPECT_THAT(message(), HasSubstr("name the target it is for, for example --target sm_90a"));
  request_.target = "banana";
  EXPECT_THAT(message(), testing::AllOf(HasSubstr("--target"), HasSubstr("banana"), HasSubstr("sm_121a")));
  request_.target = "sm_90a";
  request_.tokens = "many";
  EXPECT_EQ(message(), "--tokens: 'many' is not a number of n from 0 to 1,073,741,824");
  request_.tokens = "";
  request_.config = "itms=4";
  EXPECT_EQ(message(),
            "--config: scale_add has no parameter 'itms'; keys are stage, variant, block, items; did you "
            "mean 'items'?");
  request_.config = "items=3";
  EXPECT_EQ(message(), "--config: items=3: allowed are 1, 2, 4, 8");
  request_.config = "variant=mma";
  EXPECT_EQ(message(), "--config: no variant 'mma'; there are unrolled, reference");
  request_.config = "stage=ad";
  EXPECT_EQ(message(), "--config: scale_add has no stage 'ad'; its stages are add; did you mean 'add'?");
  request_.template_name = "nothing";
  EXPECT_THAT(message(), HasSubstr("scale_add"));
}

}  // namespace
}  // namespace rtjit

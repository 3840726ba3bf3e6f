// Pipelines on the fake device, launched whole or in part, as whoever times a stage does.
#include "runtime/launcher.h"

#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::ElementsAre;

class LauncherTest : public RuntimeTest {
 protected:
  // The stages prepare and main of the widget, from binaries that hold nothing but names.
  std::unique_ptr<Pipeline> widget(const std::shared_ptr<Context>& context) {
    const auto tmpl = *context->registry().find("widget");
    const Problem problem = *make_problem(*tmpl, *parse_key_values("width=64"));
    const Config config =
        *make_config(*tmpl->find_variant("main", "tiled"), *parse_key_values("tile=16,threads_x=64"));
    auto plan = LaunchPlan::create(tmpl, problem, {{"prepare", "only", Config()}, {"main", "tiled", config}},
                                   device->info().facts());
    EXPECT_TRUE(plan.ok()) << (plan.ok() ? "" : plan.error().message);
    auto binary = std::make_shared<Binary>();
    std::vector<std::shared_ptr<const Binary>> binaries;
    for (const PlanLaunch& launch : plan->launches()) {
      binary->kernels.push_back({launch.kernel, launch.kernel.substr(0, launch.kernel.find('<')), {}});
      binaries.push_back(binary);
    }
    auto pipeline = Pipeline::create(*device, std::move(*plan), std::move(binaries));
    EXPECT_TRUE(pipeline.ok()) << (pipeline.ok() ? "" : pipeline.error().message);
    return pipeline.ok() ? std::move(*pipeline) : nullptr;
  }

  std::vector<std::string> launched(const Pipeline& pipeline, StageSet stages) {
    const std::vector<TensorArg> arguments = {tensor("out", DType::f32, {17, 64}, {}, 0x30000),
                                              tensor("x", DType::bf16, {17, 64}, {72, 1}, 0x10000),
                                              tensor("ids", DType::i64, {17, 2}, {}, 0x20000)};
    BoundArguments bound;
    Status status = bind_arguments(pipeline.plan(), ArgumentSpec::Role::launch, arguments, &bound);
    EXPECT_TRUE(status.ok()) << status.error().message;
    device->launches.clear();
    status = pipeline.launch(bound, 0x100000, 1 << 20, 0x200000, 1 << 20, nullptr, stages);
    EXPECT_TRUE(status.ok()) << status.error().message;
    std::vector<std::string> names;
    for (const FakeLaunch& launch : device->launches) {
      names.push_back(launch.kernel->symbol.substr(launch.kernel->symbol.rfind(':') + 1));
    }
    return names;
  }
};

TEST_F(LauncherTest, LaunchesTheStagesThatAreAskedFor) {
  const auto context = open_context();
  const auto pipeline = widget(context);
  ASSERT_NE(pipeline, nullptr);
  EXPECT_THAT(launched(*pipeline, StageSet::all()), ElementsAre("prepare", "tiled", "finish"));
  EXPECT_THAT(launched(*pipeline, StageSet::none()), ElementsAre());
  StageSet stages = StageSet::none();
  stages.add(1);
  EXPECT_THAT(launched(*pipeline, stages), ElementsAre("tiled", "finish"));
  stages.add(0);
  EXPECT_THAT(launched(*pipeline, stages), ElementsAre("prepare", "tiled", "finish"));
}

}  // namespace
}  // namespace rtjit::testing

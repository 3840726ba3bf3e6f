// What the verifier asks of the device.
#include <gtest/gtest.h>

#include "tests/tuner/exiting_device.h"
#include "tests/tuner/scale_add.h"
#include "tuner/choices.h"
#include "tuner/verify.h"

namespace rtjit {
namespace {

class CountingDevice : public test::ExitingDevice {
 public:
  CountingDevice() : ExitingDevice(test::make_fake_device("sm_90a"), "no such kernel") {}
  Status launch(const Kernel& kernel, const LaunchConfig& config, void** arguments,
                StreamHandle stream) override {
    ++launches;
    return ExitingDevice::launch(kernel, config, arguments, stream);
  }
  int launches = 0;
};

TEST(Verifier, RunsTheOracleOnceForACaseThatNeighbouringBucketsShare) {
  const auto registry = test::scale_add_registry();
  const std::shared_ptr<const Template> tmpl = *registry->find("scale_add");
  const Target target = *Target::parse("sm_90a");
  const SearchContext context{tmpl, *make_problem(*tmpl, {}), target, target.facts(),
                              gpu_facts(target, std::nullopt)};
  int opened = 0;
  BinarySource binaries(nullptr, test::counting_compiler(&opened));
  const auto choices = oracle_choices(context, 1024);
  ASSERT_TRUE(choices.ok());
  std::string obstacle;
  const auto compiled = compile_choices(context, *choices, binaries, TuneLimits(), &obstacle);
  ASSERT_TRUE(compiled.ok() && obstacle.empty()) << obstacle;
  CountingDevice device;
  auto bench = Workbench::create(device, tmpl, context.problem, context.facts, nullptr, *choices);
  ASSERT_TRUE(bench.ok());
  auto oracle = (*bench)->pipeline(*choices, *compiled);
  ASSERT_TRUE(oracle.ok());
  Verifier verifier(**bench, **oracle);

  ASSERT_TRUE(verifier.prepare(device_cases(*tmpl, 1024)).ok());
  EXPECT_EQ(device.launches, 6);
  ASSERT_TRUE(verifier.prepare(device_cases(*tmpl, 1024)).ok());
  EXPECT_EQ(device.launches, 6);
  ASSERT_TRUE(verifier.prepare(device_cases(*tmpl, 16384)).ok());
  EXPECT_EQ(device.launches, 10) << "both buckets have the two cases of 256";
  ASSERT_TRUE(verifier.prepare(device_cases(*tmpl, 1024)).ok());
  EXPECT_EQ(device.launches, 14) << "large ones are kept no longer than they are needed";

  const auto outcome = verifier.verify(**oracle, device_cases(*tmpl, 1024), /*repeats=*/1);
  ASSERT_TRUE(outcome.ok()) << outcome.error().message;
  EXPECT_EQ(outcome->verdict, Verdict::ok) << outcome->reason;
  EXPECT_EQ(device.launches, 20);
}

}  // namespace
}  // namespace rtjit

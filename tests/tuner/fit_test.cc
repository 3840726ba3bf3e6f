#include "tuner/fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/tuner/made_up_sweep.h"
#include "tuner/embedded.h"
#include "tuner/inputs.h"

namespace rtjit {
namespace {

// Coefficients that are far from what is shipped.
CostCoefficients truth() {
  CostCoefficients k;
  k.dram_efficiency = 0.71;
  k.l2_bytes_per_clock_sm = 90;
  k.dram_latency_us = 1.1;
  k.l2_latency_us = 0.4;
  k.mma_efficiency = 0.5;
  k.async_mma_efficiency = 0.66;
  k.alu_lanes_per_clock_sm = 30;
  k.warps_for_peak = 12;
  k.step_overhead_us = 0.11;
  k.launch_us = 3.5;
  k.overlap = 0.6;
  return k;
}

// Configs of all kinds: bound by each of the four times, few blocks and many, with and without tensor cores.
std::vector<FitPoint> made_up_points(const GpuFacts& gpu, const CostCoefficients& k, double noise,
                                     size_t count) {
  Random random(11);
  const char* rates[] = {"mma.bf16", "wgmma.bf16", "fma", "mma.fp8"};
  std::vector<FitPoint> points;
  while (points.size() < count) {
    FitPoint point;
    point.gpu = &gpu;
    point.group = static_cast<int>(points.size());  // each counts in full
    auto magnitude = [&](double low, double high) { return low * std::pow(high / low, random.uniform()); };
    point.cost.blocks = std::ceil(magnitude(8, 4000));
    point.cost.steps = std::ceil(magnitude(1, 120));
    point.cost.stages = static_cast<double>(1 + random.below(5));
    point.cost.dram_bytes = magnitude(1e5, 1e9);
    point.cost.l2_bytes = point.cost.dram_bytes * magnitude(0.5, 20);
    point.cost.flops = magnitude(1e7, 1e12);
    point.cost.alu_ops = magnitude(1e5, 1e11);
    point.cost.rate = rates[points.size() % 4];
    point.blocks_per_sm = static_cast<int>(1 + random.below(4));
    point.threads = 64 << random.below(3);
    double time = predict(point.cost, gpu, point.blocks_per_sm, point.threads, k).total_us;
    point.time_us = time * std::exp(noise * 2 * (random.uniform() - 0.5));
    points.push_back(point);
  }
  return points;
}

double typical_error(const std::vector<FitPoint>& points, const CostCoefficients& k) {
  double sum = 0;
  for (const FitPoint& point : points) {
    double time = predict(point.cost, *point.gpu, point.blocks_per_sm, point.threads, k).total_us;
    sum += std::abs(std::log(time / point.time_us));
  }
  return sum / static_cast<double>(points.size());
}

TEST(Fit, RecoversTheCoefficientsThatTimesWereMadeFrom) {
  const GpuFacts gpu = gpu_facts(*Target::parse("sm_90a"), std::nullopt);
  const auto points = made_up_points(gpu, truth(), 0, 400);
  const CostCoefficients start = coefficients_for(gpu.target);
  const CostCoefficients fitted = fit_coefficients(points, start);
  EXPECT_GT(typical_error(points, start), 0.1);
  EXPECT_LT(typical_error(points, fitted), 0.02);
  for (const CoefficientField& field : coefficient_fields()) {
    double wanted = truth().*field.member;
    EXPECT_NEAR(fitted.*field.member / wanted, 1, 0.15) << field.name;
  }
}

TEST(Fit, NoiseAndOutliersDoNotBendIt) {
  const GpuFacts gpu = gpu_facts(*Target::parse("sm_90a"), std::nullopt);
  auto points = made_up_points(gpu, truth(), 0.05, 400);
  for (size_t i = 0; i < points.size(); i += 20) points[i].time_us *= 4;
  const CostCoefficients fitted = fit_coefficients(points, coefficients_for(gpu.target));
  const auto clean = made_up_points(gpu, truth(), 0, 400);
  EXPECT_LT(typical_error(clean, fitted), 0.06);
}

TEST(Fit, IsDeterministicAndKeepsWhatNothingIsKnownOf) {
  const GpuFacts gpu = gpu_facts(*Target::parse("sm_90a"), std::nullopt);
  auto points = made_up_points(gpu, truth(), 0.02, 80);
  for (FitPoint& point : points) {  // only memory: nothing is learnt of tensor cores
    point.cost.flops = point.cost.alu_ops = 0;
    point.time_us = predict(point.cost, gpu, point.blocks_per_sm, point.threads, truth()).total_us;
  }
  const CostCoefficients start = coefficients_for(gpu.target);
  const CostCoefficients a = fit_coefficients(points, start), b = fit_coefficients(points, start);
  for (const CoefficientField& field : coefficient_fields()) EXPECT_EQ(a.*field.member, b.*field.member);
  EXPECT_EQ(a.mma_efficiency, start.mma_efficiency);
  EXPECT_NEAR(a.dram_efficiency / truth().dram_efficiency, 1, 0.1);
  EXPECT_EQ(fit_coefficients({}, start).launch_us, start.launch_us);
}

TEST(Fit, ReadsASweepAndSaysHowWellTheModelChooses) {
  auto registry = test::scale_add_registry();
  auto tmpl = *registry->find("scale_add");
  auto store = test::open_store(":memory:");
  test::fill_sweep(
      *store, tmpl, [](const SearchContext& context, const Candidate& candidate, int64_t bucket) {
        auto cost = evaluate_cost(*context.tmpl, *candidate.stage, *candidate.variant, candidate.config,
                                  context.problem, bucket, context.facts);
        return predict(*cost, context.gpu, std::max(1, candidate.occupancy), candidate.facts.threads, truth())
            .total_us;
      });
  std::vector<Sweep> sweeps;
  sweeps.push_back(*load_sweep(*store, tmpl, {}));
  auto fits = fit(sweeps);
  ASSERT_TRUE(fits.ok()) << fits.error().message;
  ASSERT_EQ(fits->size(), 1u);
  const FamilyFit& found = fits->front();
  EXPECT_EQ(found.family, "hopper");
  EXPECT_EQ(found.buckets.size(), 4u);
  EXPECT_EQ(found.points.size(), 64u);
  EXPECT_LT(found.summary_after.typical_error, found.summary_before.typical_error);
  EXPECT_LT(found.summary_after.typical_error, 0.05);
  for (const FitBucket& bucket : found.buckets) {
    EXPECT_LE(bucket.after.first, bucket.after.ten);
    EXPECT_LE(bucket.after.ten, 1);
    EXPECT_GT(bucket.after.first, 0.8) << bucket.bucket;
  }
  EXPECT_LE(found.summary_after.worst.first, found.summary_after.geomean.first);
  EXPECT_FALSE(fit({}).ok());
}

TEST(Coefficients, EveryFamilyShipsAFileThatCanBeRead) {
  std::vector<std::string> found;
  for (const EmbeddedFile& file : embedded_coefficients()) {
    auto parsed = parse_coefficients(file.content);
    ASSERT_TRUE(parsed.ok()) << file.path << ": " << parsed.error().message;
    EXPECT_FALSE(parsed->origin.empty());
    EXPECT_EQ(file.path, "tuner/coefficients/" + parsed->family + ".json");
    found.push_back(parsed->family);
  }
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(families()));
}

TEST(Coefficients, SurviveWritingAndReading) {
  const CoefficientFile file{"ada", "made up", truth()};
  auto read = parse_coefficients(coefficients_text(file));
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->family, "ada");
  EXPECT_EQ(read->origin, "made up");
  for (const CoefficientField& field : coefficient_fields()) {
    EXPECT_EQ(read->coefficients.*field.member, truth().*field.member) << field.name;
  }
  EXPECT_EQ(parse_coefficients("[]").error().message,
            "coefficients: a JSON object with \"family\" and \"coefficients\" is expected");
  std::string text = coefficients_text(file);
  text.replace(text.find("\"ada\""), 5, "\"adb\"");
  EXPECT_THAT(parse_coefficients(text).error().message, testing::HasSubstr("there is no family 'adb'"));
  text = coefficients_text(file);
  text.replace(text.find("0.71"), 4, "7.1");
  EXPECT_THAT(parse_coefficients(text).error().message,
              testing::HasSubstr("dram_efficiency is 7.1, allowed are 0.2 to 1"));
  text = coefficients_text(file);
  text.replace(text.find("launch_us"), 9, "lunch_us");
  EXPECT_THAT(parse_coefficients(text).error().message,
              testing::HasSubstr("the number launch_us is missing"));
}

}  // namespace
}  // namespace rtjit

// Bench from the outside: predicted for GPUs that are not here, and measured on the driver's double.
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class BenchCommand : public CommandTest {
 protected:
  static size_t count(const std::string& text, const std::string& what) {
    size_t found = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
    return found;
  }
  static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  // The prebuilt winners depend on the day's cache/prebuilt.
  static constexpr std::pair<const char*, const char*> kNoPrebuilt = {"RTJIT_PREBUILT", "0"};
  ProcessOutcome bench(std::vector<std::string> arguments,
                       std::vector<std::pair<std::string, std::string>> environment = {}) {
    arguments.insert(arguments.begin(), "bench");
    environment.emplace_back(kNoPrebuilt);
    return run(std::move(arguments), std::move(environment));
  }
  nlohmann::json parsed(const ProcessOutcome& outcome) {
    EXPECT_TRUE(outcome.exit.ok()) << outcome.exit.describe() << "\n" << outcome.error_output;
    auto json = nlohmann::json::parse(outcome.output, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << outcome.output;
    return json;
  }
  // A process whose libcuda.so.1 is the double: every launch takes 1.5 ms, whatever it does.
  ProcessOutcome on_double(std::vector<std::string> arguments) {
    const std::string driver = folder_ + "/driver";
    std::filesystem::create_directories(driver);
    std::error_code there;
    std::filesystem::create_symlink(RTJIT_FAKE_LIBCUDA, driver + "/libcuda.so.1", there);
    arguments.insert(arguments.begin() + 1,
                     {"--templates", RTJIT_SOURCE_DIR "/tests/data/templates/scale_add"});
    return bench(std::move(arguments), {{"LD_LIBRARY_PATH", driver}});
  }
};

TEST_F(BenchCommand, PredictsEveryTemplateForATargetThatIsNotHere) {
  const std::string svg = folder_ + "/roofline.svg";
  const auto moe =
      parsed(bench({"moe_mxfp4", "--target", "sm_90a", "--preset", "gpt-oss-120b", "--json", "--svg", svg}));
  EXPECT_EQ(moe["knowledge"], "predicted");
  EXPECT_EQ(moe["ceilings"]["measured"], false);
  EXPECT_EQ(moe["ceilings"]["math"][0]["unit"], "data sheet");
  std::vector<int> tokens;
  for (const auto& row : moe["rows"]) {
    tokens.push_back(row["tokens"]);
    EXPECT_GT(row["time_us"], row["floor_us"]) << row;
    EXPECT_EQ(row["work_stated"], true);
    EXPECT_GT(row["reference"]["ratio"], 1.0) << row;
    EXPECT_NEAR(row["tb_per_s"].get<double>(),
                row["bytes"].get<double>() / row["time_us"].get<double>() * 1e-6, 1e-9);
    ASSERT_EQ(row["stages"].size(), 4u);
    EXPECT_EQ(row["stages"][0]["provenance"], "untuned");
    EXPECT_EQ(row["stages"][1]["provenance"], "fallback_default");
  }
  EXPECT_EQ(tokens, (std::vector<int>{1, 4, 16, 64, 256, 1024, 4096, 8192}));
  // 8,192 tokens with four experts each, three matrices of 2,880 x 2,880, no padding.
  EXPECT_EQ(moe["rows"][7]["flops"], 8192.0 * 4 * 3 * 2 * 2880 * 2880);
  EXPECT_GT(moe["rows"][7]["math_floor_us"], moe["rows"][7]["memory_floor_us"]);
  // A token reads four experts: three matrices of codes and scales.
  EXPECT_NEAR(moe["rows"][0]["bytes"].get<double>(), 4.0 * 3 * 2880 * (1440 + 90), 2 * 2 * 2880);
  EXPECT_NE(moe["notes"].dump().find("rtjit tune moe_mxfp4 --target sm_90a --preset gpt-oss-120b"),
            std::string::npos)
      << moe["notes"];
  const std::string picture = read(svg);
  EXPECT_EQ(picture.rfind("<svg", 0), 0u);
  EXPECT_EQ(count(picture, "<circle"), 2 * 8u) << "the defaults serve";
  EXPECT_NE(picture.find("predicted"), std::string::npos);
  EXPECT_NE(picture.find("4.80 TB/s"), std::string::npos);
  EXPECT_NE(picture.find("TFLOP/s (data sheet)"), std::string::npos);

  const auto table =
      bench({"gemm_fp8_block", "--target", "sm_120a", "--problem", "n=4096,k=7168", "--tokens", "1,512"});
  ASSERT_TRUE(table.exit.ok()) << table.error_output;
  for (const char* part :
       {"predicted us", "of floor", "reference us", "fp8", "all times are the cost model's"})
    EXPECT_NE(table.output.find(part), std::string::npos) << part << "\n" << table.output;
}

TEST_F(BenchCommand, MeasuresOnADevice) {
  const std::string svg = folder_ + "/roofline.svg";
  const auto report =
      parsed(on_double({"scale_add", "--tokens", "1024,16384", "--samples", "2", "--svg", svg, "--json"}));
  EXPECT_EQ(report["knowledge"], "measured");
  EXPECT_EQ(report["device"], "Fake GPU");
  EXPECT_EQ(report["ceilings"]["measured"], true);
  EXPECT_GT(report["ceilings"]["read_tb_per_s"], 0);
  ASSERT_EQ(report["rows"].size(), 2u);
  for (const auto& row : report["rows"]) {
    EXPECT_GT(row["time_us"], 0);
    EXPECT_GE(row["samples"], 2);
    EXPECT_EQ(row["is_default"], true);
    EXPECT_EQ(row["default"]["ratio"], 1.0);
    EXPECT_GT(row["reference"]["time_us"], 0);
    EXPECT_EQ(row["stages"][0]["provenance"], "fallback_default");
    EXPECT_EQ(row["work_stated"], false);
  }
  EXPECT_NE(report["notes"].dump().find("no winner is stored"), std::string::npos) << report["notes"];
  EXPECT_EQ(count(read(svg), "<circle"), 2 * 2u) << "the defaults serve";

  const auto table = on_double({"scale_add", "--tokens", "1024", "--reference-limit", "0s"});
  ASSERT_TRUE(table.exit.ok()) << table.error_output;
  for (const char* part :
       {"measured ceilings: reading", "time us", "unrolled block=128,items=1", "the limit is 0 s"})
    EXPECT_NE(table.output.find(part), std::string::npos) << part << "\n" << table.output;
  EXPECT_NE(table.error_output.find("measuring sizes"), std::string::npos) << table.error_output;
}

TEST_F(BenchCommand, SaysWhatIsWrong) {
  const auto expect = [&](std::vector<std::string> rest, const std::string& sentence) {
    std::vector<std::string> arguments = {"moe_mxfp4", "--target", "sm_90a", "--preset", "gpt-oss-20b"};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    const auto outcome = bench(arguments);
    EXPECT_FALSE(outcome.exit.ok());
    EXPECT_EQ(outcome.output, "");
    EXPECT_NE(outcome.error_output.find(sentence), std::string::npos) << sentence << "\n"
                                                                      << outcome.error_output;
  };
  expect({"--tokens", "0"}, "--tokens: there is nothing to measure in a launch of 0 tokens");
  expect({"--tokens", "many"}, "--tokens: 'many'");
  expect({"--config", "stage=gemm1,variant=mma"}, "configs of stage gemm1 match; name all parameters");
  expect({"--reference-limit", "5"}, "--reference-limit: '5' is not a time");
  expect({"--svg", folder_ + "/none/a.svg"}, "--svg: cannot write");
  const auto nowhere = bench({"moe_mxfp4", "--preset", "gpt-oss-20b"});
  if (nowhere.exit.ok()) GTEST_SKIP() << "a GPU is present";
  EXPECT_NE(nowhere.error_output.find("no GPU can be used: "), std::string::npos) << nowhere.error_output;
  EXPECT_NE(nowhere.error_output.find("--target"), std::string::npos) << nowhere.error_output;
}

}  // namespace
}  // namespace rtjit

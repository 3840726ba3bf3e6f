// What `rtjit explain` shows: what can run and how much room it leaves, and in few lines what cannot.
#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

#include "base/text.h"
#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class ExplainCommand : public CommandTest {
 protected:
  // Of gpt-oss-120b, without compiling.
  static std::vector<std::string> call(const std::string& target, std::vector<std::string> rest = {}) {
    std::vector<std::string> arguments = {"explain", "moe_mxfp4", "--preset", "gpt-oss-120b", "--target",
                                          target,    "--tokens",  "4096",     "--static"};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return arguments;
  }
  // Without the winners that came with the library.
  std::vector<std::string> lines(std::vector<std::string> arguments) {
    const ProcessOutcome outcome = run(std::move(arguments), {{"RTJIT_PREBUILT", "0"}});
    EXPECT_TRUE(outcome.exit.ok()) << outcome.error_output;
    std::istringstream text(outcome.output);
    std::vector<std::string> all;
    for (std::string line; std::getline(text, line);) all.push_back(line);
    return all;
  }
  static int count(const std::vector<std::string>& lines, const std::string& pattern) {
    const std::regex regex(pattern);
    return static_cast<int>(std::count_if(
        lines.begin(), lines.end(), [&](const std::string& line) { return std::regex_search(line, regex); }));
  }
  static int ok(const nlohmann::json& entries) {
    return static_cast<int>(std::count_if(entries.begin(), entries.end(),
                                          [](const auto& entry) { return entry["verdict"] == "ok"; }));
  }
};

TEST_F(ExplainCommand, AVariantThatDoesNotApplyTakesOneLine) {
  const auto entries = json(call("sm_90a", {"--problem", "activations=mxfp8"}));
  ASSERT_GT(entries.size(), 2000u);
  const auto shown = lines(call("sm_90a", {"--problem", "activations=mxfp8"}));
  EXPECT_EQ(count(shown, "  ok  "), ok(entries));
  EXPECT_LT(shown.size(), static_cast<size_t>(ok(entries)) + 15);
  EXPECT_EQ(count(shown,
                  "^gemm1, gemm2: .*wgmma.*: constraint: this variant multiplies with bf16 activations only "
                  "\\(activations = mxfp8; .*\\); wgmma_fp8 serves$"),
            1);
  EXPECT_EQ(count(shown, "multiplies with bf16"), 1);
  EXPECT_EQ(count(shown, "^gemm1, gemm2: mxf8f6f4, .* are for other targets; wgmma_fp8 serves$"), 1);
  const auto total = with_thousands(static_cast<int64_t>(entries.size()));
  EXPECT_EQ(count(shown, "^" + total + " configs: " + std::to_string(ok(entries)) + " ok"), 1);
}

TEST_F(ExplainCommand, RejectedConfigsAreCountedByReason) {
  const auto entries = json(call("sm_120a"));
  const auto shown = lines(call("sm_120a"));
  EXPECT_EQ(count(shown, "  ok  "), ok(entries));
  EXPECT_LT(shown.size(), static_cast<size_t>(ok(entries)) + 60);
  // One line for all that need too much shared memory, with the one that needs the least.
  for (const std::string stage : {"gemm1", "gemm2"}) {
    int over = 0;
    int64_t least = INT64_MAX;
    for (const auto& entry : entries) {
      if (entry["stage"] != stage || entry["verdict"] != "smem") continue;
      ++over;
      least = std::min(least, entry["smem_bytes"].get<int64_t>());
    }
    ASSERT_GT(over, 1);
    EXPECT_EQ(count(shown, "^" + stage + " +mma +" + std::to_string(over) + " .* smem: needs " +
                               with_thousands(least) + " B, sm_120a allows 101,376 B per block"),
              1)
        << stage << over << least;
    EXPECT_EQ(count(shown, "^" + stage + " .*smem: needs"), 1);
  }
  // The default of each stage leads, where nothing is stored.
  const auto first = std::find_if(shown.begin(), shown.end(),
                                  [](const std::string& line) { return line.starts_with("gemm1  mma"); });
  ASSERT_NE(first, shown.end());
  EXPECT_NE(first->find(" default "), std::string::npos) << *first;
  EXPECT_EQ(count(shown, " default "), 2);
}

// The figures of 99 KB parts, by hand: 101,376 B for a block, 102,400 B for an SM, 1,024 B of it reserved for
// each block that runs there.
TEST_F(ExplainCommand, ShowsWhatTheLimitsLeave) {
  for (const char* target : {"sm_120a", "sm_121a"}) {
    for (const auto& entry : json(call(target, {"--problem", "activations=mxfp8"}))) {
      const int64_t smem = entry["smem_bytes"];
      EXPECT_EQ(entry["smem_left"], 101376 - smem) << entry;
      if (entry["registers"] > 0) {
        EXPECT_EQ(entry["registers_left"].get<int>(),
                  entry["registers_limit"].get<int>() - entry["registers"].get<int>());
      }
      if (entry["verdict"] != "ok") {
        EXPECT_EQ(entry["blocks_per_sm"], 0);
        continue;
      }
      EXPECT_GE(entry["smem_left"], 0);
      EXPECT_LE(entry["blocks_per_sm"].get<int64_t>(), 102400 / (smem + 1024)) << entry;
    }
  }
  // mxf8f6f4: three stages of 64 rows x 128 k of weights and 8 tokens; 4 warps of at most 255 registers.
  const std::vector<std::string> one = {
      "--problem", "activations=mxfp8", "--config",
      "stage=gemm1,variant=mxf8f6f4,block_m=8,block_n=64,block_k=128,warps=4,stages=3"};
  const auto entries = json(call("sm_120a", one));
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0]["registers_limit"], 255);
  const auto shown = lines(call("sm_120a", one));
  const int64_t smem = entries[0]["smem_bytes"];
  EXPECT_EQ(count(shown, "^  SMEM +" + with_thousands(smem) + " of 101,376 B, " +
                             with_thousands(101376 - smem) + " left$"),
            1);
  EXPECT_EQ(count(shown, "^  registers +[0-9]+ of 255 per thread, [0-9]+ left \\(predicted\\)$"), 1);
  EXPECT_EQ(count(shown, "^  blocks/SM +[0-9]+ \\(predicted\\)$"), 1);
}

TEST_F(ExplainCommand, AllShowsALineForEachConfig) {
  const std::vector<std::string> mma = {"--config", "variant=mma,store=plain"};
  const auto entries = json(call("sm_120a", mma));
  std::vector<std::string> all = mma;
  all.push_back("--all");
  const auto shown = lines(call("sm_120a", all));
  EXPECT_EQ(count(shown, "^gemm[12]  mma "), static_cast<int>(entries.size()));
  EXPECT_EQ(count(shown, " smem: needs [0-9]{3},[0-9]{3} B"),
            static_cast<int>(std::count_if(entries.begin(), entries.end(), [](const auto& entry) {
              return entry["reason"].template get<std::string>().find("smem: needs") != std::string::npos;
            })));
  EXPECT_EQ(count(shown, "for other targets"), 0) << "nobody asked about them";
}

TEST_F(ExplainCommand, VerdictsAndConfigsFilterBothForms) {
  std::set<std::string> seen;
  const std::vector<std::string> filter = {"--config", "stage=gemm2", "--verdict", "smem,feature"};
  const auto entries = json(call("sm_120a", filter));
  ASSERT_GT(entries.size(), 4u);
  for (const auto& entry : entries) {
    EXPECT_EQ(entry["stage"], "gemm2");
    seen.insert(entry["verdict"].get<std::string>());
  }
  EXPECT_EQ(seen, (std::set<std::string>{"smem", "feature"}));
  EXPECT_EQ(count(lines(call("sm_120a", filter)), "^gemm2  "), static_cast<int>(entries.size()));

  const auto wrong = run(call("sm_120a", {"--verdict", "smen"}));
  EXPECT_EQ(wrong.exit.code, 2);
  EXPECT_NE(wrong.error_output.find("no verdict 'smen'; there are ok, smem, feature"), std::string::npos)
      << wrong.error_output;
  EXPECT_EQ(json(call("sm_120a", {"--verdict", "hang"})).size(), 0u);
  EXPECT_EQ(count(lines(call("sm_120a", {"--verdict", "hang"})), "^0 configs"), 1);
}

}  // namespace
}  // namespace rtjit

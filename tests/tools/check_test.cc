// rtjit check: what it runs, what it says, and its exit code.
#include <fstream>
#include <set>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class CheckCommand : public CommandTest {
 protected:
  // The tuner's test template with `code` in the middle of its kernel, in a folder of its own.
  std::string broken_template(const std::string& code) {
    const std::string from = std::string(RTJIT_SOURCE_DIR) + "/tests/data/templates/scale_add",
                      to = folder_ + "/scale_add";
    std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
    std::ifstream in(from + "/scale_add.cuh");
    std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const std::string line = "if (i < n) out[i] = fmaf(a, x[i], y[i]);";
    const size_t at = text.find(line);
    EXPECT_NE(at, std::string::npos);
    std::ofstream(to + "/scale_add.cuh") << text.replace(at, line.size(), code);
    return to;
  }
  static std::vector<std::string> check(const std::string& folder, std::vector<std::string> rest = {}) {
    std::vector<std::string> arguments = {"check",       "scale_add", "--target", "sm_121a",
                                          "--templates", folder,      "--tokens", "1000"};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return arguments;
  }
};

const char kRight[] = "if (i < n) out[i] = fmaf(a, x[i], y[i]);";

TEST_F(CheckCommand, RunsASpreadAndTheWinners) {
  const std::string folder = broken_template(kRight);
  auto results = json(check(folder));
  ASSERT_EQ(results.size(), 4u);  // --spread
  std::set<std::string> variants, configs;
  for (const auto& result : results) {
    EXPECT_EQ(result["verdict"], "ok");
    EXPECT_EQ(result["checked"], true);
    EXPECT_LE(result["rel_l2"], result["rel_l2_limit"]);
    EXPECT_LE(result["max_err"], result["max_err_limit"]);
    EXPECT_GT(result["cases"], 0);
    EXPECT_NE(result["verified_on"].get<std::string>().find("n 1000"), std::string::npos);
    variants.insert(result["variant"]);
    configs.insert(result["config"].dump());
  }
  EXPECT_EQ(configs.size(), 4u);
  EXPECT_EQ(variants, (std::set<std::string>{"reference", "unrolled"}));
  // What was tuned is checked too, even with no spread.
  const auto none = run(check(folder, {"--spread", "0"}));
  EXPECT_NE(none.exit.code, 0);
  EXPECT_NE(none.error_output.find("no config"), std::string::npos);
  json({"tune", "scale_add", "--target", "sm_121a", "--templates", folder, "--tokens", "1024"});
  results = json(check(folder, {"--spread", "0"}));
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0]["verdict"], "ok");
}

TEST_F(CheckCommand, RunsTheConfigsThatAreNamed) {
  const auto results = json(check(broken_template(kRight), {"--config", "variant=unrolled,block=128"}));
  ASSERT_EQ(results.size(), 4u);
  for (const auto& result : results) EXPECT_EQ(result["config"]["block"], 128);
}

TEST_F(CheckCommand, FailsWhenOneConfigIsWrong) {
  const std::string folder =
      broken_template("if (i < n) out[i] = fmaf(a, x[i], y[i]) + (kItems == 8 && i == 999 ? 1.0f : 0.0f);");
  std::ofstream(folder + "/template.toml", std::ios::app)
      << "\n[[verify.case]]\nwhen = \"target.cc == 121\"\nmax_rel_l2 = 2.5e-2\nmax_err_per_rms = 2.5e-1\n";
  const auto outcome = run(check(folder, {"--config", "variant=unrolled,block=64", "--json"}));
  EXPECT_EQ(outcome.exit.code, 1);
  const auto results = nlohmann::json::parse(outcome.output);
  ASSERT_EQ(results.size(), 4u);
  for (const auto& result : results) {
    EXPECT_EQ(result["verdict"], result["config"]["items"] == 8 ? "wrong" : "ok") << result;
    EXPECT_EQ(result["max_err_limit"], 2.5e-1);
    if (result["verdict"] == "wrong") {
      EXPECT_NE(result["reason"].get<std::string>().find("limit 2.50e-01"), std::string::npos) << result;
    }
  }
  const auto table = run(check(folder, {"--config", "variant=unrolled,block=64"}));
  EXPECT_EQ(table.exit.code, 1);
  EXPECT_NE(table.output.find("wrong"), std::string::npos);
  EXPECT_NE(table.output.find("(limits 2.5e-02 and 2.5e-01)"), std::string::npos) << table.output;
  EXPECT_EQ(run(check(folder, {"--config", "variant=unrolled,block=64,items=1"})).exit.code, 0);
}

// Reads outside a buffer give right results on most GPUs; here they are found, and where.
TEST_F(CheckCommand, NamesThePlaceOfAFault) {
  const std::string folder =
      broken_template("if (i < n) out[i] = fmaf(a, x[i], y[i]) + (i == 999 ? 0.0f * x[i + 1] : 0.0f);");
  const auto outcome = run(check(folder, {"--config", "variant=unrolled,block=64,items=1", "--json"}));
  EXPECT_EQ(outcome.exit.code, 1);
  const auto results = nlohmann::json::parse(outcome.output);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0]["verdict"], "fault");
  const std::string reason = results[0]["reason"];
  EXPECT_NE(reason.find("out-of-bounds: 4 B at offset 4000 of an allocation of 4,000 B"), std::string::npos)
      << reason;
  EXPECT_NE(reason.find("PTX line"), std::string::npos) << reason;
}

// Even a write that changes nothing. The configs after it are not blamed for it.
TEST_F(CheckCommand, FindsWritesToInputs) {
  const std::string folder = broken_template(
      "if (i < n) { out[i] = fmaf(a, x[i], y[i]); if (i == 999 && kItems == 1) "
      "const_cast<volatile float*>(x)[i] = x[i]; }");
  const auto outcome = run(check(folder, {"--config", "variant=unrolled,block=64", "--json"}));
  EXPECT_EQ(outcome.exit.code, 1);
  const auto results = nlohmann::json::parse(outcome.output);
  ASSERT_EQ(results.size(), 4u);
  for (const auto& result : results) {
    const bool writes = result["config"]["items"] == 1;
    EXPECT_EQ(result["verdict"], writes ? "fault" : "ok") << result;
    if (!writes) continue;
    const std::string reason = result["reason"];
    EXPECT_NE(reason.find("(st."), std::string::npos) << reason;
    EXPECT_NE(reason.find("read-only: this input of 4,000 B may only be read"), std::string::npos) << reason;
  }
}

// What the output held before is nobody's data.
TEST_F(CheckCommand, FindsOutputsThatAreReadBeforeTheyAreWritten) {
  const std::string folder =
      broken_template("if (i < n) out[i] = fmaf(a, x[i], y[i]) + 0.0f * fminf(fmaxf(out[i], 0.0f), 1.0f);");
  const auto outcome = run(check(folder, {"--config", "variant=unrolled,block=64,items=1", "--json"}));
  EXPECT_EQ(outcome.exit.code, 1);
  const std::string reason = nlohmann::json::parse(outcome.output)[0]["reason"];
  EXPECT_NE(reason.find("uninitialised"), std::string::npos) << reason;
}

// Where there is nothing to add up, or nowhere to write, zeros are right and must have been written.
TEST_F(CheckCommand, AProblemWithAnEmptyExtent) {
  const std::vector<std::string> check = {"check", "gemm_fp8_block", "--target", "sm_120a", "--spread", "2"};
  auto of = [&](std::vector<std::string> rest) {
    rest.insert(rest.begin(), check.begin(), check.end());
    return json(rest);
  };
  for (const auto& result : of({"--problem", "n=64,k=0"})) {
    EXPECT_EQ(result["verdict"], "ok") << result;
    EXPECT_EQ(result["compared"], (5 + 33) * 64);
    EXPECT_EQ(result["different"], 0);
  }
  for (const auto& rest : {std::vector<std::string>{"--problem", "n=0,k=128"},
                           std::vector<std::string>{"--problem", "n=64,k=128", "--tokens", "0"}}) {
    for (const auto& result : of(rest)) {
      EXPECT_EQ(result["verdict"], "ok") << result;
      EXPECT_EQ(result["compared"], 0);
    }
  }
  for (const char* problem : {"n=64,k=0", "n=0,k=128"}) {
    const auto report = json({"tune", "gemm_fp8_block", "--target", "sm_120a", "--problem", problem,
                              "--tokens", "1", "--effort", "quick"});
    EXPECT_EQ(report["winners"][0]["verified"], true) << report;
  }
}

// A result may be right without being equal, and the counts say so.
TEST_F(CheckCommand, CountsWhatDiffers) {
  const std::string folder = broken_template(
      "if (i < n) out[i] = fmaf(a, x[i], y[i]) * (kItems == 8 && i % 500 == 7 ? 1 + 0x1p-22f : 1);");
  const auto results = json(check(folder, {"--config", "variant=unrolled,block=64"}));
  ASSERT_EQ(results.size(), 4u);
  for (const auto& result : results) {
    EXPECT_EQ(result["verdict"], "ok") << result;
    EXPECT_EQ(result["compared"], 1000);
    EXPECT_EQ(result["different"], result["config"]["items"] == 8 ? 2 : 0);
    EXPECT_EQ(result["rel_l2"] > 0, result["config"]["items"] == 8);
  }
  const auto table = run(check(folder, {"--config", "variant=unrolled,block=64,items=8"}));
  EXPECT_NE(table.output.find("differ"), std::string::npos) << table.output;
}

// The command that --help and docs/emulator.md show.
TEST_F(CheckCommand, RunsTheDocumentedExample) {
  const auto results =
      json({"check", "moe_mxfp4", "--target", "sm_90a", "--problem",
            "hidden=512,intermediate=512,experts=8,top_k=4", "--full-size", "--tokens", "64", "--config",
            "stage=gemm1,variant=mma,block_m=16,block_n=64,block_k=64,stages=3"});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0]["verdict"], "ok") << results;
  EXPECT_EQ(results[0]["compared"], 64 * 512);
}

// A thread block has several strips and token tiles here, filled to different heights, and batches end inside
// of them. Up to 64 slots a GEMM sorts for itself, beside one that reads align's lists.
TEST_F(CheckCommand, StreamSortsAFewSlotsItself) {
  for (const char* tokens : {"21", "22"}) {
    const auto results = json({"check", "moe_mxfp4", "--target", "sm_90a", "--problem",
                               "hidden=160,intermediate=1088,experts=5,top_k=3,bias=bf16", "--full-size",
                               "--tokens", tokens, "--config", "variant=stream,depth=2"});
    ASSERT_GE(results.size(), 2u) << tokens;
    for (const auto& result : results) EXPECT_EQ(result["verdict"], "ok") << result;
  }
}

TEST_F(CheckCommand, ABuiltInTemplateAtFullSize) {
  const auto results = json({"check", "gemm_fp8_block", "--target", "sm_120a", "--problem", "n=320,k=384",
                             "--full-size", "--tokens", "40", "--spread", "2"});
  ASSERT_EQ(results.size(), 2u);
  for (const auto& result : results) {
    EXPECT_EQ(result["verdict"], "ok") << result;
    EXPECT_EQ(result["verified_on"], "emulator, m 40");  // scaled down it would name n and k
  }
}

}  // namespace
}  // namespace rtjit

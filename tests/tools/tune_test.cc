// The main job from the outside: tune for a GPU that is not here, then ask what was found.
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "base/text.h"
#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

// A small problem, so that the winners' check on the emulator is quick.
const std::vector<std::string> kTuneProblem = {"moe_mxfp4", "--problem",
                                               "hidden=96,intermediate=64,experts=4,top_k=2", "--config",
                                               "block_k=64,stages=3"};

class TuneCommand : public CommandTest {
 protected:
  static std::vector<std::string> call(const std::string& verb, const std::string& target,
                                       std::vector<std::string> rest = {}) {
    std::vector<std::string> arguments = {verb};
    arguments.insert(arguments.end(), kTuneProblem.begin(), kTuneProblem.begin() + 3);
    arguments.insert(arguments.end(), {"--target", target});
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return arguments;
  }
};

TEST_F(TuneCommand, ExplainGivesEveryConfigATypedVerdictWithNumbers) {
  const auto entries = json({"explain", "moe_mxfp4", "--target", "sm_120a", "--preset", "gpt-oss-120b",
                             "--tokens", "8192", "--static"});
  ASSERT_GT(entries.size(), 100u);
  std::set<std::string> verdicts;
  for (const auto& entry : entries) {
    verdicts.insert(entry["verdict"]);
    EXPECT_EQ(entry["smem_limit"], 101376);
    EXPECT_TRUE(entry["config"].is_object());
    if (entry["verdict"] == "smem") {
      EXPECT_GT(entry["smem_bytes"], entry["smem_limit"]);
      EXPECT_NE(entry["reason"].get<std::string>().find("sm_120a allows 101,376 B per block"),
                std::string::npos);
    }
    if (entry["verdict"] != "ok") {
      EXPECT_NE(entry["reason"], "");
    }
  }
  EXPECT_TRUE(verdicts.count("ok"));
  EXPECT_TRUE(verdicts.count("smem"));
  EXPECT_TRUE(verdicts.count("feature"));
}

TEST_F(TuneCommand, Scatter4IsRejectedByNameWhereTheTargetLacksIt) {
  const std::vector<std::string> rest = {"--config", "stage=gemm2,store=scatter4", "--static"};
  bool seen = false;
  for (const auto& entry : json(call("explain", "sm_121a", rest))) {
    EXPECT_EQ(entry["verdict"], "feature");
    EXPECT_NE(entry["reason"].get<std::string>().find("tma.tile.scatter4 is not supported by sm_121a"),
              std::string::npos);
    seen = true;
  }
  EXPECT_TRUE(seen);
  bool feasible = false;
  for (const auto& entry : json(call("explain", "sm_100a", rest))) feasible |= entry["verdict"] == "ok";
  EXPECT_TRUE(feasible);
}

TEST_F(TuneCommand, FindsStoresAndAnswersFromTheCache) {
  const auto first = json(call("tune", "sm_120a", {"--tokens", "1,64"}));
  ASSERT_EQ(first["winners"].size(), 4u);  // two tuned stages, two buckets
  for (const auto& winner : first["winners"]) {
    EXPECT_EQ(winner["has_winner"], true);
    EXPECT_EQ(winner["knowledge"], "predicted");
    EXPECT_EQ(winner["verified"], true) << winner;
    EXPECT_LE(winner["time_us"], winner["default_time_us"]);
  }
  EXPECT_GT(first["compiled"], 0);

  const auto second = json(call("tune", "sm_120a", {"--tokens", "1,64"}));
  EXPECT_EQ(second["compiled"], 0);
  ASSERT_EQ(second["winners"].size(), 4u);
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(second["winners"][i]["config"], first["winners"][i]["config"]);
    EXPECT_EQ(second["winners"][i]["from_cache"], true);
  }

  const auto answers = json(call("query", "sm_120a", {"--tokens", "64"}));
  ASSERT_EQ(answers.size(), 2u);
  for (const auto& answer : answers) {
    EXPECT_EQ(answer["provenance"], "predicted");
    EXPECT_EQ(answer["facts"]["smem_limit"], 101376);
    EXPECT_LE(answer["facts"]["rel_l2"], answer["facts"]["rel_l2_limit"]);
  }
  EXPECT_EQ(json({"cache", "info"})["winners"], 4);

  // A pack of it serves a machine that has neither this database nor a compiler.
  const std::string pack = folder_ + "/sm_120a.rtpack", key = folder_ + "/vendor";
  ASSERT_TRUE(run({"pack-key", key}).exit.ok());
  const auto packed =
      json({"pack", "--target", "sm_120a", "-o", pack, "--sign", key + ".secret", "--max-size", "1M"});
  EXPECT_EQ(packed["problems"][0]["winners"], 4);
  EXPECT_EQ(packed["fits"], true);
  EXPECT_EQ(packed["library"], "0.1.0");
  const auto verified = json({"verify-pack", pack, "--trust", key + ".pub"});
  EXPECT_EQ(verified["ok"], true) << verified;
  EXPECT_EQ(verified["winners_checked"], 4);
  std::vector<std::string> again = call("tune", "sm_120a", {"--tokens", "1,64", "--json"});
  const auto outcome = run(again, {{"RTJIT_CACHE", folder_ + "/empty.db"},
                                   {"RTJIT_PACKS", pack},
                                   {"RTJIT_TRUST", key + ".pub"},
                                   {"RTJIT_NVRTC", folder_ + "/no-libnvrtc.so"}});
  ASSERT_TRUE(outcome.exit.ok()) << outcome.error_output;
  const auto served = nlohmann::json::parse(outcome.output);
  for (size_t i = 0; i < 4; i++) {
    EXPECT_EQ(served["winners"][i]["config"], first["winners"][i]["config"]);
    EXPECT_EQ(served["winners"][i]["from_cache"], true);
  }
}

TEST_F(TuneCommand, AVariantWithoutASurvivorIsNamedAndAnotherServes) {
  // To people in one line, beside --json in full.
  const auto outcome = run(call("explain", "sm_75", {"--static"}));
  EXPECT_TRUE(outcome.exit.ok());
  EXPECT_TRUE(std::regex_search(
      outcome.output,
      std::regex("\ngemm1, gemm2: [a-z0-9_, ]*mma[a-z0-9_, ]* are for other targets; reference serves\n")))
      << outcome.output;
  EXPECT_EQ(outcome.output.find("no config of variant mma survives"), std::string::npos);
  const auto full = run(call("explain", "sm_75", {"--static", "--json"}));
  for (const char* stage : {"gemm1", "gemm2"}) {
    const std::string note = std::string("stage ") + stage + ": no config of variant mma survives (";
    const size_t at = full.error_output.find(note);
    ASSERT_NE(at, std::string::npos) << note;
    const std::string line = full.error_output.substr(at, full.error_output.find('\n', at) - at);
    EXPECT_NE(line.find("variant mma needs sm_80+, this is sm_75"), std::string::npos) << line;
    EXPECT_NE(line.find("; variant reference serves instead"), std::string::npos) << line;
  }
  for (const auto& answer : json(call("query", "sm_75", {"--tokens", "64"})))
    EXPECT_EQ(answer["variant"], "reference");
}

// --config means the same to every verb: only configs with these values.
TEST_F(TuneCommand, ConfigNamesWhatIsLookedAt) {
  const std::vector<std::string> some = {"--tokens", "64", "--config", "stage=gemm1,block_m=8,block_n=64"};
  const auto tuned = json(call("tune", "sm_120a", some));
  ASSERT_EQ(tuned["winners"].size(), 1u);
  EXPECT_EQ(tuned["winners"][0]["stage"], "gemm1");
  EXPECT_NE(tuned["winners"][0]["config"].get<std::string>().find("block_m=8,block_n=64,"),
            std::string::npos);
  EXPECT_GT(tuned["winners"][0]["rejected_by_gate"]["static"], 0);
  EXPECT_EQ(json({"cache", "info"})["winners"], 0);
  for (const auto& entry : json(call("explain", "sm_120a", some))) {
    EXPECT_EQ(entry["stage"], "gemm1");
    EXPECT_EQ(entry["config"]["block_n"], 64);
  }
  const auto served = json(call("query", "sm_120a", {"--tokens", "64", "--config", "stage=gemm1"}));
  ASSERT_EQ(served.size(), 1u);
  EXPECT_EQ(served[0]["stage"], "gemm1");
  const auto another = run(call("query", "sm_120a", {"--tokens", "64", "--config", "variant=reference"}));
  EXPECT_EQ(another.exit.code, 2);
  EXPECT_NE(another.error_output.find("rtjit explain"), std::string::npos) << another.error_output;
}

TEST_F(TuneCommand, APackNeedsWinners) {
  const auto outcome = run({"pack", "--target", "sm_120a", "-o", folder_ + "/a.rtpack"});
  EXPECT_EQ(outcome.exit.code, 2);
  EXPECT_NE(outcome.error_output.find("rtjit tune"), std::string::npos) << outcome.error_output;
  EXPECT_EQ(run({"verify-pack", folder_ + "/none.rtpack"}).exit.code, 2);
}

TEST_F(TuneCommand, DumpWritesSourcePtxCubinAndFacts) {
  const auto outcome = run(call("explain", "sm_90a",
                                {"--config", "stage=gemm1,block_m=16,block_n=64,block_k=64,warps=4,stages=3",
                                 "--dump", folder_ + "/dump"}));
  ASSERT_TRUE(outcome.exit.ok()) << outcome.error_output;
  int folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/dump")) {
    folders++;
    for (const char* name : {"source.cu", "kernel.ptx", "kernel.cubin", "facts.json", "compiler.log"}) {
      EXPECT_TRUE(std::filesystem::exists(entry.path() / name)) << entry.path() / name;
    }
    std::ifstream facts(entry.path() / "facts.json");
    EXPECT_GT(nlohmann::json::parse(facts)["kernels"][0]["registers"], 0);
  }
  EXPECT_EQ(folders, 1);
}

TEST_F(TuneCommand, ErrorsSayWhatCameAndWhatIsAllowed) {
  const auto expect = [&](std::vector<std::string> arguments, const std::vector<std::string>& parts) {
    const auto outcome = run(std::move(arguments));
    EXPECT_EQ(outcome.exit.code, 2) << outcome.error_output;
    EXPECT_EQ(outcome.output, "");
    for (const std::string& part : parts) {
      EXPECT_NE(outcome.error_output.find(part), std::string::npos)
          << "no \"" << part << "\" in: " << outcome.error_output;
    }
  };
  expect({"tune", "moe_mxfp5", "--target", "sm_90a", "--preset", "gpt-oss-20b"}, {"moe_mxfp5", "moe_mxfp4"});
  expect({"tune", "moe_mxfp4", "--target", "sm_90a"}, {"no value for hidden", "gpt-oss-20b"});
  expect({"tune", "moe_mxfp4", "--target", "sm_99", "--preset", "gpt-oss-20b"}, {"sm_99", "sm_90a"});
  expect({"tune", "moe_mxfp4", "--target", "sm_90a", "--preset", "gpt-oss-21b"},
         {"gpt-oss-21b", "gpt-oss-20b"});
  expect({"tune", "moe_mxfp4", "--target", "sm_90a", "--preset", "gpt-oss-20b", "--problem", "hidden=33"},
         {"hidden", "33", "32"});
  expect({"explain", "moe_mxfp4", "--target", "sm_90a", "--preset", "gpt-oss-20b", "--config", "block_q=3"},
         {"block_q"});
  expect({"explain", "moe_mxfp4", "--target", "sm_90a", "--preset", "gpt-oss-20b", "--config", "block_m=7"},
         {"block_m", "7"});
}

// What is asked to be kept is kept, or the work is not begun.
TEST_F(TuneCommand, ADatabaseThatCannotBeWrittenIsAnErrorBeforeTheWork) {
  const auto in_a_folder = run(call("query", "sm_90a", {"--db", folder_}));
  EXPECT_EQ(in_a_folder.exit.code, 2);
  EXPECT_NE(in_a_folder.error_output.find(folder_ + " is a folder"), std::string::npos)
      << in_a_folder.error_output;
  const auto nowhere = run(call("tune", "sm_90a", {"--tokens", "1", "--db", "/proc/none/cache.db"}));
  EXPECT_EQ(nowhere.exit.code, 2);
  EXPECT_NE(nowhere.error_output.find("cannot be written"), std::string::npos) << nowhere.error_output;
}

TEST_F(TuneCommand, ANamedFileThatIsNoCacheIsRefusedAndKept) {
  const std::string path = folder_ + "/notes.txt";
  std::ofstream(path) << "do not lose me\n";
  const auto refused = run(call("query", "sm_90a", {"--tokens", "1", "--db", path}));
  EXPECT_EQ(refused.exit.code, 2);
  EXPECT_NE(refused.error_output.find("notes.txt is not a cache"), std::string::npos) << refused.error_output;
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST_F(TuneCommand, ExplainShowsEverySizeThatWasAskedFor) {
  const std::vector<std::string> rest = {"--static", "--config", "stage=gemm1,variant=reference,acc=f32"};
  const auto buckets = [&](std::vector<std::string> more) {
    more.insert(more.end(), rest.begin(), rest.end());
    std::set<int> seen;
    for (const auto& entry : json(call("explain", "sm_90a", more))) seen.insert(entry["bucket"].get<int>());
    return seen;
  };
  EXPECT_EQ(buckets({"--tokens", "1,64"}), (std::set<int>{1, 64}));
  EXPECT_EQ(buckets({}), (std::set<int>{1}));
}

TEST_F(TuneCommand, AWrongVerbOrNoneSaysWhichThereAre) {
  const auto wrong = run({"tun"});
  EXPECT_EQ(wrong.exit.code, 2);
  EXPECT_NE(wrong.error_output.find("no verb 'tun'; verbs are tune, explain"), std::string::npos)
      << wrong.error_output;
  const auto none = run({});
  EXPECT_EQ(none.exit.code, 2);
  EXPECT_EQ(none.output, "");
  EXPECT_NE(none.error_output.find("Subcommands:"), std::string::npos);
}

TEST_F(TuneCommand, EveryVerbHasJson) {
  const std::string help = run({"--help"}).output;
  int verbs = 0;
  const auto expect_json = [&](std::vector<std::string> verb) {
    const std::string name = join(verb, " ");
    verb.push_back("--help");
    EXPECT_NE(run(verb).output.find("--json"), std::string::npos) << name;
    ++verbs;
  };
  std::istringstream lines(help.substr(help.find("Subcommands:\n") + 13));
  for (std::string line; std::getline(lines, line) && line.find("Examples:") == std::string::npos;) {
    std::istringstream words(line);
    std::string name;
    if (line.starts_with("  ") && line[2] != ' ' && words >> name && name != "cache") expect_json({name});
  }
  EXPECT_GE(verbs, 11);
  const auto none = run({"cache"});
  EXPECT_EQ(none.exit.code, 2);
  EXPECT_NE(none.error_output.find("There are info, list, path"), std::string::npos) << none.error_output;
  for (const char* sub : {"info", "list", "path", "show", "merge", "export", "import", "verify", "gc"}) {
    expect_json({"cache", sub});
  }
  EXPECT_EQ(json({"cache", "path"})["path"], folder_ + "/cache.db");
}

TEST_F(TuneCommand, AWrongTemplateIsSaidEvenWithoutATarget) {
  const auto outcome = run({"tune", "moe_mxfp5"});
  EXPECT_EQ(outcome.exit.code, 2);
  EXPECT_NE(outcome.error_output.find("moe_mxfp5"), std::string::npos) << outcome.error_output;
}

TEST_F(TuneCommand, WithoutTargetAndGpuTheErrorSaysToNameOne) {
  const auto outcome = run({"query", "moe_mxfp4", "--preset", "gpt-oss-20b"});
  if (outcome.exit.ok()) GTEST_SKIP() << "a GPU is present";
  EXPECT_NE(outcome.error_output.find("--target"), std::string::npos) << outcome.error_output;
}

TEST_F(TuneCommand, MissingNvrtcSaysWhereItWasLookedForAndHowToGetIt) {
  const auto outcome =
      run(call("tune", "sm_90a", {"--tokens", "1"}), {{"RTJIT_NVRTC", "/nonexistent/libnvrtc.so"}});
  EXPECT_EQ(outcome.exit.code, 1);
  EXPECT_NE(outcome.error_output.find("/nonexistent/libnvrtc.so"), std::string::npos) << outcome.error_output;
}

}  // namespace
}  // namespace rtjit

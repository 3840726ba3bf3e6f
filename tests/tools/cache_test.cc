#include <fstream>
#include <sstream>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

constexpr const char* kHeader = R"({"format":"rtjit cache text","version":1})";

std::string winner_line(int bucket, double time_us) {
  const nlohmann::ordered_json line = {
      {"kind", "winner"},   {"template", "moe_mxfp4"}, {"template_hash", "h1"},     {"problem", "hidden=64"},
      {"stage", "gemm1"},   {"bucket", bucket},        {"target", "sm_90a"},        {"sku", "sm_90a,sm=132"},
      {"variant", "mma"},   {"config", "block_m=64"},  {"knowledge", "measured"},   {"verified", true},
      {"time_us", time_us}, {"why", "fastest"},        {"updated_unix", 1760000000}};
  return line.dump();
}

class CacheCommand : public CommandTest {
 protected:
  std::string write(const std::string& name, const std::vector<std::string>& lines) {
    const std::string path = folder_ + "/" + name;
    std::ofstream out(path);
    for (const std::string& line : lines) out << line << "\n";
    return path;
  }
  std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
};

TEST_F(CacheCommand, ExportsWhatWasImported) {
  const std::string text = write("a.txt", {kHeader, winner_line(1, 10.5), winner_line(2, 11)});
  const auto imported = json({"cache", "import", text});
  EXPECT_EQ(imported["winners"]["added"], 2);
  EXPECT_EQ(json({"cache", "list"}).size(), 2u);
  EXPECT_EQ(run({"cache", "export"}).output, read(text));
  EXPECT_EQ(run({"cache", "export", "-o", "-"}).output, read(text)) << "no file of that name";
  EXPECT_EQ(run({"cache", "export", "--target", "sm_80"}).output, std::string(kHeader) + "\n");
  const std::string again = folder_ + "/b.txt";
  EXPECT_EQ(json({"cache", "export", "-o", again})["winners"], 2);
  EXPECT_EQ(read(again), read(text));
}

TEST_F(CacheCommand, ABadTextChangesNothing) {
  const std::string text = write("bad.txt", {kHeader, winner_line(1, 10.5), R"({"kind":"row","color":1})"});
  const auto outcome = run({"cache", "import", text});
  EXPECT_EQ(outcome.exit.code, 2);
  EXPECT_NE(outcome.error_output.find("line 3: unknown field \"color\""), std::string::npos)
      << outcome.error_output;
  EXPECT_EQ(json({"cache", "list"}).size(), 0u);
  EXPECT_EQ(run({"cache", "import", folder_ + "/none.txt"}).exit.code, 2);
}

TEST_F(CacheCommand, ASubVerbThatIsNotThereIsAnsweredWithThoseThatAre) {
  for (const std::vector<std::string>& wrong :
       {std::vector<std::string>{"cache", "inof"}, {"cache", "inof", "list"}}) {
    const auto outcome = run(wrong);
    EXPECT_EQ(outcome.exit.code, 2);
    EXPECT_NE(outcome.error_output.find("cache: not 'inof'. There are info, list, "), std::string::npos)
        << outcome.error_output;
  }
  EXPECT_EQ(run({"cache", "info", "more"}).exit.code, 2);
}

TEST_F(CacheCommand, LookingAtAFileThatIsNotThereDoesNotMakeIt) {
  const std::string path = folder_ + "/mistyped/cache.db";
  for (std::vector<std::string> looking :
       {std::vector<std::string>{"cache", "info"},
        {"cache", "list"},
        {"cache", "gc", "--older-than", "1d"},
        {"query", "moe_mxfp4", "--target", "sm_120a", "--preset", "gpt-oss-20b"},
        {"report", "moe_mxfp4", "--target", "sm_120a", "--preset", "gpt-oss-20b", "-o",
         folder_ + "/page.html"}}) {
    looking.insert(looking.end(), {"--db", path});
    const auto outcome = run(looking);
    EXPECT_EQ(outcome.exit.code, 2) << looking[0] << looking[1];
    EXPECT_NE(outcome.error_output.find(path + ": no such file"), std::string::npos) << outcome.error_output;
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/mistyped"));
  EXPECT_EQ(json({"cache", "info"})["rows"], 0);  // the user's own need not be there yet
}

TEST_F(CacheCommand, WhatIsWrittenNeverTakesTheCachesPlace) {
  json({"cache", "import", write("a.txt", {kHeader, winner_line(1, 10.5)})});
  std::filesystem::create_symlink(folder_ + "/cache.db", folder_ + "/link");
  for (const std::string& output : {folder_ + "/cache.db", folder_ + "/./link"}) {
    for (std::vector<std::string> writing :
         {std::vector<std::string>{"cache", "export"}, {"pack", "--target", "sm_90a"}}) {
      writing.insert(writing.end(), {"-o", output});
      const auto outcome = run(writing);
      EXPECT_EQ(outcome.exit.code, 2) << writing[0];
      EXPECT_NE(outcome.error_output.find("-o: " + output + " is the cache itself"), std::string::npos)
          << outcome.error_output;
    }
  }
  EXPECT_EQ(json({"cache", "list"}).size(), 1u);
}

TEST_F(CacheCommand, InfoListsTheLayersThatAreInUse) {
  json({"cache", "import", "--db", folder_ + "/a.db", write("a.txt", {kHeader, winner_line(1, 10.5)})});
  const std::string damaged = write("b.db", {"no database"});
  const auto outcome = run({"cache", "info", "--json"}, {{"RTJIT_PACKS", folder_ + "/a.db:" + damaged}});
  const auto info = nlohmann::json::parse(outcome.output, nullptr, false);
  EXPECT_EQ(info["read_only_layers"], nlohmann::json{folder_ + "/a.db"});
  EXPECT_NE(outcome.error_output.find(damaged), std::string::npos);
  EXPECT_EQ(info["winners"], 1);
}

TEST_F(CacheCommand, MergesInEitherOrder) {
  const std::string a = folder_ + "/a.db", b = folder_ + "/b.db";
  json({"cache", "import", "--db", a, write("a.txt", {kHeader, winner_line(1, 10.5), winner_line(2, 11)})});
  json({"cache", "import", "--db", b, write("b.txt", {kHeader, winner_line(1, 9.5), winner_line(4, 12)})});
  const auto report = json({"cache", "merge", a, b, "--db", folder_ + "/ab.db"});
  EXPECT_EQ(report["winners"]["added"], 3);
  EXPECT_EQ(report["winners"]["replaced"], 1);
  json({"cache", "merge", b, a, a, "--db", folder_ + "/ba.db"});
  const std::string ab = run({"cache", "export", "--db", folder_ + "/ab.db"}).output;
  EXPECT_EQ(ab, run({"cache", "export", "--db", folder_ + "/ba.db"}).output);
  EXPECT_NE(ab.find("\"time_us\":9.5"), std::string::npos);
  EXPECT_EQ(run({"cache", "merge", folder_ + "/none.db"}).exit.code, 2);
}

TEST_F(CacheCommand, VerifyFailsOnADamagedFile) {
  json({"cache", "import", write("a.txt", {kHeader, winner_line(1, 10.5)})});
  const auto report = json({"cache", "verify"});
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["winners"]["checked"], 1);
  write("broken.db", {std::string(9000, 'x')});
  const auto outcome = run({"cache", "verify", "--db", folder_ + "/broken.db"});
  EXPECT_EQ(outcome.exit.code, 1);
  EXPECT_NE(outcome.output.find("bad: the file"), std::string::npos) << outcome.output;
  EXPECT_EQ(run({"cache", "verify", "--db", folder_ + "/none.db"}).exit.code, 2);
}

TEST_F(CacheCommand, GcTakesOldAndStaleRowsAway) {
  json({"cache", "import", write("a.txt", {kHeader, winner_line(1, 10.5)})});
  EXPECT_EQ(run({"cache", "gc"}).exit.code, 2);
  EXPECT_EQ(run({"cache", "gc", "--older-than", "90"}).exit.code, 2);
  EXPECT_EQ(json({"cache", "gc", "--older-than", "36500d"})["winners"], 0);
  EXPECT_EQ(json({"cache", "gc", "--stale-templates", "--dry-run"})["winners"], 1);
  EXPECT_EQ(json({"cache", "list"}).size(), 1u);
  EXPECT_EQ(json({"cache", "gc", "--older-than", "1h", "--max-size", "200M"})["winners"], 1);
  EXPECT_EQ(json({"cache", "list"}).size(), 0u);
}

TEST_F(CacheCommand, ShowFindsRowsByTheBeginningOfTheirBinaryKey) {
  const auto row = [](const std::string& key) {
    return R"({"kind":"row","template":"t","template_hash":"h","stage":"s","target":"sm_90a","config":")" +
           key + R"(","binary_key":")" + key + R"("})";
  };
  json({"cache", "import", write("a.txt", {kHeader, row("abc1"), row("abd2")})});
  const auto shown = json({"cache", "show", "abc"});
  EXPECT_EQ(shown["key"], "abc1");
  EXPECT_EQ(shown["rows"].size(), 1u);
  EXPECT_TRUE(shown["binary"].is_null());
  EXPECT_NE(run({"cache", "show", "ab"}).error_output.find("fits 2 keys"), std::string::npos);
  EXPECT_EQ(run({"cache", "show", "x"}).exit.code, 2);
}

TEST_F(CacheCommand, ShowsAndCountsQuarantine) {
  const std::string line =
      R"({"kind":"quarantine","template":"t","template_hash":"h","stage":"s","target":"sm_90a","compiler":"nvrtc 13.0",)"
      R"("verdict":"hang","error":"hang: no answer within 2,000 ms","reached":"launched","binary_key":"abc1"})";
  EXPECT_EQ(json({"cache", "import", write("a.txt", {kHeader, line})})["quarantine"]["added"], 1);
  EXPECT_EQ(json({"cache", "info"})["quarantined"], 1);
  const auto shown = json({"cache", "show", "abc"});
  ASSERT_EQ(shown["quarantine"].size(), 1u);
  EXPECT_EQ(shown["quarantine"][0]["reached"], "launched");
  const std::string text = run({"cache", "show", "abc"}).output;
  EXPECT_NE(text.find("hang: no answer within 2,000 ms"), std::string::npos) << text;
  EXPECT_EQ(json({"cache", "verify"})["quarantine"]["checked"], 1);
  EXPECT_NE(run({"cache", "export"}).output.find(R"("kind":"quarantine")"), std::string::npos);
}

}  // namespace
}  // namespace rtjit

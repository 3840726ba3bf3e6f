// Searching from the outside: strategies on stored measurements, fitting, events, budgets, shards.
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "base/text.h"
#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class SearchCommand : public CommandTest {
 protected:
  // A database with made-up times of every config of tests/data/templates/scale_add in two buckets.
  std::string sweep() {
    const std::string text = folder_ + "/sweep.txt", database = folder_ + "/sweep.db";
    std::ofstream out(text);
    out << R"({"format":"rtjit cache text","version":1})"
        << "\n";
    for (int block : {64, 128, 256, 512}) {
      for (int items : {1, 2, 4, 8}) {
        if (block * items > 2048) continue;
        for (int64_t bucket : {int64_t{0}, int64_t{1024}, int64_t{262144}})
          out << row(block, items, bucket) << "\n";
      }
    }
    out.close();
    EXPECT_TRUE(run({"cache", "import", text, "--db", database}).exit.ok());
    return database;
  }
  static std::string row(int block, int items, int64_t bucket) {
    nlohmann::ordered_json line = {{"kind", "row"},
                                   {"template", "scale_add"},
                                   {"template_hash", "of last month"},
                                   {"problem", "a=1.5"},
                                   {"stage", "add"},
                                   {"bucket", bucket},
                                   {"target", "sm_90a"},
                                   {"sku", "sm_90a,sm=132,smem=232448,l2=62914560,bus=6144,mclk=3201"},
                                   {"variant", "unrolled"},
                                   {"config", fmt::format("block={},items={}", block, items)},
                                   {"verdict", "ok"},
                                   {"registers", 16 + 2 * items},
                                   {"binary_key", "k"},
                                   {"compiler", "nvrtc 13.0"},
                                   {"device_name", "NVIDIA H200"},
                                   {"updated_unix", 1760000000}};
    if (bucket > 0) {
      const double time =
          3 + static_cast<double>(bucket) / 1e5 + std::abs(block - 256) / 100.0 + std::abs(items - 4) / 7.0;
      line.update({{"knowledge", "measured"},
                   {"time_us", time},
                   {"time_low_us", time * 0.98},
                   {"time_high_us", time * 1.02},
                   {"samples", 21}});
    }
    return line.dump();
  }
  std::vector<std::string> call(std::vector<std::string> rest) {
    rest.insert(rest.end(), {"--templates", RTJIT_SOURCE_DIR "/tests/data/templates/scale_add"});
    return rest;
  }
  static std::string read(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
};

TEST_F(SearchCommand, ReplaysStrategiesOnASweep) {
  const std::string database = sweep();
  const auto all =
      json(call({"tune", "scale_add", "--replay", database, "--strategy", "exhaustive", "--samples", "21"}));
  ASSERT_EQ(all["buckets"].size(), 2u);
  for (const auto& bucket : all["buckets"]) {
    EXPECT_EQ(bucket["regret"], 1.0) << bucket;
    EXPECT_EQ(bucket["best_config"], "block=256,items=4");
    EXPECT_EQ(bucket["compiles"], 15);
    EXPECT_EQ(bucket["device"], "NVIDIA H200");
    EXPECT_EQ(bucket["passes"], 0) << "nothing is near the fastest";
  }
  EXPECT_EQ(all["most_passes"], 7);
  EXPECT_EQ(all["compiles"], 15);
  EXPECT_EQ(all["samples"], 2 * 15 * 21);
  const auto few =
      json(call({"tune", "scale_add", "--replay", database, "--measure", "4", "--tokens", "1000"}));
  EXPECT_EQ(few["strategy"], "halving");
  ASSERT_EQ(few["buckets"].size(), 1u);
  EXPECT_GE(few["regret_worst"], 1.0);
  EXPECT_LE(few["measurements"], 5 + 5 + 5);
  EXPECT_LT(few["samples"], 5 * 9);

  const auto table = run(call({"tune", "scale_add", "--replay", database}));
  EXPECT_TRUE(table.exit.ok()) << table.error_output;
  EXPECT_NE(table.output.find("a=1.5 on NVIDIA H200 (sm_90a)"), std::string::npos) << table.output;
  EXPECT_NE(table.output.find("geometric mean"), std::string::npos) << table.output;
}

TEST_F(SearchCommand, FitsWritesAndPlots) {
  const std::string file = folder_ + "/hopper.json", plot = folder_ + "/plot.svg";
  const auto fits = json(call({"fit", "scale_add", sweep(), "-o", file, "--plot", plot}));
  ASSERT_EQ(fits.size(), 1u);
  EXPECT_EQ(fits[0]["family"], "hopper");
  EXPECT_EQ(fits[0]["measurements"], 30);
  EXPECT_LE(fits[0]["after"]["typical_error"], fits[0]["before"]["typical_error"]);
  EXPECT_EQ(fits[0]["buckets"].size(), 2u);
  const auto written = nlohmann::json::parse(read(file));
  EXPECT_EQ(written["family"], "hopper");
  EXPECT_EQ(written["origin"], "fitted by rtjit fit to 30 measurements of 2 buckets on NVIDIA H200");
  EXPECT_NEAR(written["coefficients"]["launch_us"].get<double>(),
              fits[0]["coefficients"]["launch_us"]["after"].get<double>(), 1e-2);
  const std::string svg = read(plot);
  EXPECT_EQ(svg.rfind("<svg", 0), 0u);
  size_t circles = 0;
  for (size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) ++circles;
  EXPECT_EQ(circles, 30u) << "one per measurement";
  const auto table = run(call({"fit", "scale_add", sweep()}));
  EXPECT_NE(table.output.find("geomean"), std::string::npos) << table.output << table.error_output;
}

TEST_F(SearchCommand, SaysWhatIsWrongWithAnOption) {
  const std::vector<std::pair<std::vector<std::string>, const char*>> wrong = {
      {{"--strategy", "best"},
       "--strategy: there is no strategy 'best'; strategies are exhaustive, model, halving, random"},
      {{"--effort", "most"}, "--effort: there is no effort 'most'; efforts are quick, default, thorough"},
      {{"--budget", "60"}, "--budget: '60' is not a time in seconds, minutes or hours"},
      {{"--budget", "0s"}, "--budget: at least one second"},
      {{"--shard", "0/4"}, "--shard: '0/4' is not of the form NUMBER/COUNT"},
      {{"--shard", "5/4"}, "--shard: '5/4'"},
      {{"--device", "any"}, "'any' is not the number of a GPU, nor 'all'"},
      {{"--replay", "/nowhere.db"}, "--replay: there is no database /nowhere.db"}};
  for (const auto& [options, sentence] : wrong) {
    std::vector<std::string> arguments = {"tune", "scale_add", "--target", "sm_90a"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    const auto outcome = run(call(arguments));
    EXPECT_EQ(outcome.exit.code, 2) << sentence;
    EXPECT_NE(outcome.error_output.find(sentence), std::string::npos) << outcome.error_output;
  }
  EXPECT_EQ(run(call({"fit", "scale_add", "/nowhere.db"})).exit.code, 2);
}

TEST_F(SearchCommand, EventsAreOneObjectPerLineAndEndWithTheReport) {
  const auto outcome = run(call(
      {"tune", "scale_add", "--target", "sm_90a", "--tokens", "1000", "--effort", "quick", "--json-events"}));
  ASSERT_TRUE(outcome.exit.ok()) << outcome.error_output;
  std::map<std::string, int> counts;
  nlohmann::json last;
  double before = 0;
  for (const std::string& line : split(outcome.output, '\n')) {
    if (line.empty()) continue;
    last = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(last.is_object()) << line;
    EXPECT_GE(last["ms"], before);
    before = last["ms"];
    ++counts[last["event"].get<std::string>()];
  }
  EXPECT_GT(counts["phase"], 0);
  EXPECT_GT(counts["progress"], 0);
  EXPECT_GT(counts["rejected"], 0);
  EXPECT_EQ(counts["best"], 1);
  EXPECT_EQ(counts["done"], 1);
  EXPECT_EQ(last["event"], "done");
  EXPECT_EQ(last["report"]["winners"][0]["has_winner"], true);
  EXPECT_LE(last["report"]["compiled"], 6 + 1 + 2 + 2)
      << "six, the default, the reference, and those of the emulator";

  const auto explained = json(call({"explain", "scale_add", "--target", "sm_90a", "--tokens", "1000"}));
  bool winner = false;
  for (const auto& entry : explained) {
    if (entry["verdict"] == "ok") {
      EXPECT_GT(entry["of_winner"], 0);
      EXPECT_GT(entry["predicted_rank"], 0);
    }
    if (entry["winner"] == true) {
      winner = true;
      EXPECT_EQ(entry["of_winner"], 1.0);
      EXPECT_GT(entry["rel_l2_limit"], 0);
    }
  }
  EXPECT_TRUE(winner);
}

TEST_F(SearchCommand, TimingsAndShards) {
  std::vector<std::string> arguments = {"tune", "scale_add", "--target", "sm_90a", "--timings", "--quiet"};
  const auto whole = run(call(arguments));
  for (const char* phase : {"waiting for compiles", "verifying winners", "compiling", "loading", "ranking"}) {
    EXPECT_NE(whole.output.find(phase), std::string::npos) << phase << "\n" << whole.output;
  }
  const std::string first = folder_ + "/1.db", second = folder_ + "/2.db", both = folder_ + "/both.db";
  const auto a = json(call({"tune", "scale_add", "--target", "sm_90a", "--shard", "1/2", "--db", first}));
  const auto b = json(call({"tune", "scale_add", "--target", "sm_90a", "--shard", "2/2", "--db", second}));
  EXPECT_EQ(a["winners"].size() + b["winners"].size(), 4u);
  EXPECT_EQ(json({"cache", "merge", first, second, "--db", both})["winners"]["added"], 4);
  const auto merged = json(call({"tune", "scale_add", "--target", "sm_90a", "--db", both}));
  const auto one = json(call({"tune", "scale_add", "--target", "sm_90a"}));
  ASSERT_EQ(merged["winners"].size(), one["winners"].size());
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(merged["winners"][i]["config"], one["winners"][i]["config"]);
    EXPECT_EQ(merged["winners"][i]["from_cache"], true);
  }
}

}  // namespace
}  // namespace rtjit

// The report as a reader gets it: one page whose numbers are those of the database.
#include <cstdlib>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

// A template of sixteen configs, so that tuning it is quick.
const std::vector<std::string> kReportProblem = {
    "scale_add", "--templates", RTJIT_SOURCE_DIR "/tests/data/templates", "--problem", "a=2",
    "--target",  "sm_120a"};

class ReportCommand : public CommandTest {
 protected:
  std::vector<std::string> call(const std::string& verb, std::vector<std::string> rest) {
    std::vector<std::string> arguments = {verb};
    arguments.insert(arguments.end(), kReportProblem.begin(), kReportProblem.end());
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return arguments;
  }
  static int count(const std::string& text, const std::string& what) {
    int found = 0;
    for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++found;
    return found;
  }
  static nlohmann::json data_of(const std::string& page) {
    const std::string begin = "<script type=\"application/json\" id=\"data\">";
    const size_t at = page.find(begin), end = page.find("</script>", at);
    if (at == page.npos || end == page.npos) return {};
    return nlohmann::json::parse(page.substr(at + begin.size(), end - at - begin.size()), nullptr, false);
  }
};

TEST_F(ReportCommand, WithoutAnythingStoredSaysWhatToDo) {
  const ProcessOutcome outcome = run(call("report", {"-o", folder_ + "/page.html"}));
  EXPECT_EQ(outcome.exit.code, 2);
  EXPECT_NE(outcome.error_output.find("rtjit tune"), std::string::npos) << outcome.error_output;
}

TEST_F(ReportCommand, ThePagesNumbersAreTheDatabases) {
  ASSERT_TRUE(run(call("tune", {"--tokens", "1024,262144"})).exit.ok());
  const std::string file = folder_ + "/page.html";
  const ProcessOutcome outcome = run(call("report", {"--tokens", "1024,262144", "-o", file}));
  ASSERT_TRUE(outcome.exit.ok()) << outcome.error_output;
  std::stringstream page;
  page << std::ifstream(file).rdbuf();
  const auto data = data_of(page.str());
  ASSERT_TRUE(data.is_object());
  EXPECT_EQ(data["target"], "sm_120a");
  // One stage in two buckets, each as `query` answers it.
  ASSERT_EQ(data["cells"].size(), 2u);
  const auto answers = json(call("query", {"--tokens", "1024,262144"}));
  ASSERT_EQ(answers.size(), 2u);
  for (const auto& cell : data["cells"]) {
    bool found = false;
    for (const auto& answer : answers) {
      if (answer["stage"] != cell["stage"] || answer["bucket"] != cell["bucket"]) continue;
      found = true;
      EXPECT_EQ(answer["config_text"], cell["config_text"]);
      EXPECT_EQ(answer["time_us"], cell["time_us"]);
      EXPECT_EQ(answer["why"], cell["why"]);
      EXPECT_EQ(answer["knowledge"], "predicted");
    }
    EXPECT_TRUE(found) << cell;
    EXPECT_GE(cell["speedup"].get<double>(), 0.99) << cell;
    // The winner's time is on the page, in the table.
    EXPECT_NE(page.str().find(cell["config_text"].get<std::string>()), std::string::npos);
  }
  // Verdicts per gate are those of explain.
  std::map<std::string, int> verdicts;
  for (const auto& entry : json(call("explain", {"--tokens", "1024", "--static"}))) {
    ++verdicts[entry["verdict"]];
  }
  int rejected = 0;
  for (const auto& [name, number] : data["cells"][0]["verdicts"].items()) {
    if (name == "ok") continue;
    rejected += number.get<int>();
    EXPECT_GE(number.get<int>(), verdicts[name]) << name;
  }
  EXPECT_GT(rejected, 0);
  // Charts: speed-up, times, roofline, verdicts, and a heat map at least. Nothing is measured without a GPU.
  EXPECT_GE(count(page.str(), "<svg "), 5);
  EXPECT_EQ(count(page.str(), "<svg "), count(page.str(), "</svg>"));
  EXPECT_GT(count(page.str(), "class=\"cell\""), 0);
  EXPECT_NE(page.str().find("Nothing was measured here"), std::string::npos);
  EXPECT_EQ(page.str().find("http:"), page.str().find("http://www.w3.org/2000/svg"))
      << "it needs something beside itself";
  // The bars of the winners' times carry the values of the database.
  for (const auto& cell : data["cells"]) {
    char value[64];
    std::snprintf(value, sizeof value, "data-value=\"%.6g\"", cell["time_us"].get<double>());
    EXPECT_NE(page.str().find(value), std::string::npos) << cell;
  }
}

// Times as a GPU would have given them, written into the database by hand: what the page says of them.
struct MeasuredRow {
  int64_t bucket;
  std::string variant, config, verdict;
  double time_us;  // 0: rejected
};

const std::vector<MeasuredRow> kMeasuredRows = {
    {1024, "unrolled", "block=128,items=1", "ok", 8.5},  // the default of small buckets
    {1024, "unrolled", "block=64,items=2", "ok", 6.25},
    {1024, "unrolled", "block=256,items=1", "ok", 7.5},
    {1024, "reference", "", "ok", 9.125},
    {1024, "unrolled", "block=64,items=8", "wrong", 0},
    {16384, "unrolled", "block=128,items=1", "ok", 900},  // the default, where the winner is only predicted
    {262144, "unrolled", "block=256,items=4", "ok", 30},  // the default of large buckets
    {262144, "unrolled", "block=128,items=1", "ok",
     100},  // that of the small ones, which is not compared with
    {262144, "unrolled", "block=128,items=4", "ok", 24},
    {262144, "unrolled", "block=512,items=1", "fault", 0},
    {0, "unrolled", "block=256,items=8", "compile", 0},
    {4194304, "unrolled", "block=128,items=2", "ok", 400}};  // its default was not measured

class MeasuredReport : public ReportCommand {
 protected:
  // Tunes one bucket by predictions, then adds the rows above with their winners, and the same of another
  // problem with times that must not be shown.
  void SetUp() override {
    ASSERT_TRUE(run(call("tune", {"--tokens", "16384"})).exit.ok());
    const auto stored = json({"cache", "list"});
    ASSERT_EQ(stored.size(), 1u);
    const std::string exported = run({"cache", "export"}).output;
    std::smatch hash;
    ASSERT_TRUE(std::regex_search(exported, hash, std::regex("\"template_hash\":\"([0-9a-f]+)\"")));
    std::ofstream text(folder_ + "/measured.txt");
    text << exported.substr(0, exported.find('\n') + 1);
    for (const std::string problem : {"a=2", "a=3"}) {
      auto line = [&](const std::string& kind, const MeasuredRow& row) {
        return nlohmann::json{{"kind", kind},
                              {"template", "scale_add"},
                              {"template_hash", hash[1].str()},
                              {"problem", problem},
                              {"stage", "add"},
                              {"bucket", row.bucket},
                              {"target", "sm_120a"},
                              {"variant", row.variant},
                              {"config", row.config},
                              {"updated_unix", 1795000000}};
      };
      for (const MeasuredRow& row : kMeasuredRows) {
        auto made = line("row", row);
        made["verdict"] = row.verdict;
        if (row.verdict == "ok") {
          made.update(
              {{"knowledge", "measured"}, {"samples", 9}, {"time_us", problem == "a=2" ? row.time_us : 1}});
        } else {
          made["reason"] = row.verdict + ": made up";
        }
        if (row.verdict == "compile") made["compiler"] = "nvrtc 99.9";
        if (row.verdict == "ok" || problem == "a=2") text << made << "\n";
      }
      for (const auto& [bucket, row] : winners()) {
        auto made = line("winner", row);
        made.update({{"knowledge", "measured"},
                     {"verified", true},
                     {"why", "made up"},
                     {"time_us", problem == "a=2" ? row.time_us : 1}});
        text << made << "\n";
      }
    }
    text.close();
    ASSERT_EQ(json({"cache", "import", folder_ + "/measured.txt"})["winners"]["added"], 6);
    const std::string file = folder_ + "/page.html";
    const ProcessOutcome outcome = run(call("report", {"-o", file}));
    ASSERT_TRUE(outcome.exit.ok()) << outcome.error_output;
    std::stringstream page;
    page << std::ifstream(file).rdbuf();
    page_ = page.str();
    const auto data = data_of(page_);
    for (const auto& cell : data["cells"]) cells_[cell["bucket"]] = cell;
    ASSERT_EQ(cells_.size(), 4u);
  }
  // The fastest of each bucket but the predicted one.
  static std::map<int64_t, MeasuredRow> winners() {
    std::map<int64_t, MeasuredRow> best;
    for (const MeasuredRow& row : kMeasuredRows) {
      if (row.verdict != "ok" || row.bucket == 16384) continue;
      auto [at, added] = best.emplace(row.bucket, row);
      if (!added && row.time_us < at->second.time_us) at->second = row;
    }
    return best;
  }
  // What `explain` says of each config of the bucket, by variant and config.
  std::map<std::string, nlohmann::json> explained(int64_t bucket) {
    std::map<std::string, nlohmann::json> entries;
    for (const auto& entry : json(call("explain", {"--static", "--tokens", std::to_string(bucket)}))) {
      entries[entry["variant"].get<std::string>() + " " + entry["config_text"].get<std::string>()] = entry;
    }
    return entries;
  }
  template <typename... Values>
  static std::string printed(const char* format, Values... values) {
    char text[200];
    std::snprintf(text, sizeof text, format, values...);
    return text;
  }
  std::string page_;
  std::map<int64_t, nlohmann::json> cells_;
};

TEST_F(MeasuredReport, WinnersAndSpeedUpsAreThoseOfTheRows) {
  for (const auto& [bucket, winner] : winners()) {
    const auto& cell = cells_[bucket];
    EXPECT_EQ(cell["variant"], winner.variant) << cell;
    EXPECT_EQ(cell["config_text"], winner.config) << cell;
    EXPECT_EQ(cell["time_us"], winner.time_us) << cell;
    EXPECT_EQ(cell["knowledge"], "measured") << cell;
    EXPECT_NE(page_.find(printed("data-value=\"%.6g\"", winner.time_us)), std::string::npos) << cell;
  }
  EXPECT_EQ(cells_[1024]["default_us"], 8.5);
  EXPECT_EQ(cells_[1024]["speedup"], 8.5 / 6.25);
  EXPECT_EQ(cells_[262144]["default_us"], 30);
  EXPECT_EQ(cells_[262144]["speedup"], 30.0 / 24);
  EXPECT_EQ(cells_[4194304]["default_us"], 0) << "it was not measured";
  EXPECT_EQ(cells_[4194304]["speedup"], 0);
  for (int64_t bucket : {1024, 262144}) {
    const double speedup = cells_[bucket]["speedup"];
    EXPECT_NE(page_.find(printed("data-value=\"%.6g\"", speedup)), std::string::npos) << speedup;
    EXPECT_NE(page_.find(printed("<td class=\"n\">%.2f</td>", speedup)), std::string::npos) << speedup;
  }
  // What is predicted is compared with a prediction, whatever was measured of the default.
  const double predicted = explained(16384)["unrolled block=128,items=1"]["predicted_us"];
  EXPECT_EQ(cells_[16384]["knowledge"], "predicted");
  EXPECT_EQ(cells_[16384]["default_us"], predicted);
  EXPECT_EQ(cells_[16384]["speedup"], predicted / cells_[16384]["time_us"].get<double>());
}

TEST_F(MeasuredReport, EveryMeasuredTimeIsAPointBesideItsPrediction) {
  int points = 0;
  for (const auto& [bucket, cell] : cells_) {
    auto entries = explained(bucket);
    std::map<std::string, double> expected, shown;
    for (const MeasuredRow& row : kMeasuredRows) {
      if (row.bucket == bucket && row.verdict == "ok") expected[row.variant + " " + row.config] = row.time_us;
    }
    for (const auto& point : cell["measured"]) {
      const std::string name =
          point["variant"].get<std::string>() + " " + point["config_text"].get<std::string>();
      shown[name] = point["measured_us"];
      const double predicted = point["predicted_us"];
      EXPECT_GT(predicted, 0) << name;
      EXPECT_EQ(predicted, entries[name]["predicted_us"]) << name;
      const std::string label =
          printed("<title>add bucket %d %s: measured %.1f us, predicted %.1f us</title>",
                  static_cast<int>(bucket), name.c_str(), shown[name], predicted);
      EXPECT_EQ(count(page_, label), 1) << label;
    }
    EXPECT_EQ(shown, expected) << bucket;
    points += static_cast<int>(expected.size());
  }
  EXPECT_EQ(count(page_, ": measured "), points);
  EXPECT_EQ(page_.find("Nothing was measured here"), std::string::npos);
}

TEST_F(MeasuredReport, RooflinePointsFollowFromTheTimes) {
  for (auto& [bucket, cell] : cells_) {
    // The template's manifest: two operations and twelve bytes for each element.
    const double n = static_cast<double>(bucket), time = cell["time_us"];
    EXPECT_EQ(cell["flops"], 2 * n);
    EXPECT_EQ(cell["dram_bytes"], 12 * n);
    const std::string label = printed("<title>add bucket %d: %.1f us, %.0f GB/s</title>",
                                      static_cast<int>(bucket), time, 12 * n / time * 1e-3);
    EXPECT_EQ(count(page_, label), 1) << label;
  }
  EXPECT_EQ(count(page_, " GB/s</title>"), 4);
}

// A config that failed when it ran, or that the compiler refused, counts in every bucket.
TEST_F(MeasuredReport, RejectedConfigsAreCountedByGate) {
  const nlohmann::json expected = {{"ok", 13}, {"constraint", 1}, {"compile", 1}, {"fault", 1}, {"wrong", 1}};
  for (const auto& [bucket, cell] : cells_) EXPECT_EQ(cell["verdicts"], expected) << bucket;
}

// What a browser makes of the page: every chart has a size and something in it, and the bars that it draws
// carry the numbers of the data.
TEST_F(ReportCommand, ABrowserDrawsTheCharts) {
  if (std::system("command -v chromium > /dev/null") != 0)
    GTEST_SKIP() << "no chromium here to open the page";
  ASSERT_TRUE(run(call("tune", {"--tokens", "1024,262144"})).exit.ok());
  const std::string file = folder_ + "/page.html";
  ASSERT_TRUE(run(call("report", {"--tokens", "1024,262144", "-o", file})).exit.ok());
  std::ofstream(file, std::ios::app) << R"(<script>
    const data = JSON.parse(document.getElementById('data').textContent);
    const drawn = [...document.querySelectorAll('svg')].filter(
        s => s.getBoundingClientRect().height > 50 && s.querySelectorAll('rect, circle, line').length > 0);
    const bars = [...document.querySelectorAll('.bar')].filter(b => b.getBoundingClientRect().height > 0);
    const missing = data.cells.filter(c => !bars.some(b => Math.abs(b.dataset.value - c.time_us) < 1e-4 * c.time_us));
    document.body.innerHTML = `drawn=${drawn.length} of ${document.querySelectorAll('svg').length}, ` +
        `missing=${missing.length} of ${data.cells.length}`;
  </script>)";
  ProcessOptions options;
  options.arguments = {"chromium",      "--headless", "--no-sandbox",
                       "--disable-gpu", "--dump-dom", "--user-data-dir=" + folder_ + "/browser",
                       "file://" + file};
  auto outcome = run_process(options, Milliseconds(120'000));
  ASSERT_TRUE(outcome.ok());
  std::smatch counts;
  ASSERT_TRUE(std::regex_search(outcome->output, counts,
                                std::regex("drawn=(\\d+) of (\\d+), missing=(\\d+) of (\\d+)")))
      << outcome->output << outcome->error_output;
  EXPECT_EQ(counts[1], counts[2]);
  EXPECT_GE(std::stoi(counts[1]), 5);
  EXPECT_EQ(counts[3], "0");
  EXPECT_EQ(counts[4], "2");
}

}  // namespace
}  // namespace rtjit

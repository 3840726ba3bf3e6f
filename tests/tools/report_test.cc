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

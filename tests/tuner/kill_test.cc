// Tuning is killed at random moments, again and again: what was finished is kept and not done again, the
// database is whole each time, and the final table is the one of a run that nobody disturbed.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "base/process.h"
#include "base/text.h"
#include "cache/contents.h"
#include "cache/database.h"
#include "cache/row_text.h"
#include "cache/verify.h"
#include "tests/cache/effort.h"
#include "tests/tuner/scale_add.h"

namespace rtjit::test {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

// The fastest config is wrong, two others fault and hang; the rest takes long enough to be hit. Of those that
// are right, two are near each other.
constexpr const char* kMisbehaviour =
    "unrolled<128,2>=wrong;unrolled<128, 2>=wrong;unrolled<64,2>=fault;unrolled<64, 2>=fault;"
    "unrolled<256,2>=hang;unrolled<256, 2>=hang;unrolled<128,4>=us:122;unrolled<128, 4>=us:122;"
    "unrolled=delay;reference=delay";

Contents contents_of(const std::string& path) {
  auto contents = read_contents(path, {.with_binaries = false});
  EXPECT_TRUE(contents.ok()) << (contents.ok() ? "" : contents.error().message);
  return contents.ok() ? *std::move(contents) : Contents();
}

// Whether a process came as far as making the tables, which happens in one step.
bool has_tables(const std::string& path) {
  if (!std::filesystem::exists(path)) return false;
  auto database = Database::open(path, {});
  if (!database.ok()) return false;
  auto objects = (*database)->query_integer("SELECT count(*) FROM sqlite_master");
  EXPECT_TRUE(objects.ok()) << objects.error().message;
  return objects.ok() && *objects > 0;
}

// All that a tune finds out, without the moment at which it did.
std::string table_of(const std::string& path) {
  Contents contents = contents_of(path);
  std::string text;
  for (WinnerRow row : contents.winners) row.updated_unix = 1, text += to_line(row) + '\n';
  for (TuningRow row : contents.rows) row.updated_unix = 1, text += to_line(row) + '\n';
  for (QuarantineRow row : contents.quarantine) row.updated_unix = 1, text += to_line(row) + '\n';
  return text;
}

// Bucket and config of what has been measured, or has failed when it ran.
std::set<std::string> finished_in(const std::string& path) {
  std::set<std::string> finished;
  if (!has_tables(path)) return finished;
  const Contents contents = contents_of(path);
  for (const TuningRow& row : contents.rows) {
    if (row.knowledge != Knowledge::measured && !failed_when_run(row.verdict)) continue;
    finished.insert(fmt::format("{} {}", row.key.bucket, row.key.config));
  }
  return finished;
}

// The same of what the fake device was asked to time.
std::set<std::string> timed_in(const std::string& log) {
  std::set<std::string> timed;
  std::ifstream lines(log);
  for (std::string line; std::getline(lines, line);) {
    int block = 0, items = 0;
    const size_t name = line.find("unrolled<"), size = line.find("n=");
    if (name == std::string::npos || size == std::string::npos) continue;
    if (std::sscanf(line.c_str() + name, "unrolled<%d,%d>", &block, &items) != 2) continue;
    timed.insert(fmt::format("{} block={},items={}", line.substr(size + 2), block, items));
  }
  return timed;
}

std::vector<int> children_of(int pid) {
  std::ifstream list(fmt::format("/proc/{}/task/{}/children", pid, pid));
  std::vector<int> children;
  for (int child = 0; list >> child;) children.push_back(child);
  return children;
}

class KillTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("rtjit_kill_{}", getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }

  std::unique_ptr<ChildProcess> start(const std::string& database, const std::string& strategy = "model") {
    ProcessOptions options;
    // With passes that settle who wins, where samples are taken bit by bit anyway.
    const std::string passes = strategy == "halving" ? "7" : "0";
    options.arguments = {"/proc/self/exe", "tune", database, kMisbehaviour, strategy, passes};
    auto child = ChildProcess::start(options);
    EXPECT_TRUE(child.ok());
    return *std::move(child);
  }

  void run_to_the_end(const std::string& database, const std::string& strategy) {
    auto child = start(database, strategy);
    auto exit = child->wait(120s);
    ASSERT_TRUE(exit.has_value());
    ASSERT_TRUE(exit->ok()) << exit->describe() << ": " << child->error_output();
  }

  std::filesystem::path folder_;
};

TEST_F(KillTest, KilledAtRandomMomentsTheTableIsTheSame) {
  const Clock::time_point begin = Clock::now();
  // One that takes all samples of a config at once, and one that comes back for more.
  const std::vector<std::string> strategies = {"model", "halving"};
  std::map<std::string, std::string> expected;
  for (const std::string& strategy : strategies) {
    const std::string undisturbed = file(strategy + ".db");
    run_to_the_end(undisturbed, strategy);
    expected[strategy] = table_of(undisturbed);
    ASSERT_EQ(contents_of(undisturbed).winners.size(), 2u) << strategy;
    ASSERT_EQ(contents_of(undisturbed).quarantine.size(), 2u) << strategy;
    ASSERT_EQ(expected[strategy].find("; settled, us by pass:") != std::string::npos, strategy == "halving");
  }
  const auto duration = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin) / 2;

  const int wanted = effort("RTJIT_TUNE_KILLS", 8);
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  std::mt19937 random(seed);
  int kills = 0;
  std::map<std::string, int> by_kind;
  for (int cycle = 0; kills < wanted; ++cycle) {
    const std::string database = file(fmt::format("killed{}.db", cycle));
    const std::string& strategy = strategies[static_cast<size_t>(cycle) % strategies.size()];
    bool finished = false;
    while (!finished && kills < wanted) {
      auto child = start(database, strategy);
      const auto moment = std::chrono::milliseconds(random() % static_cast<unsigned>(duration.count() + 1));
      auto exit = child->wait(moment);
      const char* what = "";
      if (!exit) {
        ++kills;
        switch (random() % 4) {
          case 0:
            what = "kill -9";
            ::kill(child->pid(), SIGKILL);
            break;
          case 1:
            what = "SIGTERM";
            ::kill(child->pid(), SIGTERM);
            break;
          case 2:
            what = "SIGINT";
            ::kill(child->pid(), SIGINT);
            break;
          default:
            what = "kill -9 of the worker";
            for (int worker : children_of(child->pid())) ::kill(worker, SIGKILL);
        }
        ++by_kind[what];
        exit = child->wait(120s);
      }
      ASSERT_TRUE(exit.has_value()) << what << ": the process does not end";
      if (exit->signal == 0) {
        EXPECT_THAT(exit->code, testing::AnyOf(0, 130)) << what << ": " << child->error_output();
      }
      finished = exit->ok();
      if (!has_tables(database)) continue;
      auto report = verify_database(database);
      ASSERT_TRUE(report.ok()) << report.error().message;
      ASSERT_TRUE(report->ok()) << what << ": " << report->findings.front();
    }
    run_to_the_end(database, strategy);
    ASSERT_EQ(table_of(database), expected[strategy]) << strategy << ", cycle " << cycle;
  }
  std::string kinds;
  for (const auto& [kind, count] : by_kind)
    kinds += fmt::format("{}{} {}", kinds.empty() ? "" : ", ", count, kind);
  fmt::print("{} kills ({}), seed {}\n", kills, kinds, seed);
}

// What the database says is finished is not timed again.
TEST_F(KillTest, FinishedCandidatesAreNotRepeated) {
  const std::string database = file("cache.db"), log = file("log");
  ::setenv("RTJIT_FAKE_LOG", log.c_str(), 1);
  size_t timed_at_all = 0;
  bool ended = false;
  for (int round = 0; round < 100 && !ended; ++round) {
    const std::set<std::string> before = finished_in(database);
    std::filesystem::remove(log);
    auto child = start(database);
    // Killed as soon as something more is finished.
    const Clock::time_point limit = Clock::now() + 60s;
    while (!ended && finished_in(database).size() <= before.size() && Clock::now() < limit)
      ended = child->wait(5ms).has_value();
    child->kill();
    for (const std::string& config : timed_in(log)) {
      ++timed_at_all;
      EXPECT_FALSE(before.contains(config)) << config << " in round " << round;
    }
  }
  ::unsetenv("RTJIT_FAKE_LOG");
  EXPECT_TRUE(ended);
  EXPECT_GT(timed_at_all, 10u) << "the log shows nothing";
  EXPECT_GE(finished_in(database).size(), 20u) << "ten configs of two buckets";
}

// A worker must not outlive the process that started it, however that ends.
TEST_F(KillTest, TheWorkerDiesWithItsParent) {
  auto child = start(file("cache.db"));
  std::vector<int> workers;
  const Clock::time_point limit = Clock::now() + 60s;
  while (workers.empty() && Clock::now() < limit) {
    workers = children_of(child->pid());
    std::this_thread::sleep_for(2ms);
  }
  ASSERT_EQ(workers.size(), 1u);
  // It is listed before it has run at all, or its parent gone on.
  while (::getpgid(workers[0]) != workers[0] && Clock::now() < limit) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(::getpgid(workers[0]), workers[0]) << "a process group of its own";
  ::kill(child->pid(), SIGKILL);
  child->wait(10s);
  bool alive = true;
  for (int i = 0; i < 500 && alive; ++i) {
    alive = std::filesystem::exists(fmt::format("/proc/{}/exe", workers[0])) && ::kill(workers[0], 0) == 0;
    if (alive) std::this_thread::sleep_for(10ms);
  }
  EXPECT_FALSE(alive);
}

}  // namespace
}  // namespace rtjit::test

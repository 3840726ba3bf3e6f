// Many processes and threads on one file.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <random>
#include <thread>

#include "cache/database.h"
#include "tests/cache/cache_test_util.h"
#include "tests/cache/effort.h"

namespace rtjit {
namespace {

using testing::IsEmpty;

TuningRow row_of(int process, int number) {
  TuningRow row = sample_row(number);
  row.key.variant = fmt::format("process-{}", process);
  row.verdict = Verdict::ok;
  row.knowledge = Knowledge::measured;
  return row;
}

// Writes `count` rows one by one, reading in between; the exit status is that of a child process.
int write_rows(const std::string& path, int process, int count) {
  WatchedStore store(path);
  for (int i = 0; i < count; ++i) {
    if (!store->put_row(row_of(process, i)).ok()) return 1;
    if (store->rows(row_of(process, i).key)->size() != 1) return 2;
    const auto begin = std::chrono::steady_clock::now();
    if (i % 20 == 0 && !store->winners(any_winner()).ok()) return 3;
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(1)) return 4;  // readers do not wait
  }
  return store.warnings.empty() ? 0 : 5;
}

void expect_all_rows(const std::string& path, int processes, int count) {
  WatchedStore store(path);
  EXPECT_EQ(static_cast<int>(store->rows(any_row())->size()), processes * count);
  EXPECT_THAT(store.warnings, IsEmpty());
  auto database = Database::open(path, {});
  EXPECT_TRUE((*database)->check_integrity().ok());
}

TEST(Processes, EightWritersLoseNothing) {
  const TempFolder folder;
  const std::string path = folder.file("new/cache.db");  // they race for its creation too
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) children.push_back(start_child([&, i] { return write_rows(path, i, 200); }));
  for (const pid_t child : children) EXPECT_EQ(wait_child(child), 0);
  expect_all_rows(path, 8, 200);
}

// What one of many processes found out while all of them opened, asked and wrote.
struct Round {
  int rows = 0, winners = 0, binaries = 0;
  double longest_read_s = 0, longest_write_s = 0;
  int error = 0;
};

Round open_ask_and_write(const std::string& path, int process, std::chrono::steady_clock::time_point end) {
  using Clock = std::chrono::steady_clock;
  Round round;
  const auto timed = [](double* longest, auto&& body) {
    const auto begin = Clock::now();
    const bool good = body();
    *longest = std::max(*longest, std::chrono::duration<double>(Clock::now() - begin).count());
    return good;
  };
  std::mt19937 random(process);
  while (Clock::now() < end && round.error == 0) {
    WatchedStore store(path);
    for (int i = 0; i < 20 && round.error == 0; ++i) {
      const int number = round.rows++;
      if (!timed(&round.longest_write_s, [&] { return store->put_row(row_of(process, number)).ok(); })) round.error = 1;
      const bool read = timed(&round.longest_read_s, [&] {
        const auto rows = store->rows(row_of(process, static_cast<int>(random() % round.rows)).key);
        return rows.ok() && rows->size() == 1 && store->winners(any_winner()).ok();
      });
      if (!read) round.error = 2;
      if (i % 10 == 0) {
        WinnerRow winner = sample_winner(1 << process % 14);
        winner.problem = fmt::format("process-{}", process);
        if (!store->put_winner(winner).ok()) round.error = 3;
        const std::string key = fmt::format("{}-{}", process, round.binaries++);
        if (!store->put_binary(sample_binary(key, 3000), "sm_90a", "").ok() || *store->find_binary(key) == nullptr)
          round.error = 4;
      }
    }
    if (!store.warnings.empty()) round.error = 5;
  }
  return round;
}

// RTJIT_TEST_SECONDS=60 for the whole of it. How long somebody waited is judged only then: it says nothing while the
// machine also runs other tests.
TEST(Processes, ThirtyTwoThatOpenAskAndWriteLoseNothing) {
  constexpr int kProcesses = 32, kEverydaySeconds = 2;
  const int seconds = effort("RTJIT_TEST_SECONDS", kEverydaySeconds);
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(start_child([&, i] {
      const Round round = open_ask_and_write(path, i, end);
      return write(report[1], &round, sizeof round) == sizeof round ? round.error : 99;
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(wait_child(child), 0);
  Round sum;
  for (int i = 0; i < kProcesses; ++i) {
    Round round;
    ASSERT_EQ(read(report[0], &round, sizeof round), static_cast<ssize_t>(sizeof round));
    sum.rows += round.rows;
    sum.binaries += round.binaries;
    sum.longest_read_s = std::max(sum.longest_read_s, round.longest_read_s);
    sum.longest_write_s = std::max(sum.longest_write_s, round.longest_write_s);
  }
  close(report[0]);
  close(report[1]);
  fmt::print("{} processes, {} s: {} rows, {} binaries; longest read {:.3f} s, longest write {:.3f} s\n", kProcesses, seconds,
             sum.rows, sum.binaries, sum.longest_read_s, sum.longest_write_s);
  if (seconds > kEverydaySeconds) {
    EXPECT_LT(sum.longest_read_s, 1.0);
  }
  WatchedStore store(path);
  EXPECT_EQ(static_cast<int>(store->rows(any_row())->size()), sum.rows);
  EXPECT_EQ(store->info()->binaries, sum.binaries);
  auto database = Database::open(path, {});
  EXPECT_TRUE((*database)->check_integrity().ok());
}

TEST(Processes, ADamagedFileIsSetAsideOnceByAllOfThem) {
  for (int round = 0; round < 5; ++round) {
    const TempFolder folder;
    const std::string path = folder.file("cache.db");
    write_file(path, std::string("SQLite format 3\0", 16) + std::string(8192, 'z'));
    std::vector<pid_t> children;
    for (int i = 0; i < 8; ++i) {
      children.push_back(start_child([&, i] {
        const int status = write_rows(path, i, 10);
        return status == 5 ? 0 : status;  // one of them warns
      }));
    }
    for (const pid_t child : children) EXPECT_EQ(wait_child(child), 0);
    EXPECT_EQ(count_set_aside(folder.path()), 1);
    expect_all_rows(path, 8, 10);
  }
}

TEST(Processes, AFileDamagedUnderAllOfThemIsSetAsideAndNothingWrittenLaterIsLost) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  { ASSERT_TRUE(WatchedStore(path)->put_row(sample_row(1)).ok()); }
  int gate[2];
  ASSERT_EQ(pipe(gate), 0);
  std::vector<pid_t> children;
  for (int i = 0; i < 6; ++i) {
    children.push_back(start_child([&, i]() -> int {
      close(gate[1]);
      WatchedStore store(path);
      if (store->rows(sample_row(1).key)->size() != 1) return 1;
      char byte;
      if (read(gate[0], &byte, 1) != 0) return 2;  // until the parent has damaged the file
      for (int n = 0; n < 20; ++n) {
        if (!store->put_row(row_of(i, n)).ok()) return 3;
      }
      return 0;
    }));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  std::string bytes = read_file(path);
  std::fill(bytes.begin() + 100, bytes.end(), '\x77');
  {
    FILE* file = fopen(path.c_str(), "r+");  // in place: the same file to those who have it open
    fwrite(bytes.data(), 1, bytes.size(), file);
    fclose(file);
  }
  close(gate[0]);
  close(gate[1]);
  for (const pid_t child : children) EXPECT_EQ(wait_child(child), 0);
  WatchedStore store(path);
  int found = 0;
  for (int i = 0; i < 6; ++i) {
    RowKey pattern = any_row();
    pattern.variant = fmt::format("process-{}", i);
    found += static_cast<int>(store->rows(pattern)->size());
  }
  EXPECT_EQ(found, 120);
}

TEST(Processes, KillingAWriterAtAnyMomentLosesNothingCommitted) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  std::mt19937 random(4711);
  int committed_total = 0;
  const int kills = effort("RTJIT_TEST_KILLS", 30);
  for (int round = 0; round < kills; ++round) {
    SCOPED_TRACE(round);
    int report[2];
    ASSERT_EQ(pipe(report), 0);
    const pid_t child = start_child([&]() -> int {
      WatchedStore store(path);
      for (int i = 0; i < 100000; ++i) {
        if (!store->put_row(row_of(round, i)).ok()) return 1;
        if (i % 8 == 0 &&
            !store->put_binary(sample_binary(fmt::format("{}-{}", round, i)), "sm_90a", "").ok())
          return 2;
        if (write(report[1], "x", 1) != 1) return 3;
      }
      return 0;
    });
    close(report[1]);
    std::this_thread::sleep_for(std::chrono::microseconds(500 + random() % 60000));
    kill(child, SIGKILL);
    EXPECT_EQ(wait_child(child), 128 + SIGKILL);
    int committed = 0;
    char byte;
    while (read(report[0], &byte, 1) == 1) ++committed;
    close(report[0]);
    committed_total += committed;

    WatchedStore store(path);
    RowKey pattern = any_row();
    pattern.variant = fmt::format("process-{}", round);
    const int found = static_cast<int>(store->rows(pattern)->size());
    EXPECT_GE(found, committed);
    EXPECT_LE(found, committed + 1);
    for (int i = 0; i < committed; i += 8)
      EXPECT_NE(*store->find_binary(fmt::format("{}-{}", round, i)), nullptr);
    EXPECT_THAT(store.warnings, IsEmpty());
    auto database = Database::open(path, {});
    ASSERT_TRUE(database.ok());
    const Status integrity = (*database)->check_integrity();
    EXPECT_TRUE(integrity.ok()) << integrity.error().message;
  }
  EXPECT_GT(committed_total, kills) << "the writers were killed before they wrote";
  EXPECT_EQ(count_set_aside(folder.path()), 0);
}

TEST(Processes, ThreadsShareAStore) {
  const TempFolder folder;
  WatchedStore store(folder.file("cache.db"));
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        if (!store->put_row(row_of(t, i)).ok()) ++failures;
        if (store->rows(row_of(t, i).key)->size() != 1) ++failures;
        if (i % 10 == 0 && !store->put_binary(sample_binary(fmt::format("{}-{}", t, i)), "sm_90a", "").ok())
          ++failures;
        if (*store->find_binary(fmt::format("{}-{}", t, i / 10 * 10)) == nullptr) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(store->rows(any_row())->size(), 400u);
}

}  // namespace
}  // namespace rtjit

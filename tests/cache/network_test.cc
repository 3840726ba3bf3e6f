// A cache on a network file system, where shared memory between machines does not exist: no write-ahead log,
// said once, and nothing lost. The tests have no NFS: the store is told that it is on one.
#include <gmock/gmock.h>
#include <signal.h>

#include <thread>

#include "cache/database.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

StoreOptions on_nfs(const std::string& path) {
  StoreOptions options;
  options.path = path;
  options.network_file_system = [](const std::string&) { return std::string("nfs"); };
  return options;
}

std::string journal_of(const std::string& path) {
  auto database = Database::open(path, {});
  EXPECT_TRUE(database.ok());
  return *(*database)->query_text("PRAGMA journal_mode");
}

TEST(NetworkFileSystem, HasNoWriteAheadLogAndSaysItOnce) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  WatchedStore store(on_nfs(path));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(store->put_row(sample_row(i)).ok());
  ASSERT_TRUE(store->put_binary(sample_binary("k"), "sm_90a", "").ok());
  EXPECT_EQ(store->rows(any_row())->size(), 5u);
  ASSERT_EQ(store.warnings.size(), 1u);
  EXPECT_THAT(store.warnings[0],
              HasSubstr("is on a network file system (nfs): it is used without a write-ahead log"));
  EXPECT_THAT(store.warnings[0], HasSubstr("RTJIT_CACHE"));
  EXPECT_THAT(files_in(folder.path()), testing::Not(testing::Contains(HasSubstr("-wal"))));
  EXPECT_THAT(files_in(folder.path()), testing::Not(testing::Contains(HasSubstr("-shm"))));
  EXPECT_EQ(journal_of(path), "delete");
}

TEST(NetworkFileSystem, AFileThatHadALogIsChangedWithItsRows) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  {
    WatchedStore local(path);
    ASSERT_TRUE(local->put_row(sample_row(1)).ok());
    EXPECT_EQ(journal_of(path), "wal");
  }
  WatchedStore store(on_nfs(path));
  EXPECT_EQ(store->rows(any_row())->size(), 1u);
  ASSERT_TRUE(store->put_row(sample_row(2)).ok());
  EXPECT_EQ(journal_of(path), "delete");
  EXPECT_EQ(WatchedStore(on_nfs(path))->rows(any_row())->size(), 2u);
}

TEST(NetworkFileSystem, AReadOnlyLayerThereIsNotSpokenOf) {
  const TempFolder folder;
  { ASSERT_TRUE(WatchedStore(folder.file("below.db"))->put_row(sample_row(1)).ok()); }
  StoreOptions options = on_nfs(":memory:");
  options.read_only = {folder.file("below.db")};
  WatchedStore store(options);
  EXPECT_EQ(store->rows(any_row())->size(), 1u);
  EXPECT_THAT(store.warnings, IsEmpty());
}

TEST(NetworkFileSystem, ManyWritersLoseNothingAndAKilledOneNothingCommitted) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  constexpr int kProcesses = 6, kRows = 25;
  const auto row_of = [](int process, int number) {
    TuningRow row = sample_row(number);
    row.key.variant = fmt::format("process-{}", process);
    return row;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(start_child([&, i]() -> int {
      WatchedStore store(on_nfs(path));
      for (int n = 0; n < kRows; ++n) {
        if (!store->put_row(row_of(i, n)).ok()) return 1;
        if (store->rows(row_of(i, n).key)->size() != 1) return 2;
      }
      return store.warnings.size() == 1 ? 0 : 3;
    }));
  }
  int report[2];
  ASSERT_EQ(pipe(report), 0);
  const pid_t victim = start_child([&]() -> int {
    WatchedStore store(on_nfs(path));
    for (int n = 0;; ++n) {
      if (!store->put_row(row_of(99, n)).ok() || write(report[1], "x", 1) != 1) return 1;
    }
  });
  close(report[1]);
  char byte = 0;
  ASSERT_EQ(read(report[0], &byte, 1), 1);  // it has written at least one
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  kill(victim, SIGKILL);
  EXPECT_EQ(wait_child(victim), 128 + SIGKILL);
  int committed = 1;
  while (read(report[0], &byte, 1) == 1) ++committed;
  close(report[0]);
  for (const pid_t child : children) EXPECT_EQ(wait_child(child), 0);

  WatchedStore store(on_nfs(path));
  const int found = static_cast<int>(store->rows(any_row())->size());
  EXPECT_GE(found, kProcesses * kRows + committed);
  EXPECT_LE(found, kProcesses * kRows + committed + 1);
  EXPECT_EQ(count_set_aside(folder.path()), 0);
  auto database = Database::open(path, {});
  EXPECT_TRUE((*database)->check_integrity().ok());
}

}  // namespace
}  // namespace rtjit

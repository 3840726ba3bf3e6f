// A disk that is full, read-only or broken: reading goes on, writing says so, nothing committed is lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>

#include "base/files.h"
#include "cache/database.h"
#include "tests/cache/cache_test_util.h"
#include "tests/cache/fault_vfs.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

constexpr int kCannot = 77;  // exit status of a child that may not do what the test needs

// What a process does with a store whose writes may fail at any point.
int work(const std::string& path, const std::string& vfs, std::vector<int>* committed) {
  WatchedStore store(StoreOptions{.path = path, .vfs = vfs});
  int failures = 0;
  for (int i = 1; i <= 4; ++i) {
    const Status status = store->put_row(sample_row(i));
    if (status.ok()) {
      committed->push_back(i);
    } else {
      ++failures;
      const ErrorCode code = status.error().code;
      EXPECT_TRUE(code == ErrorCode::io || code == ErrorCode::read_only) << status.error().message;
    }
    EXPECT_TRUE(store->rows(any_row()).ok());
  }
  if (!store->put_binary(sample_binary("k", 30000), "sm_90a", "").ok()) ++failures;
  const auto binary = store->find_binary("k");
  EXPECT_TRUE(binary.ok());
  EXPECT_TRUE(*binary == nullptr || (*binary)->cubin == sample_binary("k", 30000).cubin);
  EXPECT_TRUE(failures == 0 || !store.warnings.empty());
  EXPECT_LE(store.warnings.size(), 4u) << "each cause is said once";
  return failures;
}

void check_afterwards(const TempFolder& folder, const std::string& path, const std::vector<int>& committed) {
  EXPECT_EQ(count_set_aside(folder.path()), 0) << "a full disk is no damage";
  if (file_identity(path)) {
    auto database = Database::open(path, {});
    ASSERT_TRUE(database.ok());
    const Status integrity = (*database)->check_integrity();
    EXPECT_TRUE(integrity.ok()) << integrity.error().message;
  }
  WatchedStore store(path);
  std::vector<std::string> found;
  const auto rows = store->rows(any_row());
  for (const TuningRow& row : *rows) found.push_back(describe(row));
  for (const int number : committed) EXPECT_THAT(found, testing::Contains(describe(sample_row(number))));
  const Status status = store->put_row(sample_row(9));
  EXPECT_TRUE(status.ok()) << status.error().message;
}

void fail_at_every_write(bool fresh, FaultPlan plan) {
  int failed_runs = 0;
  for (plan.fail_at = 0;; ++plan.fail_at) {
    SCOPED_TRACE(plan.fail_at);
    const TempFolder folder;
    const std::string path = folder.file("cache.db");
    std::vector<int> committed;
    if (!fresh) {
      ASSERT_TRUE(WatchedStore(path)->put_row(sample_row(20)).ok());
      committed.push_back(20);
    }
    const std::string vfs = set_fault_plan(plan);
    if (work(path, vfs, &committed) > 0) ++failed_runs;
    const bool reached = fault_operations() > plan.fail_at;
    check_afterwards(folder, path, committed);
    if (testing::Test::HasFailure()) return;
    if (!reached) break;
  }
  EXPECT_GT(plan.fail_at, 10) << "the layer saw too few writes to say anything";
  EXPECT_GT(failed_runs, plan.for_good ? 10 : 0);
}

TEST(StorageFailure, DiskFullAtEveryWriteOfAFreshFile) { fail_at_every_write(true, {}); }
TEST(StorageFailure, DiskFullAtEveryWriteOfAnOldFile) { fail_at_every_write(false, {}); }
TEST(StorageFailure, DiskFullOnce) { fail_at_every_write(false, {.for_good = false}); }
TEST(StorageFailure, HalfAWriteAndThenAnError) {
  fail_at_every_write(false, {.partly = true, .sqlite_code = SQLITE_IOERR_WRITE});
  fail_at_every_write(true, {.partly = true, .sqlite_code = SQLITE_IOERR_WRITE});
}

TEST(StorageFailure, WritingGoesOnWhenThereIsSpaceAgain) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  WatchedStore store(StoreOptions{.path = path, .vfs = set_fault_plan({.fail_at = 0})});
  const Status status = store->put_row(sample_row(1));
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("full"));
  set_fault_plan({});
  EXPECT_TRUE(store->put_row(sample_row(1)).ok());
  EXPECT_EQ(store->rows(any_row())->size(), 1u);
}

// Checks of a store that can only be read; the number of the first that fails, or 0. For child processes,
// whose EXPECTs nobody would see.
int check_read_only(const std::string& path, bool in_folder) {
  WatchedStore store(path);
  if (store->rows(any_row())->size() != 1) return 1;
  if (*store->find_binary("k") == nullptr) return 2;
  if (store->info()->writable) return 3;
  for (int i = 0; i < 3; ++i) {
    const Status status = store->put_row(sample_row(2));
    if (status.ok() || status.error().code != ErrorCode::read_only) return 4;
  }
  if (store.warnings.size() != 1) return 5;
  // Beneath a user's database the same file is simply a layer.
  WatchedStore layered(StoreOptions{.path = ":memory:", .read_only = {path}});
  if (layered->rows(any_row())->size() != 1 || !layered.warnings.empty()) return 6;
  if (!in_folder) return 0;
  WatchedStore missing(path + ".missing");
  if (!missing->rows(any_row())->empty() || missing->put_row(sample_row(1)).ok()) return 7;
  if (missing.warnings.empty()) return 8;
  return 0;
}

void fill(const std::string& path) {
  WatchedStore store(path);
  ASSERT_TRUE(store->put_row(sample_row(1)).ok());
  ASSERT_TRUE(store->put_binary(sample_binary("k"), "sm_90a", "").ok());
}

// Root may write everywhere, so that the children become nobody.
bool drop_privileges() { return geteuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0); }

TEST(StorageFailure, AFolderThatMayNotBeWritten) {
  const TempFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  const std::string path = folder.file("home/cache.db");
  fill(path);
  std::filesystem::permissions(folder.file("home"), std::filesystem::perms(0555));
  const int status =
      wait_child(start_child([&] { return drop_privileges() ? check_read_only(path, true) : kCannot; }));
  std::filesystem::permissions(folder.file("home"), std::filesystem::perms(0755));
  if (status == kCannot) GTEST_SKIP() << "may not become another user";
  EXPECT_EQ(status, 0);
}

TEST(StorageFailure, AFolderThatMayNotBeWrittenWithALogLeftBehind) {
  const TempFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0755));
  const std::string path = folder.file("home/cache.db");
  // A writer that dies leaves its write-ahead log; the row is in there only.
  ASSERT_EQ(wait_child(start_child([&]() -> int {
              WatchedStore store(path);
              const bool written = store->put_row(sample_row(1)).ok() &&
                                   store->put_binary(sample_binary("k"), "sm_90a", "").ok();
              _exit(written ? 0 : 1);
            })),
            0);
  ASSERT_GT(file_bytes(path + "-wal"), 0);
  std::filesystem::permissions(folder.file("home"), std::filesystem::perms(0555));
  const int status = wait_child(start_child([&]() -> int {
    if (!drop_privileges()) return kCannot;
    WatchedStore store(path);
    // Whether SQLite can read the log depends on the shared-memory file; what it says must be right in any
    // case.
    return store->rows(any_row())->size() <= 1 && !store->put_row(sample_row(2)).ok() ? 0 : 1;
  }));
  std::filesystem::permissions(folder.file("home"), std::filesystem::perms(0755));
  if (status == kCannot) GTEST_SKIP() << "may not become another user";
  EXPECT_EQ(status, 0);
}

TEST(StorageFailure, AFileThatMayNotBeWritten) {
  const TempFolder folder;
  std::filesystem::permissions(folder.path(), std::filesystem::perms(0777));
  const std::string path = folder.file("cache.db");
  fill(path);
  std::filesystem::permissions(path, std::filesystem::perms(0444));
  const int status =
      wait_child(start_child([&] { return drop_privileges() ? check_read_only(path, false) : kCannot; }));
  if (status == kCannot) GTEST_SKIP() << "may not become another user";
  EXPECT_EQ(status, 0);
}

// A mount that only this process sees, so that nothing is left behind.
bool private_mounts() {
  return unshare(CLONE_NEWNS) == 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

TEST(StorageFailure, AReadOnlyFileSystem) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  fill(path);
  const char* const at = folder.path().c_str();
  const int status = wait_child(start_child([&]() -> int {
    const bool mounted = private_mounts() && mount(at, at, nullptr, MS_BIND, nullptr) == 0 &&
                         mount(at, at, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0;
    return mounted ? check_read_only(path, true) : kCannot;
  }));
  if (status == kCannot) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(status, 0);
}

TEST(StorageFailure, ASmallFileSystem) {
  const TempFolder folder;
  const int status = wait_child(start_child([&]() -> int {
    if (!private_mounts() || mount("none", folder.path().c_str(), "tmpfs", 0, "size=2m") != 0) return kCannot;
    WatchedStore store(folder.file("cache.db"));
    int committed = 0;
    for (int i = 0; i < 3000; ++i) {
      const Status put = store->put_row(sample_row(i));
      if (put.ok()) {
        ++committed;
      } else if (put.error().code != ErrorCode::io) {
        return 1;
      }
      if (static_cast<int>(store->rows(sample_row(i).key)->size()) != (put.ok() ? 1 : 0)) return 2;
    }
    if (committed < 50 || committed == 3000) return 3;
    if (store.warnings.size() != 1) return 4;
    if (static_cast<int>(store->rows(any_row())->size()) != committed) return 5;
    return count_set_aside(folder.path()) == 0 ? 0 : 6;
  }));
  if (status == kCannot) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(status, 0);
}

// The warning says which folder, why, and what to do: SQLite alone knows only that it could not open the
// file.
TEST(StorageFailure, AFolderThatCannotBeMade) {
  const std::pair<const char*, const char*> cases[] = {
      {"/proc/rtjit/cache.db", "cannot create the folder /proc/rtjit: "},
      {"/dev/null/cache.db", "/dev/null is there but is not a folder"}};
  for (const auto& [path, why] : cases) {
    WatchedStore store(path);
    EXPECT_THAT(*store->rows(any_row()), testing::IsEmpty());
    EXPECT_FALSE(store->put_row(sample_row(1)).ok());
    EXPECT_FALSE(store->put_row(sample_row(1)).ok());
    ASSERT_EQ(store.warnings.size(), 1u) << path;
    EXPECT_THAT(store.warnings.front(),
                testing::AllOf(testing::HasSubstr(why), testing::HasSubstr("RTJIT_CACHE")));
  }
}

}  // namespace
}  // namespace rtjit

// What a damaged file must lead to: right rows, a miss, or a file set aside; never a crash or a wrong answer.
#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <set>

#include "cache/database.h"
#include "tests/cache/cache_test_util.h"
#include "tests/cache/effort.h"

namespace rtjit {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

// A file with rows, winners and binaries, all of it in the main file.
std::string healthy_file(int rows = 60) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  {
    WatchedStore store(path);
    std::vector<TuningRow> batch;
    for (int i = 0; i < rows; ++i) batch.push_back(sample_row(i));
    EXPECT_TRUE(store->put_rows(batch).ok());
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(store->put_winner(sample_winner(int64_t{1} << i)).ok());
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(store->put_binary(sample_binary(fmt::format("key-{}", i), 6000), "sm_90a", "label").ok());
    }
  }
  return read_file(path);
}

struct Expected {
  std::set<std::string> rows, winners;
  Expected() {
    for (int i = 0; i < 60; ++i) rows.insert(describe(sample_row(i)));
    for (int i = 0; i < 8; ++i) winners.insert(describe(sample_winner(int64_t{1} << i)));
  }
};

// Asks a store everything; all that it answers must be right. Returns how much it answered.
size_t check_answers(WatchedStore& store, const Expected& expected) {
  size_t answers = 0;
  const auto rows = store->rows(any_row());
  EXPECT_TRUE(rows.ok());
  for (const TuningRow& row : *rows) EXPECT_TRUE(expected.rows.contains(describe(row))) << describe(row);
  answers += rows->size();
  const auto winners = store->winners(any_winner());
  EXPECT_TRUE(winners.ok());
  for (const WinnerRow& row : *winners)
    EXPECT_TRUE(expected.winners.contains(describe(row))) << describe(row);
  answers += winners->size();
  for (int i = 0; i < 4; ++i) {
    const std::string key = fmt::format("key-{}", i);
    const auto binary = store->find_binary(key);
    EXPECT_TRUE(binary.ok());
    if (*binary == nullptr) continue;
    ++answers;
    const Binary right = sample_binary(key, 6000);
    EXPECT_EQ((*binary)->cubin, right.cubin);
    EXPECT_EQ((*binary)->ptx, right.ptx);
    EXPECT_EQ((*binary)->kernels.at(0).symbol, right.kernels.at(0).symbol);
  }
  EXPECT_TRUE(store->info().ok());
  return answers;
}

std::string mutate(std::string bytes, std::mt19937& random) {
  const auto below = [&](size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random);
  };
  switch (below(5)) {
    case 0:
      bytes.resize(below(bytes.size()));
      break;
    case 1: {  // a stretch of zeros
      const size_t start = below(bytes.size());
      const size_t length = std::min(bytes.size() - start, 1 + below(8192));
      std::fill_n(bytes.begin() + start, length, '\0');
      break;
    }
    case 2:
      bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
      break;
    case 3:
      for (int i = 0; i < 32; ++i) bytes[below(bytes.size())] = static_cast<char>(below(256));
      break;
    case 4:  // the first page: header and schema
      for (int i = 0; i < 3; ++i) bytes[below(4096)] = static_cast<char>(below(256));
      break;
  }
  return bytes;
}

TEST(Damage, RandomMutationsNeverGiveAWrongAnswer) {
  const std::string healthy = healthy_file();
  const Expected expected;
  std::mt19937 random(20261120);
  const int mutations = effort("RTJIT_TEST_MUTATIONS", 300);
  size_t complete = 0, partly = 0, set_aside = 0, silent = 0;
  for (int i = 0; i < mutations; ++i) {
    SCOPED_TRACE(i);
    const TempFolder folder;
    const std::string path = folder.file("cache.db");
    write_file(path, mutate(healthy, random));
    size_t answers = 0;
    {
      WatchedStore store(path);
      answers = check_answers(store, expected);
      const bool said = !store.warnings.empty();
      EXPECT_TRUE(said || count_set_aside(folder.path()) == 0);
      if (!said && answers < 72) ++silent;
      // Writing must work on whatever is there now: the file itself, or an empty one in its place.
      if (store->info()->writable) {
        const Status status = store->put_row(sample_row(7));
        EXPECT_TRUE(status.ok()) << status.error().message;
      }
      (void)check_answers(store, expected);
    }
    WatchedStore again(path);
    (void)check_answers(again, expected);
    const int aside = count_set_aside(folder.path());
    EXPECT_LE(aside, 2);
    (aside > 0 ? set_aside : answers == 72 ? complete : partly) += 1;
  }
  // A flipped bit in a count of entries or in an index can hide a row without a trace. A miss is right; it
  // must be rare.
  EXPECT_LE(silent, static_cast<size_t>(mutations) / 100);
  // The mutations must reach all three outcomes, or the test says little.
  EXPECT_GT(complete, 5u);
  EXPECT_GT(partly, 5u);
  EXPECT_GT(set_aside, 5u);
}

TEST(Damage, AReadOnlyLayerIsNeverTouched) {
  const std::string healthy = healthy_file();
  const Expected expected;
  std::mt19937 random(7);
  for (int i = 0; i < 60; ++i) {
    SCOPED_TRACE(i);
    const TempFolder folder;
    const std::string path = folder.file("pack.db");
    const std::string bytes = mutate(healthy, random);
    write_file(path, bytes);
    WatchedStore store(StoreOptions{.path = ":memory:", .read_only = {path}});
    (void)check_answers(store, expected);
    EXPECT_EQ(read_file(path), bytes);
    EXPECT_EQ(count_set_aside(folder.path()), 0);
  }
}

// A file that the user named may be anything, and theirs.
TEST(Damage, ANamedFileThatNeverWasADatabaseIsRefusedAndLeftAsItIs) {
  const TempFolder folder;
  const std::string path = folder.file("notes.txt");
  for (const std::string& bytes : {std::string("do not lose me\n"), std::string(5000, 'x')}) {
    write_file(path, bytes);
    const Result<std::unique_ptr<Store>> store = Store::open(StoreOptions{.path = path});
    ASSERT_FALSE(store.ok());
    EXPECT_EQ(store.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(store.error().message, HasSubstr(path + " is not a cache and is left as it is"));
    EXPECT_EQ(read_file(path), bytes);
    EXPECT_EQ(files_in(folder.path()).size(), 1u);
  }
}

TEST(Damage, ANamedCacheWithADamagedHeaderIsSetAside) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  std::string bytes = healthy_file();
  std::fill_n(bytes.begin(), 16, '\x55');
  write_file(path, bytes);
  WatchedStore store(path);
  EXPECT_TRUE(store->put_row(sample_row(1)).ok());
  EXPECT_EQ(count_set_aside(folder.path()), 1);
}

// What a crash of the machine may leave: a head, or a whole file, of zeros. Nothing is left then of what
// tells a cache from other databases.
TEST(Damage, ANamedCacheWithZerosAtItsBeginningIsSetAside) {
  const std::string healthy = healthy_file();
  for (const size_t start : {size_t{0}, size_t{5}}) {
    for (const size_t length : {size_t{100}, size_t{8192}, healthy.size() - start}) {
      SCOPED_TRACE(fmt::format("{} zeros from {} on", length, start));
      const TempFolder folder;
      const std::string path = folder.file("cache.db");
      std::string bytes = healthy;
      std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(start), length, '\0');
      write_file(path, bytes);
      WatchedStore store(path);
      EXPECT_THAT(*store->rows(any_row()), IsEmpty());
      EXPECT_TRUE(store->put_row(sample_row(1)).ok());
      EXPECT_EQ(count_set_aside(folder.path()), 1);
      EXPECT_EQ(store.warnings.size(), 1u);
    }
  }
}

TEST(Damage, ADefaultCacheThatIsNoDatabaseIsSetAsideWithOneWarning) {
  const TempFolder folder;
  setenv("RTJIT_CACHE", folder.path().c_str(), 1);
  const std::string path = folder.file("cache.db");
  const std::string bytes(5000, 'x');
  write_file(path, bytes);
  WatchedStore store("");
  unsetenv("RTJIT_CACHE");
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  ASSERT_TRUE(store->put_row(sample_row(1)).ok());
  EXPECT_EQ(store->rows(any_row())->size(), 1u);
  ASSERT_EQ(store.warnings.size(), 1u);
  EXPECT_THAT(store.warnings[0], HasSubstr(".corrupt-"));
  ASSERT_EQ(count_set_aside(folder.path()), 1);
  for (const std::string& name : files_in(folder.path())) {
    if (name.find(".corrupt-") == std::string::npos) continue;
    EXPECT_EQ(read_file(folder.file(name)), bytes);
  }
}

TEST(Damage, AnEmptyFileIsAFreshDatabase) {
  const TempFolder folder;
  write_file(folder.file("cache.db"), "");
  WatchedStore store(folder.file("cache.db"));
  EXPECT_TRUE(store->put_row(sample_row(1)).ok());
  EXPECT_THAT(store.warnings, IsEmpty());
}

TEST(Damage, AFolderInTheFilesPlaceIsNoCache) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.file("cache.db"));
  WatchedStore store(folder.file("cache.db"));
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  EXPECT_FALSE(store->put_row(sample_row(1)).ok());
  EXPECT_FALSE(store.warnings.empty());
}

TEST(Damage, ARowChangedBehindTheStoresBackIsDropped) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  WatchedStore store(path);
  ASSERT_TRUE(store->put_rows({sample_row(1), sample_row(2)}).ok());
  {
    auto database = Database::open(path, {});
    ASSERT_TRUE(
        (*database)->execute("UPDATE tuning SET time_us=0.001 WHERE registers=168 AND is_default=1").ok());
  }
  EXPECT_EQ(store->rows(any_row())->size(), 1u);
  ASSERT_EQ(store.warnings.size(), 1u);
  EXPECT_THAT(store.warnings[0], HasSubstr("1 row(s) of the table tuning"));
  EXPECT_EQ(store->info()->rows, 1) << "the row is gone";
}

TEST(Damage, ABinaryUnderAnotherKeyIsAMiss) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  WatchedStore store(path);
  for (const char* column : {"key", "target", "label", "kernels", "features", "log", "compiler"}) {
    SCOPED_TRACE(column);
    ASSERT_TRUE(store->put_binary(sample_binary("right"), "sm_90a", "label").ok());
    {
      auto database = Database::open(path, {});
      ASSERT_TRUE((*database)->execute(fmt::format("UPDATE binaries SET {}='wrong'", column)).ok());
    }
    EXPECT_EQ(*store->find_binary(std::string(column) == "key" ? "wrong" : "right"), nullptr);
    EXPECT_EQ(store->info()->binaries, 0) << "a damaged binary is removed";
  }
}

TEST(Damage, AFileReplacedOrDeletedWhileOpenIsFollowed) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  WatchedStore store(path);
  ASSERT_TRUE(store->put_row(sample_row(1)).ok());
  for (const std::string& name : files_in(folder.path())) std::filesystem::remove(folder.file(name));
  EXPECT_THAT(*store->rows(any_row()), IsEmpty());
  ASSERT_TRUE(store->put_row(sample_row(2)).ok());
  EXPECT_EQ(WatchedStore(path)->rows(any_row())->size(), 1u);

  {
    ASSERT_TRUE(
        WatchedStore(folder.file("other.db"))->put_rows({sample_row(4), sample_row(5), sample_row(7)}).ok());
  }
  for (const char* companion : {"-wal", "-shm"}) std::filesystem::remove(path + companion);
  std::filesystem::rename(folder.file("other.db"), path);
  EXPECT_EQ(store->rows(any_row())->size(), 3u);
  ASSERT_TRUE(store->put_row(sample_row(2)).ok());
  EXPECT_EQ(WatchedStore(path)->rows(any_row())->size(), 4u);
  EXPECT_THAT(store.warnings, IsEmpty());
}

TEST(Damage, AFileOverwrittenWhileOpenIsSetAside) {
  const TempFolder folder;
  const std::string path = folder.file("cache.db");
  const std::string healthy = healthy_file();
  write_file(path, healthy);
  WatchedStore store(path);
  EXPECT_EQ(store->rows(any_row())->size(), 60u);
  {  // in place, so that the file keeps its identity
    std::string bytes = healthy;
    std::fill(bytes.begin() + 200, bytes.end(), '\x55');
    write_file(path, bytes);
  }
  ASSERT_TRUE(store->put_row(sample_row(1)).ok());
  const auto rows = store->rows(any_row());
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(count_set_aside(folder.path()), 1);
}

}  // namespace
}  // namespace rtjit

#include "cache/merge.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>

#include "cache/lookup.h"
#include "cache/text_form.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

// Few keys and few values, so that equal keys, equal ranks and equal rows are all common.
class RandomContents {
 public:
  explicit RandomContents(unsigned seed) : random_(seed) {}

  Contents next() {
    Contents contents;
    for (int i = below(12); i > 0; --i) contents.rows.push_back(row());
    for (int i = below(8); i > 0; --i) contents.winners.push_back(winner());
    for (int i = below(4); i > 0; --i) contents.binaries.push_back(binary());
    return contents;
  }

 private:
  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
  bool coin() { return below(2) == 0; }

  double time() {
    const double times[] = {0, 10, 10.25, std::numeric_limits<double>::quiet_NaN(),
                            std::numeric_limits<double>::infinity()};
    return times[below(5)];
  }

  TuningRow row() {
    TuningRow row = sample_row(below(3));
    row.key.problem = coin() ? "" : "hidden=64";  // an empty field of a key fits everything in a pattern
    row.key.sku = coin() ? "" : row.key.sku;
    const Verdict verdicts[] = {Verdict::ok, Verdict::ok, Verdict::smem, Verdict::wrong};
    row.verdict = verdicts[below(4)];
    row.knowledge = static_cast<Knowledge>(below(3));
    row.verified = coin();
    row.time_us = time();
    row.updated_unix = 1760000000 + below(2);
    row.reason = coin() ? "a" : std::string("b\0\xff\n", 4);
    row.max_err = time();
    return row;
  }

  WinnerRow winner() {
    WinnerRow row = sample_winner(1 + below(3));
    row.problem = coin() ? "" : row.problem;
    row.config = coin() ? "block_m=16" : "block_m=32";
    row.knowledge = coin() ? Knowledge::measured : Knowledge::predicted;
    row.verified = row.knowledge == Knowledge::measured || coin();
    row.time_us = time();
    row.updated_unix += below(2);
    return row;
  }

  StoredBinary binary() {
    const int number = below(3);
    Result<StoredBinary> stored = encode_binary(sample_binary(fmt::format("key-{}", number), 200), "sm_90a",
                                                coin() ? "gemm1" : "gemm2");
    EXPECT_TRUE(stored.ok());
    stored->created_unix = 1760000000 + below(2);
    stored->compile_ms = below(3);
    return *stored;
  }

  std::mt19937 random_;
};

struct MergedStore {
  WatchedStore store{":memory:"};

  MergedStore& add(const Contents& contents) {
    const auto report = merge_into(*store, contents);
    EXPECT_TRUE(report.ok()) << (report.ok() ? "" : report.error().message);
    return *this;
  }
  Contents contents() {
    auto read = read_contents(*store);
    EXPECT_TRUE(read.ok());
    EXPECT_EQ(read->damaged, 0);
    return *read;
  }
  std::string text() { return to_text(contents()); }
};

std::string merged(const std::vector<Contents>& all) {
  MergedStore store;
  for (const Contents& contents : all) store.add(contents);
  return store.text();
}

Contents as_contents(const std::vector<Contents>& all) {
  MergedStore store;
  for (const Contents& contents : all) store.add(contents);
  return store.contents();
}

TEST(Merge, OrderGroupingAndRepetitionDoNotMatter) {
  int differing = 0;
  for (unsigned seed = 0; seed < 30; ++seed) {
    RandomContents random(seed);
    const Contents a = random.next(), b = random.next(), c = random.next();
    const std::string expected = merged({a, b, c});
    SCOPED_TRACE(fmt::format("seed {}", seed));
    for (const auto& order : std::vector<std::vector<Contents>>{
             {a, c, b}, {b, a, c}, {b, c, a}, {c, a, b}, {c, b, a}, {a, b, a, c, c, b}}) {
      ASSERT_EQ(merged(order), expected);
    }
    ASSERT_EQ(merged({as_contents({a, b}), c}), expected);
    ASSERT_EQ(merged({a, as_contents({b, c})}), expected);
    ASSERT_EQ(merged({as_contents({c, a}), as_contents({a, b})}), expected);
    differing += merged({a}) != expected;
  }
  EXPECT_GT(differing, 20);  // else the random stores show nothing
}

TEST(Merge, IsTheSameThroughFiles) {
  const TempFolder folder;
  RandomContents random(7);
  const Contents a = random.next(), b = random.next();
  for (const char* name : {"a.db", "b.db"}) {
    WatchedStore store(folder.file(name));
    ASSERT_TRUE(merge_into(*store, name[0] == 'a' ? a : b).ok());
  }
  const std::string before = read_file(folder.file("b.db"));
  const auto from_b = read_contents(folder.file("b.db"));
  ASSERT_TRUE(from_b.ok()) << from_b.error().message;
  WatchedStore store(folder.file("a.db"));
  ASSERT_TRUE(merge_into(*store, *from_b).ok());
  EXPECT_EQ(to_text(*read_contents(*store)), merged({a, b}));
  EXPECT_EQ(read_file(folder.file("b.db")), before);
}

TEST(Merge, BetterIsAStrictOrder) {
  RandomContents random(3);
  std::vector<TuningRow> rows;
  while (rows.size() < 60) {
    const Contents contents = random.next();
    rows.insert(rows.end(), contents.rows.begin(), contents.rows.end());
  }
  for (const TuningRow& a : rows) {
    EXPECT_FALSE(better(a, a));
    for (const TuningRow& b : rows) {
      EXPECT_FALSE(better(a, b) && better(b, a));
      for (const TuningRow& c : rows) {
        if (better(a, b) && better(b, c)) {
          ASSERT_TRUE(better(a, c));
        }
      }
    }
  }
}

TEST(Merge, KeepsWhatIsKnownBestAndTakesTheLaterOfEquals) {
  TuningRow predicted = sample_row(1), measured = sample_row(1), later = sample_row(1), wrong = sample_row(1);
  predicted.knowledge = Knowledge::predicted;
  predicted.updated_unix += 100;
  later.updated_unix += 50;
  later.time_us *= 2;
  wrong.verdict = Verdict::wrong;
  EXPECT_TRUE(better(measured, predicted));
  EXPECT_TRUE(better(later, measured));
  EXPECT_TRUE(better(wrong, later));
  TuningRow faster = measured;
  faster.time_us /= 2;
  EXPECT_TRUE(better(faster, measured));
  faster.time_us = 0;  // none
  EXPECT_TRUE(better(measured, faster));
}

TEST(Merge, CountsWhatItDid) {
  MergedStore store;
  Contents first;
  first.rows = {sample_row(1), sample_row(2)};
  first.winners = {sample_winner(1)};
  store.add(first);
  Contents second = first;
  second.rows[0].updated_unix += 1;
  second.rows.push_back(sample_row(4));
  const auto report = merge_into(*store.store, second);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->rows.added, 1);
  EXPECT_EQ(report->rows.replaced, 1);
  EXPECT_EQ(report->rows.kept, 1);
  EXPECT_EQ(report->winners.kept, 1);
}

TEST(Merge, AWinnerThatFailedElsewhereIsNotServed) {
  MergedStore store;
  Contents here, there;
  here.winners = {sample_winner(64)};
  TuningRow failed = sample_row(2);
  failed.key.config = here.winners[0].config;
  failed.key.bucket = 64;
  failed.verdict = Verdict::wrong;
  there.rows = {failed};
  store.add(here).add(there);
  const WinnerRow& winner = here.winners[0];
  const LookupRequest request{winner.template_name,
                              winner.template_hash,
                              winner.problem,
                              winner.stage,
                              64,
                              winner.target,
                              winner.sku};
  const auto found = lookup_winner(*store.store, request);
  ASSERT_TRUE(found.ok());
  EXPECT_FALSE(found->has_value());
}

TEST(Merge, RefusesWhatMayNotBeStoredAndChangesNothing) {
  MergedStore store;
  Contents bad;
  bad.rows = {sample_row(1)};
  bad.winners = {sample_winner(1)};
  bad.winners[0].verified = false;
  EXPECT_FALSE(merge_into(*store.store, bad).ok());
  EXPECT_TRUE(store.contents().rows.empty());
}

TEST(Merge, SaysWhyAFileCannotBeMerged) {
  const TempFolder folder;
  const auto missing = read_contents(folder.file("none.db"));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  write_file(folder.file("text.db"), std::string(5000, 'x'));
  const auto foreign = read_contents(folder.file("text.db"));
  ASSERT_FALSE(foreign.ok());
  EXPECT_THAT(foreign.error().message, HasSubstr("text.db"));
  EXPECT_EQ(read_file(folder.file("text.db")), std::string(5000, 'x'));
}

}  // namespace
}  // namespace rtjit

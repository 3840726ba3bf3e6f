#include "compiler/feature_probe.h"

#include <gmock/gmock.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include "compiler/features.h"
#include "compiler/probe_cache.h"
#include "tests/compiler/nvrtc_fixture.h"

namespace rtjit {
namespace {

namespace fs = std::filesystem;

class FeatureProbe : public NvrtcTest {};

// The truth is the assembler: the built-in table must be what it says.
TEST_F(FeatureProbe, TableIsWhatTheAssemblerSays) {
  int last = 0;
  ProbeOptions options;
  options.threads = 2;
  options.progress = [&](int done, int total) {
    EXPECT_EQ(done, ++last);
    EXPECT_EQ(total, static_cast<int>(Target::all().size()));
  };
  std::clock_t start = std::clock();
  Result<ProbeReport> report = probe_features(*nvrtc_, options);
  ASSERT_TRUE(report.ok()) << report.error().message;
  EXPECT_EQ(last, static_cast<int>(Target::all().size()));
  EXPECT_EQ(report->features.size(), all_features().size());
  // Under 20 s on two cores; counted in processor time, so that a busy machine does not fail the test.
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 40);
  std::cout << "probed " << report->features.size() << " features on " << report->targets.size()
            << " targets in " << report->seconds << " s\n";
  if (std::pair(nvrtc_->major(), nvrtc_->minor()) == std::pair(13, 0)) {
    EXPECT_EQ(report->targets.size(), Target::all().size());
    for (const ProbeReport::Difference& difference : report->differences)
      ADD_FAILURE() << difference.feature << " on " << difference.target << ": the assembler says "
                    << (difference.assembles ? "yes" : "no");
  }
}

TEST_F(FeatureProbe, BatchAndOneByOneAgree) {
  for (const char* name : {"sm_75", "sm_120a"}) {
    Target target = *Target::parse(name);
    Result<std::string> batch = probe_target(*nvrtc_, target);
    Result<std::string> single = probe_target(*nvrtc_, target, true);
    ASSERT_TRUE(batch.ok() && single.ok());
    EXPECT_EQ(*batch, *single) << name;
    EXPECT_THAT(*batch, ::testing::HasSubstr("x"));
    EXPECT_THAT(*batch, ::testing::HasSubstr("."));
  }
}

class ProbeCache : public ::testing::Test {
 protected:
  void SetUp() override { fs::remove_all(folder_); }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path folder_ = fs::path(testing::TempDir()) / "rtjit_probe_cache";
  std::string file_ = (folder_ / "sub" / "features.tsv").string();
  std::vector<std::string> columns_ =
      std::vector<std::string>(Target::all().size(), std::string(all_features().size(), 'x'));
};

TEST_F(ProbeCache, KeepsAnAnswerPerCompiler) {
  EXPECT_FALSE(read_probe_cache(file_, "nvrtc 13.0"));
  columns_[3][5] = '.';
  columns_[7] = "";
  write_probe_cache(file_, "nvrtc 13.0", columns_);
  EXPECT_EQ(read_probe_cache(file_, "nvrtc 13.0"), columns_);
  EXPECT_FALSE(read_probe_cache(file_, "nvrtc 13.1"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "sub"), fs::directory_iterator()), 1);
}

TEST_F(ProbeCache, DamageIsAMiss) {
  write_probe_cache(file_, "nvrtc 13.0", columns_);
  std::stringstream buffer;
  buffer << std::ifstream(file_).rdbuf();
  std::string good = buffer.str();
  for (size_t at = 0; at < good.size(); at += 37) {
    std::string bad = good;
    bad[at] = bad[at] == '.' ? 'x' : '.';
    std::ofstream(file_) << bad;
    EXPECT_FALSE(read_probe_cache(file_, "nvrtc 13.0")) << at;
    std::ofstream(file_) << good.substr(0, at);
    EXPECT_FALSE(read_probe_cache(file_, "nvrtc 13.0")) << at;
  }
  std::ofstream(file_) << good;
  EXPECT_TRUE(read_probe_cache(file_, "nvrtc 13.0"));
}

TEST_F(ProbeCache, PlacesThatCannotBeWrittenAreNoError) {
  write_probe_cache("/proc/rtjit/features.tsv", "nvrtc 13.0", columns_);
  EXPECT_FALSE(read_probe_cache("/proc/rtjit/features.tsv", "nvrtc 13.0"));
}

TEST_F(FeatureProbe, AnswersFromTheCacheFile) {
  fs::path file = fs::path(testing::TempDir()) / "rtjit_probe.tsv";
  fs::remove(file);
  ProbeOptions options;
  options.cache_file = file.string();
  Result<ProbeReport> first = probe_features(*nvrtc_, options);
  Result<ProbeReport> second = probe_features(*nvrtc_, options);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_FALSE(first->from_cache);
  EXPECT_TRUE(second->from_cache);
  EXPECT_EQ(first->cells, second->cells);
  EXPECT_EQ(first->targets.size(), second->targets.size());
  std::ofstream(file) << "nonsense";
  Result<ProbeReport> third = probe_features(*nvrtc_, options);
  ASSERT_TRUE(third.ok());
  EXPECT_FALSE(third->from_cache);
  fs::remove(file);
}

}  // namespace
}  // namespace rtjit

// The emulator against what an H200 returned (tests/data/silicon), and against the GPU that is present, if
// any.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "runtime/cuda_device.h"
#include "tests/silicon/record.h"
#include "tests/silicon/runner.h"

namespace rtjit::silicon {
namespace {

const char kRecords[] = RTJIT_SOURCE_DIR "/tests/data/silicon/h200.zst";

std::unique_ptr<Device> emulator() {
  Result<std::unique_ptr<Device>> device = silicon_emulator();
  return device.ok() ? std::move(*device) : nullptr;
}

TEST(Silicon, CasesAreManyAndDistinct) {
  std::set<std::string> names;
  for (const Case& c : all_cases()) EXPECT_TRUE(names.insert(c.name).second) << c.name << " exists twice";
  EXPECT_GE(names.size(), 300u);
}

TEST(Silicon, EmulatorReturnsWhatTheH200Returned) {
  Result<RecordFile> file = load_records(kRecords);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_THAT(file->device, testing::HasSubstr("H200"));
  std::unique_ptr<Device> device = emulator();
  ASSERT_NE(device, nullptr);
  size_t exact = 0;
  for (const Case& c : all_cases()) {
    auto record = file->records.find(c.name);
    if (record == file->records.end() || record->second.fingerprint != fingerprint(c)) {
      ADD_FAILURE() << c.name << ": no record of this kernel and these inputs. On a machine with an H200 run"
                    << " `silicon record full.zst`, then `silicon pack full.zst tests/data/silicon/h200.zst`";
      continue;
    }
    Result<std::vector<uint8_t>> results = run_case(*device, c);
    ASSERT_TRUE(results.ok()) << c.name << ": " << results.error().message;
    EXPECT_EQ(compare(c, record->second, *results), "") << c.name;
    exact += c.bound.exact();
  }
  EXPECT_GE(exact, 300u);
}

// A record that differs in one bit is noticed, in the part kept raw and in the part kept as hashes.
TEST(Silicon, ADifferentBitIsNoticed) {
  std::unique_ptr<Device> device = emulator();
  const Case* c = find_case("add.s32 %d, %a, %b;");
  ASSERT_NE(c, nullptr);
  Result<std::vector<uint8_t>> results = run_case(*device, *c);
  ASSERT_TRUE(results.ok()) << results.error().message;
  Record record = make_record(*c, *results);
  EXPECT_TRUE(record.digested);
  EXPECT_EQ(compare(*c, record, *results), "");
  for (size_t at : {size_t(17), size_t(255), size_t(256), results->size() - 1}) {
    std::vector<uint8_t> other = *results;
    other[at] ^= 4;
    EXPECT_NE(compare(*c, record, other), "") << at;
  }
}

TEST(Silicon, BoundsAreDocumented) {
  std::ifstream in(RTJIT_SOURCE_DIR "/docs/emulator.md");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  EXPECT_THAT(text, testing::HasSubstr(bounds_table()))
      << "docs/emulator.md must hold what `silicon bounds` prints";
}

TEST(Silicon, EmulatorReturnsWhatThisGpuReturns) {
  Result<std::unique_ptr<Device>> gpu = open_cuda_device(0);
  if (!gpu.ok()) GTEST_SKIP() << "no CUDA device: " << gpu.error().message;
  if ((*gpu)->info().target.name() != "sm_90a") GTEST_SKIP() << "these kernels are for sm_90a";
  std::unique_ptr<Device> device = emulator();
  for (const Case& c : all_cases()) {
    Result<std::vector<uint8_t>> live = run_case(**gpu, c), results = run_case(*device, c);
    ASSERT_TRUE(live.ok()) << c.name << ": " << live.error().message;
    ASSERT_TRUE(results.ok()) << c.name << ": " << results.error().message;
    EXPECT_EQ(compare(c, make_record(c, *live, true), *results), "") << c.name;
  }
}

}  // namespace
}  // namespace rtjit::silicon

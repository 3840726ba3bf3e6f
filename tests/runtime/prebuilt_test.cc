// The cache that comes with the library: found without a user database, beneath everything else, never in the
// way.
#include "runtime/prebuilt.h"

#include <cstdlib>
#include <fstream>

#include "base/process.h"
#include "cache/lookup.h"
#include "cache/pack.h"
#include "tests/runtime/fixture.h"

namespace rtjit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PrebuiltTest : public ::testing::Test {
 protected:
  static WinnerRow winner(const std::string& config, Knowledge knowledge) {
    WinnerRow row;
    row.template_name = "moe_mxfp4";
    row.template_hash = "hash";
    row.problem = "hidden=1";
    row.stage = "gemm1";
    row.bucket = 64;
    row.target = "sm_90a";
    row.variant = "mma";
    row.config = config;
    row.knowledge = knowledge;
    row.verified = true;
    return row;
  }
  std::string make_database(const std::vector<WinnerRow>& winners) {
    PackContents pack;
    pack.contents.winners = winners;
    EXPECT_TRUE(write_pack(pack, folder_.file("made.db"), std::nullopt).ok());
    std::ifstream file(folder_.file("made.db"), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::unique_ptr<Store> open(std::string_view prebuilt, const std::string& path = ":memory:") {
    StoreOptions options;
    options.path = path;
    options.prebuilt = prebuilt;
    options.warn = [this](const std::string& text) { warnings_.push_back(text); };
    auto store = Store::open(options);
    EXPECT_TRUE(store.ok());
    return *std::move(store);
  }
  static WinnerRow every_winner() {
    WinnerRow pattern;
    pattern.bucket = -1;
    return pattern;
  }
  static std::string found(const Store& store) {
    LookupRequest request{"moe_mxfp4", "hash", "hidden=1", "gemm1", 64, "sm_90a", ""};
    auto answer = lookup_winner(store, request);
    EXPECT_TRUE(answer.ok());
    return answer.ok() && *answer ? (*answer)->winner.config : "";
  }
  TemporaryFolder folder_;
  std::vector<std::string> warnings_;
};

TEST_F(PrebuiltTest, TheLibraryCarriesOneThatOpens) {
  ASSERT_FALSE(prebuilt_database().empty());
  auto store = open(prebuilt_database());
  EXPECT_TRUE(store->winners(every_winner()).ok());
  EXPECT_THAT(warnings_, IsEmpty());
  ::setenv("RTJIT_PREBUILT", "0", 1);
  EXPECT_TRUE(prebuilt_database().empty());
  ::unsetenv("RTJIT_PREBUILT");
}

TEST_F(PrebuiltTest, IsFoundWithoutAUserDatabaseAndLiesBeneathIt) {
  const std::string bytes = make_database({winner("block_m=16", Knowledge::predicted)});
  auto store = open(bytes);
  EXPECT_EQ(found(*store), "block_m=16");
  ASSERT_TRUE(store->put_winner(winner("block_m=32", Knowledge::predicted)).ok());
  EXPECT_EQ(found(*store), "block_m=32");
  EXPECT_EQ(found(*open(bytes, "/proc/no/place.db")), "block_m=16");
  EXPECT_EQ(found(*open(bytes)), "block_m=16") << "nothing was written to it";
}

TEST_F(PrebuiltTest, ADamagedOneIsIgnored) {
  std::string bytes = make_database({winner("block_m=16", Knowledge::predicted)});
  std::fill(bytes.begin() + 30, bytes.end(), '\x55');
  auto store = open(bytes);
  EXPECT_EQ(found(*store), "");
  ASSERT_TRUE(store->put_winner(winner("block_m=32", Knowledge::predicted)).ok());
  EXPECT_EQ(found(*store), "block_m=32");
  EXPECT_EQ(warnings_.size(), 1u);
}

TEST_F(PrebuiltTest, WhatIsOfAnotherVersionOfATemplateIsLeftOutAndReported) {
  auto registry = TemplateRegistry::create();
  ASSERT_TRUE(registry.ok());
  WinnerRow current = winner("block_m=16", Knowledge::predicted),
            stale = winner("block_m=32", Knowledge::predicted);
  current.template_hash = (*(*registry)->find("moe_mxfp4"))->content_hash;
  const auto text_of = [](const WinnerRow& row) {
    return fmt::format(
        R"({{"kind":"winner","template":"{}","template_hash":"{}","problem":"{}","stage":"{}","bucket":64,)"
        R"("target":"sm_90a","variant":"mma","config":"{}","knowledge":"predicted","verified":true}})",
        row.template_name, row.template_hash, row.problem, row.stage, row.config);
  };
  std::ofstream(folder_.file("a.txt")) << "{\"format\":\"rtjit cache text\",\"version\":1}\n"
                                       << text_of(current) << "\n"
                                       << text_of(stale) << "\n";
  const auto make = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), RTJIT_MAKE_PREBUILT);
    ProcessOptions options;
    options.arguments = std::move(arguments);
    return *run_process(options, std::chrono::seconds(30));
  };
  const auto checked = make({"--check", folder_.file("a.db"), folder_.file("a.txt")});
  EXPECT_EQ(checked.exit.code, 1);
  EXPECT_THAT(checked.error_output, HasSubstr("a.txt: 1 lines are about another version of moe_mxfp4"));
  const auto built = make({folder_.file("b.db"), folder_.file("a.txt")});
  EXPECT_EQ(built.exit.code, 0) << "a build goes on";
  auto database = Store::open({.path = ":memory:", .read_only = {folder_.file("b.db")}});
  ASSERT_TRUE(database.ok());
  const auto kept = (*database)->winners(every_winner());
  ASSERT_EQ(kept->size(), 1u);
  EXPECT_EQ(kept->at(0).config, "block_m=16");
  EXPECT_EQ(make({folder_.file("c.db"), "/no/such.txt"}).exit.code, 2);
}

}  // namespace
}  // namespace rtjit::testing

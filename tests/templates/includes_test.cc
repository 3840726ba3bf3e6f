#include "templates/includes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rtjit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> paths(std::string_view source) {
  std::vector<std::string> out;
  for (const IncludeLine& include : scan_includes(source)) out.push_back(include.path);
  return out;
}

TEST(ScanIncludes, FindsQuotedOnes) {
  EXPECT_THAT(paths("#include \"a.cuh\"\n  #  include   \"b/c.cuh\" // why\n#include <cuda.h>\nint x;"),
              ElementsAre("a.cuh", "b/c.cuh"));
  EXPECT_EQ(scan_includes("\n\n#include \"a\"").at(0).line, 3);
  EXPECT_THAT(paths("#include \"unclosed\n#includes_not \"x\""), IsEmpty());
  EXPECT_THAT(paths(""), IsEmpty());
}

TEST(ScanIncludes, SkipsComments) {
  EXPECT_THAT(paths("// #include \"a\"\n/* \n#include \"b\"\n*/ #include \"c\""), ElementsAre("c"));
  EXPECT_THAT(paths("const char* s = \"/*\";\n#include \"a\"\n"), ElementsAre("a"));
  EXPECT_THAT(paths("const char* s = \"\\\"/*\";\n#include \"a\"\n"), ElementsAre("a"));
  EXPECT_THAT(paths("/* open\n#include \"a\""), IsEmpty());
}

TEST(ReachableSources, FollowsIncludesOnceAndInOrder) {
  std::map<std::string, std::string> sources = {{"t/a.cuh", "#include \"t/b.cuh\"\n#include \"d/x.cuh\""},
                                                {"t/b.cuh", "#include \"t/a.cuh\"\n#include \"d/y.cuh\""},
                                                {"d/x.cuh", ""},
                                                {"d/y.cuh", "#include \"d/x.cuh\""},
                                                {"d/z.cuh", ""}};
  EXPECT_THAT(*reachable_sources(sources, {"t/b.cuh"}),
              ElementsAre("d/x.cuh", "d/y.cuh", "t/a.cuh", "t/b.cuh"));
  EXPECT_THAT(*reachable_sources(sources, {"d/z.cuh", "d/z.cuh"}), ElementsAre("d/z.cuh"));
  EXPECT_THAT(*reachable_sources(sources, {}), IsEmpty());
}

TEST(ReachableSources, MissingOnesAreErrors) {
  std::map<std::string, std::string> sources = {{"t/a.cuh", "\n#include \"t/common.cu\""},
                                                {"t/common.cuh", ""}};
  EXPECT_THAT(reachable_sources(sources, {"t/a.cuh"}).error().message,
              HasSubstr("t/a.cuh:2: there is no source 't/common.cu'; did you mean 't/common.cuh'?"));
  EXPECT_THAT(reachable_sources(sources, {"zebra"}).error().message,
              HasSubstr("there are t/a.cuh, t/common.cuh"));
}

}  // namespace
}  // namespace rtjit

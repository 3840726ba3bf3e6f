#include "cache/text_form.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "cache/merge.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

constexpr const char* kHeader = "{\"format\":\"rtjit cache text\",\"version\":1}\n";

Contents sample_contents() {
  Contents contents;
  for (const int number : {3, 1, 2}) contents.rows.push_back(sample_row(number));
  contents.rows[0].rel_l2 = std::numeric_limits<double>::quiet_NaN();
  contents.rows[0].max_err = std::numeric_limits<double>::infinity();
  contents.rows[1].time_us = 0.1 + 0.2;
  contents.rows[1].reason = std::string("a\0b\n\"\xff", 6);
  contents.rows[2].reason = "na\xc3\xafve";
  contents.winners = {sample_winner(2), sample_winner(1)};
  for (const char* key : {"key-2", "key-1"}) {
    contents.binaries.push_back(*encode_binary(sample_binary(key, 300), "sm_90a", "gemm1"));
    contents.binaries.back().created_unix = 1760000000;
  }
  return contents;
}

TEST(TextForm, ReadsBackWhatItWroteWithEveryField) {
  const Contents contents = sample_contents();
  const std::string text = to_text(contents);
  const auto read = parse_text(text);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(to_text(*read), text);
  ASSERT_EQ(read->rows.size(), 3u);
  for (const TuningRow& row : read->rows) {
    int equal = 0;
    for (const TuningRow& original : contents.rows) equal += describe(original) == describe(row);
    EXPECT_EQ(equal, 1) << describe(row);
  }
  ASSERT_EQ(read->winners.size(), 2u);
  EXPECT_EQ(describe(read->winners[0]), describe(sample_winner(1)));
  ASSERT_EQ(read->binaries.size(), 2u);
  EXPECT_EQ(read->binaries[0].cubin, contents.binaries[1].cubin);
  const auto binary = decode_binary(read->binaries[0]);
  ASSERT_TRUE(binary.ok()) << binary.error().message;
  EXPECT_EQ(binary->log, sample_binary("key-1", 300).log);
}

TEST(TextForm, ADatabaseComesBackThroughText) {
  WatchedStore from(":memory:"), to(":memory:");
  ASSERT_TRUE(merge_into(*from, sample_contents()).ok());
  const std::string text = to_text(*read_contents(*from));
  const auto parsed = parse_text(text);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  ASSERT_TRUE(merge_into(*to, *parsed).ok());
  EXPECT_EQ(to_text(*read_contents(*to)), text);
  EXPECT_NE(*to->find_binary("key-1"), nullptr);
}

TEST(TextForm, OneChangedRowIsOneChangedLine) {
  Contents contents = sample_contents();
  const std::string before = to_text(contents);
  contents.rows[1].time_us = 99.5;
  const std::string after = to_text(contents);
  const auto lines = [](const std::string& text) {
    std::vector<std::string> all;
    for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
      all.push_back(text.substr(at, end - at));
    return all;
  };
  const auto a = lines(before), b = lines(after);
  ASSERT_EQ(a.size(), 8u);
  ASSERT_EQ(b.size(), a.size());
  int changed = 0;
  for (size_t i = 0; i < a.size(); ++i) changed += a[i] != b[i];
  EXPECT_EQ(changed, 1);
  EXPECT_THAT(after, HasSubstr("\"time_us\":99.5,"));
}

TEST(TextForm, FiltersByTargetAndTemplate) {
  WatchedStore store(":memory:");
  Contents contents = sample_contents();
  TuningRow other = sample_row(4);
  other.key.target = "sm_120a";
  other.key.template_name = "gemm_fp8_block";
  other.binary_key = "key-9";
  contents.rows.push_back(other);
  contents.binaries.push_back(*encode_binary(sample_binary("key-9", 300), "sm_120a", "gemm"));
  ASSERT_TRUE(merge_into(*store, contents).ok());
  const auto by_target = read_contents(*store, {.target = "sm_120a"});
  EXPECT_EQ(by_target->rows.size(), 1u);
  EXPECT_EQ(by_target->winners.size(), 0u);
  EXPECT_EQ(by_target->binaries.size(), 1u);
  const auto by_template = read_contents(*store, {.template_name = "moe_mxfp4"});
  EXPECT_EQ(by_template->rows.size(), 3u);
  EXPECT_EQ(by_template->binaries.size(), 2u);
  EXPECT_EQ(read_contents(*store, {.with_binaries = false})->binaries.size(), 0u);
}

struct BadLine {
  const char* line;
  const char* reason;
};

TEST(TextForm, ABadLineIsNamedWithItsReason) {
  const BadLine lines[] = {
      {"{", "not JSON"},
      {"[1]", "not a JSON object"},
      {"{}", "\"kind\" must be"},
      {R"({"kind":"cat"})", "came: \"cat\""},
      {R"({"kind":"row","colour":"red"})", "unknown field \"colour\""},
      {R"({"kind":"row","template":7})", "\"template\" must be text"},
      {R"({"kind":"row","reason":{"base64":"!"}})", "\"reason\" must be text"},
      {R"({"kind":"row","verdict":"fine"})", "\"verdict\" must be a name"},
      {R"({"kind":"row","knowledge":1})", "\"knowledge\" must be a name"},
      {R"({"kind":"row","verified":1})", "\"verified\" must be true or false"},
      {R"({"kind":"row","samples":1.5})", "\"samples\" must be a whole number"},
      {R"({"kind":"row","samples":3000000000})", "\"samples\" must be a whole number"},
      {R"({"kind":"row","updated_unix":18446744073709551615})", "\"updated_unix\" must be a whole number"},
      {R"({"kind":"row","time_us":"fast"})", "\"time_us\" must be a number"},
      {R"({"kind":"row","template":"t"})", "a row needs"},
      {R"({"kind":"winner","template":"t","template_hash":"h","stage":"s","target":"x","bucket":-1})",
       "a row needs"},
      {R"({"kind":"winner","template":"t","template_hash":"h","stage":"s","target":"x","knowledge":"measured"})",
       "must be verified"},
      {R"({"kind":"binary"})", "a binary needs a key"},
      {R"({"kind":"binary","key":"k","cubin":"AA=="})", "is damaged"},
      {R"({"kind":"binary","key":"k","cubin":"???"})", "\"cubin\" is not base64"},
  };
  for (const BadLine& bad : lines) {
    const auto parsed = parse_text(std::string(kHeader) + "\n" + bad.line + "\n");
    ASSERT_FALSE(parsed.ok()) << bad.line;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(parsed.error().message, testing::StartsWith("line 3: ")) << bad.line;
    EXPECT_THAT(parsed.error().message, HasSubstr(bad.reason)) << bad.line;
  }
}

TEST(TextForm, WantsItsHeader) {
  EXPECT_THAT(parse_text("").error().message, HasSubstr("empty"));
  EXPECT_THAT(parse_text("\nhello\n").error().message, HasSubstr("line 2: not the text form"));
  const auto newer = parse_text("{\"format\":\"rtjit cache text\",\"version\":2}\n");
  EXPECT_THAT(newer.error().message, HasSubstr("line 1"));
  EXPECT_TRUE(parse_text(kHeader).ok());
}

TEST(TextForm, ChangedBytesNeverCrashAndNeverLetADamagedBinaryIn) {
  const std::string text = to_text(sample_contents());
  uint32_t state = 1;
  int refused = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string changed = text;
    state = state * 1664525u + 1013904223u;
    changed[state % changed.size()] ^= static_cast<char>(1u << (state >> 29));
    const auto parsed = parse_text(changed);
    refused += !parsed.ok();
    if (!parsed.ok()) continue;
    for (const StoredBinary& binary : parsed->binaries) ASSERT_TRUE(decode_binary(binary).ok());
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace rtjit

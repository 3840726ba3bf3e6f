// Packs: what goes in, equal bytes for equal knowledge, signatures, and what a changed pack ends in.
#include "cache/pack.h"

#include <gmock/gmock.h>

#include <fstream>

#include "cache/binary_codec.h"
#include "cache/binary_sql.h"
#include "tests/cache/cache_test_util.h"

namespace rtjit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A winner of one tuned stage, its loser, a stage that is not tuned, a failure, and the packing kernels.
class PackTest : public testing::Test {
 protected:
  PackTest() {
    WinnerRow winner = sample_winner(64);
    winner.config = "block_m=1,block_n=128";
    contents_.winners = {winner};
    TuningRow best = row("gemm1", "block_m=1,block_n=128", "key-best");
    TuningRow loser = row("gemm1", "block_m=2,block_n=128", "key-loser");
    TuningRow align = row("align", "threads=128", "key-align");
    align.key.bucket = 0;
    TuningRow faulty = row("gemm1", "block_m=9,block_n=128", "key-faulty");
    faulty.verdict = Verdict::fault;
    TuningRow other = row("gemm1", "block_m=1,block_n=128", "key-best");
    other.key.target = "sm_120a";
    contents_.rows = {align, best, loser, faulty, other};
    for (const char* key : {"key-best", "key-loser", "key-align", "key-packing"}) {
      Result<StoredBinary> binary = encode_binary(sample_binary(key, 2000), "sm_90a", key);
      EXPECT_TRUE(binary.ok());
      contents_.binaries.push_back(*std::move(binary));
    }
    request_ = {"moe_mxfp4", "hash-1", winner.problem, "gpt-oss-20b", {"key-packing"}};
  }

  static TuningRow row(const std::string& stage, const std::string& config, const std::string& key) {
    TuningRow row = sample_row(1);
    row.key.stage = stage;
    row.key.config = config;
    row.key.bucket = 64;
    row.binary_key = key;
    return row;
  }

  PackContents select(bool with_ptx = false) {
    Result<PackContents> pack = select_for_pack(contents_, "sm_90a", {request_}, with_ptx);
    EXPECT_TRUE(pack.ok()) << (pack.ok() ? "" : pack.error().message);
    return pack.ok() ? *pack : PackContents{};
  }

  std::string write(const std::string& name, const std::optional<SecretKey>& key = {}) {
    const std::string path = folder_.file(name);
    const Status status = write_pack(select(), path, key);
    EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
    return path;
  }

  // Changes the pack through a plain connection, as an attacker with the documentation would.
  static void change(const std::string& path, const std::string& sql) {
    auto database = Database::open(path, {});
    ASSERT_TRUE(database.ok());
    const Status status = (*database)->execute(sql);
    ASSERT_TRUE(status.ok()) << status.error().message;
  }

  TempFolder folder_;
  Contents contents_;
  PackRequest request_;
};

TEST_F(PackTest, TakesWhatALaunchNeedsAndWhatMustNotHappenAgain) {
  const PackContents pack = select();
  std::vector<std::string> rows, binaries;
  for (const TuningRow& row : pack.contents.rows) rows.push_back(row.binary_key);
  for (const StoredBinary& binary : pack.contents.binaries) binaries.push_back(binary.key);
  EXPECT_THAT(rows, ElementsAre("key-align", "key-best", "key-faulty"));
  EXPECT_THAT(binaries, ElementsAre("key-align", "key-best", "key-packing"));
  ASSERT_EQ(pack.manifest.problems.size(), 1u);
  EXPECT_EQ(pack.manifest.problems[0].winners, 1);
  EXPECT_EQ(pack.manifest.problems[0].measured, 1);
  EXPECT_EQ(pack.manifest.problems[0].binaries, 3);
  EXPECT_THAT(pack.manifest.compilers, ElementsAre("nvrtc 13.0"));
  for (const StoredBinary& binary : pack.contents.binaries) EXPECT_EQ(binary.ptx_bytes, 0);
  EXPECT_GT(select(/*with_ptx=*/true).contents.binaries[0].ptx_bytes, 0);
}

TEST_F(PackTest, WhatIsMissingIsNamedWithTheCommandThatMakesIt) {
  request_.other_binaries = {"key-gone"};
  auto pack = select_for_pack(contents_, "sm_90a", {request_}, false);
  ASSERT_FALSE(pack.ok());
  EXPECT_THAT(pack.error().message, HasSubstr("gpt-oss-20b: the binary key-gone of a winner is not in the database"));
  request_.template_hash = "hash-2";
  pack = select_for_pack(contents_, "sm_90a", {request_}, false);
  ASSERT_FALSE(pack.ok());
  EXPECT_THAT(pack.error().message, HasSubstr("rtjit tune moe_mxfp4 --target sm_90a --preset gpt-oss-20b"));
}

TEST_F(PackTest, EqualKnowledgeIsEqualBytes) {
  const std::string first = read_file(write("a.rtpack"));
  // Found at another time, in another order, with another compile time.
  for (TuningRow& row : contents_.rows) row.updated_unix += 12345;
  for (WinnerRow& row : contents_.winners) row.updated_unix += 12345;
  std::reverse(contents_.rows.begin(), contents_.rows.end());
  std::reverse(contents_.binaries.begin(), contents_.binaries.end());
  for (StoredBinary& binary : contents_.binaries) binary.created_unix = 1760000001;
  EXPECT_EQ(read_file(write("b.rtpack")), first);
  contents_.winners[0].time_us += 1;
  EXPECT_NE(read_file(write("c.rtpack")), first);
  EXPECT_THAT(files_in(folder_.path()), ElementsAre("a.rtpack", "b.rtpack", "c.rtpack"));  // nothing half-made stays
}

// Rows and hashes are all right; what stands between them and the reader is not.
TEST_F(PackTest, ASchemaThatWasChangedIsRefused) {
  auto key = make_secret_key();
  ASSERT_TRUE(key.ok()) << key.error().message;
  const char* const changes[] = {
      "ALTER TABLE binaries RENAME TO kept; CREATE VIEW binaries AS SELECT * FROM kept",
      "ALTER TABLE meta RENAME TO kept; CREATE VIEW meta AS SELECT * FROM kept",
      "CREATE TRIGGER other AFTER INSERT ON tuning BEGIN DELETE FROM winners; END",
      "CREATE TABLE further (x)",
      "DROP VIEW v_winners",
  };
  for (const char* sql : changes) {
    SCOPED_TRACE(sql);
    const std::string path = write("a.rtpack", *key);
    ASSERT_TRUE(read_pack(path).ok());
    change(path, sql);
    auto pack = read_pack(path);
    ASSERT_FALSE(pack.ok());
    EXPECT_EQ(pack.error().code, ErrorCode::corrupt);
    EXPECT_THAT(pack.error().message, HasSubstr("its tables are not those of a pack"));
  }
}

// In rows, tables and indexes: an index that does not fit its table could lead to another row than the one that was signed.
TEST_F(PackTest, AKeyThatWasChangedAnywhereIsRefused) {
  const std::string path = write("a.rtpack"), whole = read_file(path), key = "key-best";
  int places = 0;
  for (size_t at = whole.find(key); at != std::string::npos; at = whole.find(key, at + 1), ++places) {
    std::string changed = whole;
    changed[at + 4] = 'r';
    std::ofstream(path, std::ios::binary | std::ios::trunc) << changed;
    EXPECT_FALSE(read_pack(path).ok()) << "at byte " << at;
  }
  EXPECT_GE(places, 3);
}

TEST_F(PackTest, IsALayerBeneathAnEmptyDatabase) {
  const std::string path = write("a.rtpack");
  WatchedStore store(StoreOptions{.path = ":memory:", .read_only = {path}});
  auto winners = store->winners(any_winner());
  ASSERT_TRUE(winners.ok());
  ASSERT_EQ(winners->size(), 1u);
  EXPECT_EQ((*winners)[0].config, "block_m=1,block_n=128");
  auto binary = store->find_binary("key-best");
  ASSERT_TRUE(binary.ok());
  ASSERT_NE(*binary, nullptr);
  EXPECT_EQ((*binary)->cubin, sample_binary("key-best", 2000).cubin);
  EXPECT_THAT(store.warnings, IsEmpty());
}

TEST_F(PackTest, ASignedPackTellsWhoSignedIt) {
  Result<SecretKey> key = make_secret_key();
  ASSERT_TRUE(key.ok()) << key.error().message;
  const std::string path = write("a.rtpack", *key);
  Result<PackInfo> info = read_pack(path);
  ASSERT_TRUE(info.ok()) << info.error().message;
  ASSERT_TRUE(info->signer.has_value());
  EXPECT_EQ(*info->signer, key->public_key());
  EXPECT_EQ(info->manifest.target, "sm_90a");
  EXPECT_TRUE(check_trust(*info, {key->public_key()}, path).ok());
  EXPECT_TRUE(check_trust(*info, {}, path).ok());
  const Status unknown = check_trust(*info, {make_secret_key()->public_key()}, path);
  ASSERT_FALSE(unknown.ok());
  EXPECT_THAT(unknown.error().message, HasSubstr("signed by " + key->public_key().text() + ", which is not among"));
}

TEST_F(PackTest, AnyChangeIsFound) {
  Result<SecretKey> key = make_secret_key();
  ASSERT_TRUE(key.ok()) << key.error().message;
  const struct {
    const char *sql, *what;
  } changes[] = {
      {"UPDATE winners SET config='block_m=2,block_n=128'", "do not fit the hash"},
      {"DELETE FROM tuning WHERE verdict='fault'", "do not fit the hash"},
      {"UPDATE binaries SET cubin=zeroblob(length(cubin)) WHERE key='key-best'", "do not fit the hash"},
      {"DELETE FROM binaries WHERE key='key-align'", "do not fit the hash"},
      {"UPDATE meta SET value=replace(value,'gpt-oss-20b','other') WHERE name='pack'", "changed after it was signed"},
      {"UPDATE meta SET value='AAAA' WHERE name='pack_signature'", "changed after it was signed"},
      {"DELETE FROM meta WHERE name='pack_signature'", "changed after it was signed"},
      {"DELETE FROM meta WHERE name='pack'", "is not a pack"},
      {"UPDATE meta SET value='{}' WHERE name='pack'", "its manifest cannot be read"},
  };
  for (const auto& [sql, what] : changes) {
    const std::string path = write("a.rtpack", *key);
    change(path, sql);
    Result<PackInfo> info = read_pack(path);
    ASSERT_FALSE(info.ok()) << sql;
    EXPECT_THAT(info.error().message, HasSubstr(what)) << sql;
  }
}

TEST_F(PackTest, WithATrustPolicyNothingElseIsServed) {
  Result<SecretKey> key = make_secret_key();
  ASSERT_TRUE(key.ok()) << key.error().message;
  const std::string trusted = folder_.file("trusted.pub");
  write_file(trusted, "# the vendor\n" + key->public_key().text() + "  # since 2026\n");
  const auto serves = [&](const std::string& path, std::vector<std::string>* warnings) {
    WatchedStore store(StoreOptions{.path = ":memory:", .read_only = {path}, .trusted_keys = trusted});
    auto winners = store->winners(any_winner());
    EXPECT_TRUE(winners.ok());
    *warnings = store.warnings;
    return winners.ok() && !winners->empty();
  };
  std::vector<std::string> warnings;
  EXPECT_TRUE(serves(write("signed.rtpack", *key), &warnings));
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_FALSE(serves(write("plain.rtpack"), &warnings));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("plain.rtpack is not signed")));
  EXPECT_FALSE(serves(write("stranger.rtpack", *make_secret_key()), &warnings));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("not among the trusted keys")));
  const std::string changed = write("changed.rtpack", *key);
  change(changed, "UPDATE winners SET time_us=1");
  EXPECT_FALSE(serves(changed, &warnings));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("do not fit the hash")));

  StoreOptions options{.path = ":memory:", .trusted_keys = folder_.file("none.pub")};
  EXPECT_FALSE(Store::open(options).ok());  // a policy that cannot be read must not count as none
}

TEST_F(PackTest, KeyFilesAreReadBackAndNeverReplaced) {
  Result<SecretKey> key = make_secret_key();
  ASSERT_TRUE(key.ok()) << key.error().message;
  const std::string secret = folder_.file("vendor.secret"), open = folder_.file("vendor.pub");
  ASSERT_TRUE(write_key_files(*key, secret, open).ok());
  EXPECT_EQ(read_secret_key(secret)->bytes, key->bytes);
  EXPECT_EQ(read_public_keys(open)->at(0), key->public_key());
  EXPECT_EQ(std::filesystem::status(secret).permissions() & std::filesystem::perms::all,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_FALSE(write_key_files(*key, secret, folder_.file("other.pub")).ok());
  EXPECT_THAT(read_secret_key(open).error().message, HasSubstr("not a secret key"));
  EXPECT_THAT(read_public_keys(secret).error().message, HasSubstr("line 1: not a public key"));
  EXPECT_THAT(read_public_keys(folder_.file("none")).error().message, HasSubstr("No such file"));
}

TEST(Signature, FitsOneMessageAndOneKey) {
  Result<SecretKey> key = make_secret_key();
  ASSERT_TRUE(key.ok()) << key.error().message;
  Result<std::string> signature = sign(*key, "message");
  ASSERT_TRUE(signature.ok());
  EXPECT_TRUE(*verify_signature(key->public_key(), "message", *signature));
  EXPECT_FALSE(*verify_signature(key->public_key(), "massage", *signature));
  EXPECT_FALSE(*verify_signature(make_secret_key()->public_key(), "message", *signature));
  (*signature)[10] = static_cast<char>((*signature)[10] ^ 1);
  EXPECT_FALSE(*verify_signature(key->public_key(), "message", *signature));
  EXPECT_FALSE(*verify_signature(key->public_key(), "message", "short"));
}

}  // namespace
}  // namespace rtjit

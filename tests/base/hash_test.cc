#include "base/hash.h"

#include <gtest/gtest.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/Support/SHA256.h>

#include <random>

#include "base/sha256.h"

namespace rtjit {
namespace {

TEST(Sha256, MatchesPublishedVectors) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// Every implementation against LLVM's, at every length around the blocks, in pieces of every size.
TEST(Sha256, ImplementationsAgree) {
  std::mt19937 random(7);
  std::string bytes(1000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  for (Sha256::Compress compress : {Sha256::portable(), Sha256::accelerated()}) {
    if (compress == nullptr) continue;  // not on this processor
    for (size_t length = 0; length <= bytes.size(); length += length < 200 ? 1 : 37) {
      llvm::SHA256 expected;
      expected.update(llvm::StringRef(bytes.data(), length));
      Sha256 sha(compress);
      for (size_t at = 0; at < length;) {
        const size_t piece = std::min<size_t>(length - at, random() % 150);
        sha.update(std::string_view(bytes).substr(at, piece));
        at += piece;
      }
      ASSERT_EQ(sha.final(), expected.final()) << length;
    }
  }
}

TEST(ContentHash, EqualFieldsGiveEqualHashes) {
  EXPECT_EQ(ContentHash().add("a").add(7).hex(), ContentHash().add("a").add(7).hex());
  EXPECT_EQ(ContentHash().hex().size(), 64u);
}

TEST(ContentHash, FieldBoundariesCount) {
  EXPECT_NE(ContentHash().add("ab").add("c").hex(), ContentHash().add("a").add("bc").hex());
  EXPECT_NE(ContentHash().add("").hex(), ContentHash().hex());
  EXPECT_NE(ContentHash().add("a").add("b").hex(), ContentHash().add("b").add("a").hex());
}

TEST(ContentHash, KindsOfFieldsCount) {
  std::string eight_bytes("\1\0\0\0\0\0\0\0", 8);
  EXPECT_NE(ContentHash().add(1).hex(), ContentHash().add(eight_bytes).hex());
  EXPECT_NE(ContentHash().add(1).hex(), ContentHash().add("1").hex());
  EXPECT_NE(ContentHash().add(-1).hex(), ContentHash().add(1).hex());
}

// The encoding is part of the identity of stored rows: it may not change unnoticed.
TEST(ContentHash, EncodingIsStable) {
  std::string encoded = std::string("t\3\0\0\0\0\0\0\0abci\xff\xff\xff\xff\xff\xff\xff\xff", 21);
  EXPECT_EQ(ContentHash().add("abc").add(-1).hex(), sha256_hex(encoded));
}

}  // namespace
}  // namespace rtjit

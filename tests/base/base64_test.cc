#include "base/base64.h"

#include <gtest/gtest.h>

namespace rtjit {
namespace {

TEST(Base64, KnownTextsAndEveryLength) {
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(base64_decode(base64_encode(bytes)), bytes);
    bytes += static_cast<char>(i * 37);
  }
}

TEST(Base64, RefusesWhatIsNotBase64) {
  EXPECT_EQ(base64_decode("abc"), std::nullopt);
  EXPECT_EQ(base64_decode("ab!d"), std::nullopt);
  EXPECT_EQ(base64_decode("a==="), std::nullopt);
}

}  // namespace
}  // namespace rtjit

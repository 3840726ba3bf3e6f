#include "base/npy.h"

#include <gmock/gmock.h>

namespace rtjit {
namespace {

using testing::HasSubstr;

// A file as NumPy writes it, put together by hand.
std::string file(const std::string& header, const std::string& data) {
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  return out + header + data;
}

TEST(Npy, ReadsWhatNumpyWrites) {
  auto array = parse_npy(
      file("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }   \n", "abcdefghijkl"), "x");
  ASSERT_TRUE(array.ok()) << array.error().message;
  EXPECT_EQ(array->type, "i2");
  EXPECT_EQ(array->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(array->data, "abcdefghijkl");
  // A scalar has no extents, an empty array no data, one dimension has no order.
  EXPECT_TRUE(
      parse_npy(file("{'descr': '<f8', 'fortran_order': False, 'shape': (), }\n", "12345678"), "x").ok());
  EXPECT_TRUE(parse_npy(file("{'descr': '|u1', 'fortran_order': True, 'shape': (0,), }\n", ""), "x").ok());
}

TEST(Npy, WritesWhatItReads) {
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{}, {6}, {2, 3}, {1, 6, 1}}) {
    NpyArray array{"f4", shape, {}};
    array.data = std::string(static_cast<size_t>(array.elements()) * 4, 'z');
    const std::string bytes = format_npy(array);
    EXPECT_EQ((bytes.size() - array.data.size()) % 64, 0u);
    auto again = parse_npy(bytes, "x");
    ASSERT_TRUE(again.ok()) << again.error().message;
    EXPECT_EQ(again->type, "f4");
    EXPECT_EQ(again->shape, shape);
    EXPECT_EQ(again->data, array.data);
  }
}

TEST(Npy, SaysWhatIsWrongWithAFile) {
  auto message = [](const std::string& bytes) {
    auto array = parse_npy(bytes, "in.npy");
    return array.ok() ? std::string("no error") : array.error().message;
  };
  EXPECT_THAT(message("not a npy file"), HasSubstr("in.npy: this is not a .npy file"));
  EXPECT_THAT(message(file("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "1234")),
              HasSubstr("8 B"));
  EXPECT_THAT(message(file("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", "1234")),
              HasSubstr("big"));
  EXPECT_THAT(message(file("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", "1234")),
              HasSubstr("Fortran"));
  EXPECT_THAT(message(file("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", "12345678")),
              HasSubstr("<c8"));
  EXPECT_THAT(message(file("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "1234")),
              HasSubstr("plain"));
  EXPECT_THAT(message(file("{'descr': '<f4', 'shape': (99999999999, 99999999999), }", "")),
              HasSubstr("larger"));
  EXPECT_THAT(message(file("{'descr': '<f4', 'shape': (-1,), }", "")), HasSubstr("-1"));
  EXPECT_THAT(message(std::string("\x93NUMPY\x01\x00\xff\xff{}", 12)), HasSubstr("ends within its header"));
}

}  // namespace
}  // namespace rtjit

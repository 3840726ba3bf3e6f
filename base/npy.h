// NumPy's .npy files, version 1 to 3: arrays in C order, little endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct NpyArray {
  std::string type;  // one character of kind and the element's bytes: "f4", "u2", "i8", "b1"
  std::vector<int64_t> shape;
  std::string data;

  int64_t elements() const;
  int64_t element_bytes() const;
};

// `name` stands in messages. Fortran order of more than one dimension, big endian and structured types are
// errors.
Result<NpyArray> parse_npy(std::string_view bytes, std::string_view name);
std::string format_npy(const NpyArray& array);

// Whole files, for what must be read or written at once.
Result<std::string> read_whole_file(const std::string& path);
Status write_whole_file(const std::string& path, std::string_view bytes);

}  // namespace rtjit

#include "base/npy.h"

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "base/text.h"

namespace rtjit {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr int64_t kMaxBytes = int64_t(1) << 46;  // what an address can name; keeps products from overflowing

// The text after "'key':" in the header's dictionary.
std::optional<std::string_view> entry(std::string_view header, std::string_view key) {
  for (char quote : {'\'', '"'}) {
    const size_t at = header.find(fmt::format("{0}{1}{0}", quote, key));
    if (at == std::string_view::npos) continue;
    const size_t colon = header.find(':', at + key.size() + 2);
    if (colon == std::string_view::npos) return std::nullopt;
    return trim(header.substr(colon + 1));
  }
  return std::nullopt;
}

}  // namespace

int64_t NpyArray::elements() const {
  int64_t count = 1;
  for (int64_t extent : shape) count *= extent;
  return count;
}

int64_t NpyArray::element_bytes() const {
  return type.size() > 1 ? parse_int(std::string_view(type).substr(1)).value_or(0) : 0;
}

Result<NpyArray> parse_npy(std::string_view bytes, std::string_view name) {
  auto bad = [&](std::string_view why) {
    return make_error(ErrorCode::invalid_argument, "{}: {}; needed: a .npy file, little endian, C order",
                      name, why);
  };
  if (bytes.size() < 10 || bytes.substr(0, 6) != kMagic)
    return bad("this is not a .npy file (its magic number differs)");
  const int version = static_cast<unsigned char>(bytes[6]);
  if (version < 1 || version > 3) return bad(fmt::format("format version {} is unknown", version));
  const size_t length_bytes = version == 1 ? 2 : 4;
  if (bytes.size() < 8 + length_bytes) return bad("the file ends within its header");
  size_t length = 0;
  for (size_t i = 0; i < length_bytes; i++)
    length |= size_t(static_cast<unsigned char>(bytes[8 + i])) << (8 * i);
  if (bytes.size() - 8 - length_bytes < length) return bad("the file ends within its header");
  const std::string_view header = bytes.substr(8 + length_bytes, length);
  const std::string_view data = bytes.substr(8 + length_bytes + length);

  NpyArray array;
  const auto type = entry(header, "descr");
  if (!type || type->size() < 4 || ((*type)[0] != '\'' && (*type)[0] != '"'))
    return bad("its type is not a plain one");
  const size_t end = type->find((*type)[0], 1);
  if (end == std::string_view::npos || end < 4) return bad("its type is not a plain one");
  const std::string_view descr = type->substr(1, end - 1);
  array.type = std::string(descr.substr(1));
  const int64_t width = array.element_bytes();
  if (descr[0] == '>') return bad(fmt::format("type '{}' is big endian", descr));
  if (!std::strchr("<|=", descr[0]) || !std::strchr("fiubV", array.type[0]) ||
      (width != 1 && width != 2 && width != 4 && width != 8))
    return bad(fmt::format("type '{}' is not a number of 1, 2, 4 or 8 bytes", descr));

  const auto shape = entry(header, "shape");
  if (!shape || shape->empty() || (*shape)[0] != '(') return bad("it has no shape");
  const size_t close = shape->find(')');
  if (close == std::string_view::npos) return bad("its shape is not closed");
  int64_t total = width;
  for (const std::string& part : split(shape->substr(1, close - 1), ',')) {
    if (trim(part).empty()) continue;
    const auto extent = parse_int(trim(part));
    if (!extent || *extent < 0) return bad(fmt::format("'{}' is not an extent", part));
    if (*extent > 0 && total > kMaxBytes / *extent) return bad("its shape is larger than any memory");
    total *= *extent;
    array.shape.push_back(*extent);
  }
  const auto fortran = entry(header, "fortran_order");
  if (fortran && fortran->starts_with("True") && array.shape.size() > 1) return bad("it is in Fortran order");
  if (static_cast<uint64_t>(total) != data.size())
    return bad(fmt::format("its shape asks for {} B of data, {} B follow", total, data.size()));
  array.data = std::string(data);
  return array;
}

std::string format_npy(const NpyArray& array) {
  std::string shape;
  for (size_t i = 0; i < array.shape.size(); i++) shape += fmt::format("{}{}", i ? ", " : "", array.shape[i]);
  if (array.shape.size() == 1) shape += ",";
  std::string header = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                   array.element_bytes() > 1 ? '<' : '|', array.type, shape);
  // Data starts at a multiple of 64 bytes; the header ends in a line break.
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string out(kMagic);
  out += std::string_view("\x01\x00", 2);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  return out + header + array.data;
}

Result<std::string> read_whole_file(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return make_error(ErrorCode::not_found, "cannot read {}: {}", path, std::strerror(errno));
  std::string out;
  char chunk[1 << 16];
  for (size_t got; (got = std::fread(chunk, 1, sizeof chunk, file.get())) > 0;) out.append(chunk, got);
  if (std::ferror(file.get()))
    return make_error(ErrorCode::io, "cannot read {}: {}", path, std::strerror(errno));
  return out;
}

Status write_whole_file(const std::string& path, std::string_view bytes) {
  FILE* file = std::fopen(path.c_str(), "wb");
  if (!file) return make_error(ErrorCode::io, "cannot write {}: {}", path, std::strerror(errno));
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const int reason = errno;
  if (std::fclose(file) != 0 || !written)
    return make_error(ErrorCode::io, "cannot write {}: {}", path, std::strerror(written ? errno : reason));
  return {};
}

}  // namespace rtjit

#include "tools/rtjit/kernel_argument.h"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>

#include "base/float_formats.h"
#include "base/npy.h"
#include "base/text.h"

namespace rtjit {

const char* const kKernelArgumentHelp =
    "--arg, once per parameter, in order:\n"
    "  u32=7  s64=-1  f32=0.5  bf16=2  b32=0xff     a scalar (u8..u64 s8..s64 b8..b64 f16 bf16 f32 f64 "
    "e4m3)\n"
    "  bytes=00ff10..                               a structure passed by value, as hexadecimal bytes\n"
    "  buffer=TYPE,SHAPE[,fill][,out=FILE.npy]      a pointer; SHAPE is a count or 4x8. Fill is one of\n"
    "    value=V                                    every element is V\n"
    "    seed=N[,low=A,high=B]                      random: floats in [-1, 1), integers over all bits\n"
    "    file=FILE                                  .npy (TYPE and SHAPE may be left out) or raw bytes\n"
    "    nothing                                    nobody wrote it: a kernel that reads it is reported\n"
    "  out=FILE.npy writes the buffer when the kernel has run; bf16 and e4m3 appear there as u2 and u1\n";

namespace {

constexpr ElementFormat kFormats[] = {
    {"u8", "u1", 1, 'u'},   {"s8", "i1", 1, 's'},   {"b8", "u1", 1, 'b'},  {"u16", "u2", 2, 'u'},
    {"s16", "i2", 2, 's'},  {"b16", "u2", 2, 'b'},  {"u32", "u4", 4, 'u'}, {"s32", "i4", 4, 's'},
    {"b32", "u4", 4, 'b'},  {"u64", "u8", 8, 'u'},  {"s64", "i8", 8, 's'}, {"b64", "u8", 8, 'b'},
    {"f16", "f2", 2, 'f'},  {"bf16", "u2", 2, 'f'}, {"f32", "f4", 4, 'f'}, {"f64", "f8", 8, 'f'},
    {"e4m3", "u1", 1, 'f'},
};
constexpr int64_t kMaxBufferBytes = int64_t(1) << 34;  // what the emulated device has

template <class T>
std::string bytes_of(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string encode(const ElementFormat& format, double value) {
  const auto narrow = static_cast<float>(value);
  switch (format.bytes) {
    case 8:
      return bytes_of(value);
    case 4:
      return bytes_of(narrow);
    case 2:
      return bytes_of(std::string_view(format.name) == "bf16" ? bf16_from_float(narrow)
                                                              : f16_from_float(narrow));
    default:
      return bytes_of(e4m3_from_float(narrow));
  }
}

std::string low_bytes(uint64_t bits, int count) {
  return bytes_of(bits).substr(0, static_cast<size_t>(count));
}

struct Number {
  bool negative = false;
  uint64_t magnitude = 0;
};
std::optional<Number> parse_number(const std::string& text) {
  Number number;
  const char* digits = text.c_str();
  if (*digits == '-') number.negative = true, digits++;
  if (*digits < '0' || *digits > '9') return std::nullopt;
  const bool hexadecimal = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
  char* end = nullptr;
  errno = 0;
  number.magnitude = std::strtoull(digits, &end, hexadecimal ? 16 : 10);
  if (*end || errno) return std::nullopt;
  return number;
}

Result<std::string> encode(const ElementFormat& format, const std::string& text) {
  if (format.kind == 'f') {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end) return make_error(ErrorCode::invalid_argument, "'{}' is not a number", text);
    return encode(format, value);
  }
  const auto number = parse_number(text);
  if (!number) return make_error(ErrorCode::invalid_argument, "'{}' is not an integer of 64 bits", text);
  const int bits = format.bytes * 8;
  const uint64_t all = bits == 64 ? ~uint64_t(0) : (uint64_t(1) << bits) - 1;
  const uint64_t half = uint64_t(1) << (bits - 1);
  const uint64_t most = format.kind == 's' ? half - 1 : all;
  const uint64_t least = format.kind == 'u' ? 0 : half;
  if (number->magnitude > (number->negative ? least : most))
    return make_error(ErrorCode::invalid_argument, "{} does not fit {}", text, format.name);
  return low_bytes(number->negative ? 0 - number->magnitude : number->magnitude, format.bytes);
}

Result<std::vector<int64_t>> parse_shape(const std::string& text) {
  std::vector<int64_t> shape;
  for (const std::string& part : split(text, 'x')) {
    const auto extent = parse_int(part);
    if (!extent || *extent < 1)
      return make_error(ErrorCode::invalid_argument, "'{}' is not a shape; write 1024 or 4x8", text);
    shape.push_back(*extent);
  }
  return shape;
}

struct Fill {
  std::optional<std::string> value, seed, low, high, file;
};

Result<std::string> random_bytes(const ElementFormat& format, size_t elements, const Fill& fill) {
  const auto seed = parse_number(*fill.seed);
  if (!seed || seed->negative)
    return make_error(ErrorCode::invalid_argument, "seed={} is not a count", *fill.seed);
  double low = -1, high = 1;
  const bool limited = fill.low || fill.high;
  for (auto [text, number] : {std::pair(&fill.low, &low), std::pair(&fill.high, &high)}) {
    if (!*text) continue;
    const auto parsed = parse_double(**text);
    if (!parsed) return make_error(ErrorCode::invalid_argument, "'{}' is not a number", **text);
    *number = *parsed;
  }
  if (limited && (!fill.low || !fill.high || !(low < high) || std::abs(low) > 1e15 || std::abs(high) > 1e15))
    return make_error(ErrorCode::invalid_argument,
                      "low= and high= go together, low < high, each within 1e15");
  std::mt19937_64 generator(seed->magnitude);
  std::string out;
  out.reserve(elements * static_cast<size_t>(format.bytes));
  for (size_t i = 0; i < elements; i++) {
    const uint64_t bits = generator();
    // 53 bits: a double in [0, 1).
    const double unit = static_cast<double>(bits >> 11) * 0x1p-53;
    if (format.kind == 'f')
      out += encode(format, low + unit * (high - low));
    else if (limited)
      out += low_bytes(static_cast<uint64_t>(static_cast<int64_t>(std::floor(low + unit * (high - low)))),
                       format.bytes);
    else
      out += low_bytes(bits, format.bytes);
  }
  return out;
}

// Contents from a file; type and shape are taken from a .npy file where they were not given.
Status fill_from_file(const std::string& path, bool has_type, KernelArgument* out) {
  auto bytes = read_whole_file(path);
  if (!bytes) return bytes.error();
  const bool npy = path.ends_with(".npy") || bytes->starts_with("\x93NUMPY");
  if (!npy) {
    if (!has_type) return make_error(ErrorCode::invalid_argument, "{} is not a .npy file: name a TYPE", path);
    const auto width = static_cast<size_t>(out->format.bytes);
    if (bytes->empty() || bytes->size() % width)
      return make_error(ErrorCode::invalid_argument, "{} has {} B, which is not a number of {} elements",
                        path, bytes->size(), out->format.name);
    if (out->shape.empty()) out->shape = {static_cast<int64_t>(bytes->size() / width)};
    out->bytes = std::move(*bytes);
  } else {
    auto array = parse_npy(*bytes, path);
    if (!array) return array.error();
    if (!has_type) {
      for (const ElementFormat& format : kFormats)
        if (array->type == format.npy || (array->type == "b1" && format.name == std::string_view("u8"))) {
          out->format = format;
          break;
        }
      if (!out->format.name)
        return make_error(ErrorCode::invalid_argument, "{}: no TYPE fits '{}'", path, array->type);
    } else if (array->element_bytes() != out->format.bytes ||
               ((array->type[0] == 'f') && out->format.kind != 'f' && out->format.kind != 'b') ||
               (array->type != out->format.npy && out->format.kind == 'f')) {
      return make_error(ErrorCode::invalid_argument, "{} holds '{}', the argument is {} (NumPy's '{}')", path,
                        array->type, out->format.name, out->format.npy);
    }
    if (out->shape.empty()) out->shape = array->shape.empty() ? std::vector<int64_t>{1} : array->shape;
    out->bytes = std::move(array->data);
  }
  if (out->bytes.empty() || out->bytes.size() != out->buffer_bytes())
    return make_error(ErrorCode::invalid_argument, "{} holds {} B of data, the shape asks for {} B", path,
                      out->bytes.size(), out->buffer_bytes());
  return {};
}

Result<KernelArgument> parse_buffer(const std::string& text) {
  KernelArgument out;
  out.is_buffer = true;
  Fill fill;
  bool has_type = false;
  for (const std::string& part : split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string::npos) {
      if (!has_type) {
        auto format = element_format(part);
        if (!format) return format.error();
        out.format = *format;
        has_type = true;
      } else if (out.shape.empty()) {
        auto shape = parse_shape(part);
        if (!shape) return shape.error();
        out.shape = std::move(*shape);
      } else {
        return make_error(ErrorCode::invalid_argument, "'{}' is neither TYPE, SHAPE nor key=value", part);
      }
      continue;
    }
    const std::string key = part.substr(0, equals), value = part.substr(equals + 1);
    if (key == "value")
      fill.value = value;
    else if (key == "seed")
      fill.seed = value;
    else if (key == "low")
      fill.low = value;
    else if (key == "high")
      fill.high = value;
    else if (key == "file")
      fill.file = value;
    else if (key == "out")
      out.out = value;
    else
      return make_error(ErrorCode::invalid_argument,
                        "'{}' is unknown; allowed are value, seed, low, high, file, out", key);
  }
  if (int(fill.value.has_value()) + int(fill.seed.has_value()) + int(fill.file.has_value()) > 1)
    return make_error(ErrorCode::invalid_argument, "only one of value=, seed= and file= may fill a buffer");
  if ((fill.low || fill.high) && !fill.seed)
    return make_error(ErrorCode::invalid_argument, "low= and high= need seed=");
  int64_t total = 1;
  for (int64_t extent : out.shape) {
    if (extent > kMaxBufferBytes / 8 / total)
      return make_error(ErrorCode::invalid_argument, "the shape is larger than the emulated device's memory");
    total *= extent;
  }
  if (fill.file) {
    if (Status status = fill_from_file(*fill.file, has_type, &out); !status.ok()) return status.error();
    return out;
  }
  if (!has_type || out.shape.empty())
    return make_error(ErrorCode::invalid_argument,
                      "a buffer needs TYPE and SHAPE, such as buffer=f32,1024,value=0");
  out.initialised = fill.value || fill.seed;
  if (fill.value) {
    auto element = encode(out.format, *fill.value);
    if (!element) return element.error();
    for (int64_t i = 0; i < total; i++) out.bytes += *element;
  } else if (fill.seed) {
    auto bytes = random_bytes(out.format, static_cast<size_t>(total), fill);
    if (!bytes) return bytes.error();
    out.bytes = std::move(*bytes);
  }
  return out;
}

Result<KernelArgument> parse_structure(const std::string& text) {
  KernelArgument out;
  out.format = {"bytes", "u1", 1, 'b'};
  if (text.empty() || text.size() % 2 ||
      text.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
    return make_error(ErrorCode::invalid_argument, "'{}' is not an even number of hexadecimal digits", text);
  for (size_t i = 0; i < text.size(); i += 2)
    out.bytes += static_cast<char>(std::strtoul(text.substr(i, 2).c_str(), nullptr, 16));
  return out;
}

// Why the argument is not one for the parameter, or "".
std::string mismatch(const ptx::Variable& parameter, const KernelArgument& argument) {
  const bool array = parameter.bytes != parameter.type.bits / 8;
  if (argument.is_buffer)
    return array || parameter.bytes != 8 || parameter.type.kind == 'f' ? "a buffer, whose address has 8 B"
                                                                       : "";
  if (static_cast<int64_t>(argument.bytes.size()) != parameter.bytes)
    return fmt::format("{} with {} B", argument.format.name, argument.bytes.size());
  // Structures and the 16-bit floats are arrays of bytes in PTX: any value of that size fits them.
  if (array || argument.format.kind == 'b' || parameter.type.kind == 'b') return "";
  return (argument.format.kind == 'f') != (parameter.type.kind == 'f') ? argument.format.name : "";
}

}  // namespace

Result<ElementFormat> element_format(std::string_view name) {
  std::vector<std::string> names;
  for (const ElementFormat& format : kFormats) {
    if (name == format.name) return format;
    names.push_back(format.name);
  }
  return make_error(ErrorCode::invalid_argument, "type '{}' is unknown; types are {}", name,
                    join(names, ", "));
}

size_t KernelArgument::buffer_bytes() const {
  auto total = static_cast<size_t>(format.bytes);
  for (int64_t extent : shape) total *= static_cast<size_t>(extent);
  return total;
}

Result<KernelArgument> parse_kernel_argument(const std::string& text) {
  const std::string context = fmt::format("--arg {}", text);
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    return make_error(ErrorCode::invalid_argument,
                      "{}: there is no '='; write u32=7 or buffer=f32,1024,value=0", context);
  const std::string kind = text.substr(0, equals), value = text.substr(equals + 1);
  if (kind == "buffer" || kind == "bytes") {
    auto argument = kind == "buffer" ? parse_buffer(value) : parse_structure(value);
    if (!argument) return argument.error().with_context(context);
    return argument;
  }
  auto format = element_format(kind);
  if (!format)
    return make_error(ErrorCode::invalid_argument, "{}: {}, and buffer, bytes", context,
                      format.error().message);
  auto bytes = encode(*format, value);
  if (!bytes) return bytes.error().with_context(context);
  KernelArgument argument;
  argument.format = *format;
  argument.bytes = std::move(*bytes);
  return argument;
}

Status check_arguments(const ptx::Function& kernel, const std::vector<KernelArgument>& arguments) {
  auto list = [&] {
    std::vector<std::string> parameters;
    for (const ptx::Variable& parameter : kernel.parameters)
      parameters.push_back(describe_parameter(parameter));
    return parameters.empty() ? "none" : join(parameters, ", ");
  };
  if (arguments.size() != kernel.parameters.size())
    return make_error(ErrorCode::invalid_argument,
                      "kernel '{}' takes {} arguments, {} were given; its parameters: {}", kernel.name,
                      kernel.parameters.size(), arguments.size(), list());
  for (size_t i = 0; i < arguments.size(); i++) {
    if (std::string came = mismatch(kernel.parameters[i], arguments[i]); !came.empty())
      return make_error(ErrorCode::invalid_argument,
                        "argument {} is {}, but the parameter of kernel '{}' is {}; its parameters: {}",
                        i + 1, came, kernel.name, describe_parameter(kernel.parameters[i]), list());
  }
  return {};
}

std::string describe_parameter(const ptx::Variable& parameter) {
  if (parameter.bytes != parameter.type.bits / 8)
    return fmt::format("{} B (align {}) {}", parameter.bytes, parameter.align, parameter.name);
  return fmt::format("{}{} {}", parameter.type.kind, parameter.type.bits, parameter.name);
}

}  // namespace rtjit

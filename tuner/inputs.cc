#include "tuner/inputs.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/float_formats.h"
#include "base/parallel.h"

namespace rtjit {
namespace {

// Weights of a large model have gigabytes: past this many bytes a fill repeats itself (with an odd period, so
// that rows do not look alike), and only the first period is kept.
constexpr size_t kPeriod = (size_t{16} << 20) - 37;
constexpr size_t kDrawsAtOnce = size_t{1} << 17;  // by one thread

bool is_integer(DType dtype) {
  return dtype == DType::u8 || dtype == DType::i8 || dtype == DType::i16 || dtype == DType::i32 ||
         dtype == DType::i64;
}

template <typename T>
void store(unsigned char* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

void set_element(DType dtype, unsigned char* at, double value) {
  switch (dtype) {
    case DType::u8:
      return store(at, static_cast<uint8_t>(static_cast<int64_t>(value)));
    case DType::i8:
      return store(at, static_cast<int8_t>(value));
    case DType::i16:
      return store(at, static_cast<int16_t>(value));
    case DType::i32:
      return store(at, static_cast<int32_t>(value));
    case DType::i64:
      return store(at, static_cast<int64_t>(value));
    case DType::bf16:
      return store(at, bf16_from_float(static_cast<float>(value)));
    case DType::f16:
      return store(at, f16_from_float(static_cast<float>(value)));
    case DType::f32:
      return store(at, static_cast<float>(value));
    case DType::f64:
      return store(at, value);
    case DType::e4m3:
      return store(at, e4m3_from_float(static_cast<float>(value)));
    case DType::e8m0: {
      int exponent = value > 0 ? std::ilogb(value) + 127 : 0;
      return store(at, static_cast<uint8_t>(std::clamp(exponent, 0, 254)));
    }
  }
}

// 65,536 draws of the normal distribution: large tensors pick from them.
const std::vector<float>& normal_table() {
  static const std::vector<float> table = [] {
    Random random(0x6e6f726d616c);
    std::vector<float> values(65536);
    for (size_t i = 0; i < values.size(); i += 2) {
      double radius = std::sqrt(-2 * std::log(1 - random.uniform()));
      double angle = 2 * std::numbers::pi * random.uniform();
      values[i] = static_cast<float>(radius * std::cos(angle));
      values[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
    return values;
  }();
  return table;
}

// Evaluates the options of a fill.
class Options {
 public:
  Options(const LaunchPlan& plan, const FillSpec& fill, const std::vector<int64_t>& values)
      : plan_(plan), fill_(fill), values_(values) {}

  Result<double> number(const std::string& name, double fallback) const {
    auto found = fill_.options.find(name);
    if (found == fill_.options.end()) return fallback;
    if (auto plain = parse_double(found->second)) return *plain;
    auto formula = Formula::parse(found->second, plan_.symbols());
    if (!formula) return formula.error();
    auto value = formula->evaluate_or_error(values_, plan_.symbols());
    if (!value) return value.error();
    return static_cast<double>(*value);
  }

 private:
  const LaunchPlan& plan_;
  const FillSpec& fill_;
  const std::vector<int64_t>& values_;
};

// Calls set(random, i) for i in 0 .. count - 1, each of which draws once: shared out among threads, with the
// results of one loop.
template <typename Set>
void draw_each(const Random& random, size_t count, const Set& set) {
  parallel_for(count, kDrawsAtOnce, [&](size_t begin, size_t end) {
    Random mine = random.after(begin);
    for (size_t i = begin; i < end; ++i) set(mine, i);
  });
}

void fill_bytes(const Random& random, int low, int high, HostTensor* tensor) {
  std::vector<unsigned char>& data = tensor->data;
  data.resize(std::min(static_cast<size_t>(tensor->bytes()), kPeriod));
  if (low == 0 && high == 255) {
    draw_each(random, (data.size() + 7) / 8, [&](Random& mine, size_t i) {
      const uint64_t word = mine.next();
      std::memcpy(data.data() + 8 * i, &word, std::min<size_t>(8, data.size() - 8 * i));
    });
  } else {
    draw_each(random, data.size(), [&](Random& mine, size_t i) {
      data[i] = static_cast<unsigned char>(low + mine.below(high - low + 1));
    });
  }
}

// `draw` makes one element of one draw.
template <typename Draw>
void fill_elements(const Random& random, const Draw& draw, HostTensor* tensor) {
  const size_t size = static_cast<size_t>(bytes_of(tensor->dtype));
  tensor->data.resize(std::min(static_cast<size_t>(tensor->bytes()), kPeriod / size * size));
  draw_each(random, tensor->data.size() / size, [&](Random& mine, size_t i) {
    set_element(tensor->dtype, tensor->data.data() + i * size, draw(mine));
  });
}

void fill_choices(Random* random, int64_t count, int64_t first, int pattern, HostTensor* tensor) {
  if (tensor->elements() == 0 || count <= 0) return;
  int64_t columns = tensor->columns(), rows = tensor->rows();
  size_t size = static_cast<size_t>(bytes_of(tensor->dtype));
  std::vector<double> cumulative;
  for (int64_t k = 0; pattern == 3 && k < count; ++k) {
    cumulative.push_back((cumulative.empty() ? 0 : cumulative.back()) + 1.0 / static_cast<double>(k + 1));
  }
  std::vector<int64_t> row(static_cast<size_t>(columns));
  auto draw = [&]() -> int64_t {
    if (pattern != 3) return random->below(count);
    double at = random->uniform() * cumulative.back();
    auto found = std::upper_bound(cumulative.begin(), cumulative.end(), at) - cumulative.begin();
    return std::min<int64_t>(found, count - 1);
  };
  for (int64_t r = 0; r < rows; ++r) {
    if (r == 0 || pattern != 1) {
      for (int64_t c = 0; c < columns; ++c) {
        // Distinct within a row while there are unused ids: walk on from a taken one.
        int64_t id = draw();
        if (c < count) {
          while (std::find(row.begin(), row.begin() + c, id) != row.begin() + c) id = (id + 1) % count;
        }
        row[static_cast<size_t>(c)] = id;
      }
    }
    for (int64_t c = 0; c < columns; ++c) {
      int64_t id = first + row[static_cast<size_t>(c)];
      if (pattern == 2 && random->below(5) == 0)
        id = random->below(2) == 0 ? -1 : first + count + random->below(8);
      set_element(tensor->dtype, tensor->data.data() + static_cast<size_t>(tensor->row_offset(r) + c) * size,
                  static_cast<double>(id));
    }
  }
}

void fill_softmax(Random* random, HostTensor* tensor) {
  if (tensor->elements() == 0) return;
  size_t size = static_cast<size_t>(bytes_of(tensor->dtype));
  std::vector<double> row(static_cast<size_t>(tensor->columns()));
  const std::vector<float>& normals = normal_table();
  for (int64_t r = 0; r < tensor->rows(); ++r) {
    size_t at = static_cast<size_t>(tensor->row_offset(r)) * size;
    double sum = 0;
    for (double& value : row) sum += value = std::exp(static_cast<double>(normals[random->next() & 0xFFFF]));
    for (size_t c = 0; c < row.size(); ++c) {
      set_element(tensor->dtype, tensor->data.data() + at + c * size, row[c] / sum);
    }
  }
}

Status fill_tensor(const ArgumentSpec& spec, const Options& options, Random* random, int pattern,
                   HostTensor* tensor) {
  const std::string& kind = spec.fill.kind;
  bool integers = is_integer(tensor->dtype);
  auto option = [&](const char* name, double fallback, double* out) -> Status {
    auto value = options.number(name, fallback);
    if (!value)
      return value.error().with_context(fmt::format("argument {}: fill option {}", spec.name, name));
    *out = *value;
    return {};
  };
  double a = 0, b = 0;
  if (kind == "zero" || (kind.empty() && integers)) {
    tensor->data.resize(std::min(static_cast<size_t>(tensor->bytes()), kPeriod));
    return {};
  }
  if (kind == "bytes") {
    if (Status s = option("low", 0, &a); !s) return s;
    if (Status s = option("high", 255, &b); !s) return s;
    fill_bytes(*random, static_cast<int>(a), static_cast<int>(b), tensor);
    return {};
  }
  if (kind == "normal" || kind.empty()) {
    if (Status s = option("mean", 0, &a); !s) return s;
    if (Status s = option("std", 1, &b); !s) return s;
    const std::vector<float>& normals = normal_table();
    const auto draw = [&](Random& mine) {
      return a + b * static_cast<double>(normals[mine.next() & 0xFFFF]);
    };
    fill_elements(*random, draw, tensor);
    return {};
  }
  if (kind == "range") {
    if (Status s = option("low", 0, &a); !s) return s;
    if (Status s = option("high", 1, &b); !s) return s;
    int64_t first = static_cast<int64_t>(a),
            count = std::max<int64_t>(1, static_cast<int64_t>(b) - first + 1);
    const auto draw = [&](Random& mine) {
      return integers ? static_cast<double>(first + mine.below(count)) : a + (b - a) * mine.uniform();
    };
    fill_elements(*random, draw, tensor);
    return {};
  }
  tensor->data.resize(static_cast<size_t>(tensor->bytes()));
  if (kind == "choice") {
    if (Status s = option("count", 0, &a); !s) return s;
    if (Status s = option("first", 0, &b); !s) return s;
    fill_choices(random, static_cast<int64_t>(a), static_cast<int64_t>(b), pattern, tensor);
    return {};
  }
  if (kind == "softmax") {
    fill_softmax(random, tensor);
    return {};
  }
  return make_error(ErrorCode::invalid_argument,
                    "argument {}: fill kind '{}' is none of normal, bytes, range, choice, softmax, zero",
                    spec.name, kind);
}

Result<bool> is_given(const LaunchPlan& plan, int index, const InputCase& input,
                      const std::vector<int64_t>& values) {
  const ArgumentSpec& spec = plan.source().arguments[static_cast<size_t>(index)];
  if (spec.optional) return input.optionals && spec.fill.kind != "zero";
  if (spec.required_when.empty()) return true;
  auto required =
      plan.argument_shapes()[static_cast<size_t>(index)].required.evaluate_or_error(values, plan.symbols());
  if (!required) return required.error();
  return *required != 0;
}

DType choose_dtype(const ArgumentSpec& spec, const InputCase& input, const Problem& problem) {
  if (!spec.dtype_key.empty()) {
    const Value* chosen = problem.find(spec.dtype_key);
    const std::string* name = chosen ? std::get_if<std::string>(chosen) : nullptr;
    if (name) {
      if (auto dtype = parse_dtype(*name)) return *dtype;
    }
  }
  return input.last_dtypes ? spec.dtypes.back() : spec.dtypes.front();
}

// A launch scalar that only this argument's shape binds, for example a number of pages: its smallest useful
// value.
int64_t smallest_useful(const LaunchPlan& plan, int slot) {
  for (const LaunchScalar& scalar : plan.source().scalars) {
    if (plan.scalar_slot(scalar.name) != slot) continue;
    int64_t least = std::max<int64_t>(scalar.min, 1), unit = std::max<int64_t>(scalar.multiple_of, 1);
    return (least + unit - 1) / unit * unit;
  }
  return 1;
}

}  // namespace

std::string InputCase::text() const {
  std::string out = fmt::format("size {} seed {} pattern {}", value, seed, pattern);
  if (optionals) out += " with optional arguments";
  if (last_dtypes) out += " with the last dtypes";
  return out;
}

int64_t HostTensor::elements() const {
  int64_t count = 1;
  for (int i = 0; i < rank; ++i) count *= shape[static_cast<size_t>(i)];
  return count;
}

int64_t HostTensor::columns() const { return rank > 0 ? shape[static_cast<size_t>(rank - 1)] : 1; }

int64_t HostTensor::rows() const { return elements() / std::max<int64_t>(columns(), 1); }

int64_t HostTensor::row_offset(int64_t row) const {
  int64_t offset = 0;
  for (int d = rank - 2; d >= 0; --d) {
    offset += row % shape[static_cast<size_t>(d)] * stride[static_cast<size_t>(d)];
    row /= shape[static_cast<size_t>(d)];
  }
  return offset;
}

int64_t HostTensor::bytes() const {
  if (elements() == 0) return 0;
  int64_t last = 0;
  for (size_t d = 0; d < static_cast<size_t>(rank); ++d) last += (shape[d] - 1) * stride[d];
  return (last + 1) * bytes_of(dtype);
}

Result<std::vector<HostTensor>> draw_inputs(const LaunchPlan& plan, const Problem& problem,
                                            ArgumentSpec::Role role, const InputCase& input) {
  std::vector<int64_t> values = plan.base_values();
  const Template& tmpl = plan.source();
  std::vector<bool> known(values.size(), false);
  if (int slot = plan.scalar_slot(tmpl.bucket_scalar); slot >= 0) {
    values[static_cast<size_t>(slot)] = input.value;
    known[static_cast<size_t>(slot)] = true;
  }
  std::vector<HostTensor> tensors;
  for (size_t i = 0; i < tmpl.arguments.size(); ++i) {
    const ArgumentSpec& spec = tmpl.arguments[i];
    if (spec.role != role) continue;
    auto given = is_given(plan, static_cast<int>(i), input, values);
    if (!given) return given.error();
    if (!*given) continue;

    HostTensor tensor;
    tensor.name = spec.name;
    tensor.argument = static_cast<int>(i);
    tensor.dtype = choose_dtype(spec, input, problem);
    tensor.is_output = spec.access == ArgumentSpec::Access::write;
    const LaunchPlan::ArgumentShape& shape = plan.argument_shapes()[i];
    tensor.rank = static_cast<int>(shape.shape.size());
    if (tensor.rank > 4) {
      return make_error(ErrorCode::unsupported, "argument {}: rank {}, at most 4", spec.name, tensor.rank);
    }
    for (size_t d = 0; d < shape.shape.size(); ++d) {
      int bound = d < shape.shape_binds.size() ? shape.shape_binds[d] : -1;
      if (bound >= 0 && !known[static_cast<size_t>(bound)]) {
        values[static_cast<size_t>(bound)] = smallest_useful(plan, bound);
        known[static_cast<size_t>(bound)] = true;
      }
      auto extent = shape.shape[d].evaluate_or_error(values, plan.symbols());
      if (!extent) return extent.error().with_context(fmt::format("argument {}", spec.name));
      tensor.shape[d] = std::max<int64_t>(*extent, 0);
    }
    int64_t dense = 1;
    for (size_t d = static_cast<size_t>(tensor.rank); d-- > 0;) {
      tensor.stride[d] = dense;
      if (d < spec.strides.size() && !spec.strides[d].empty()) {
        int bound = d < shape.stride_binds.size() ? shape.stride_binds[d] : -1;
        if (bound >= 0 && !known[static_cast<size_t>(bound)]) {
          values[static_cast<size_t>(bound)] = dense;
          known[static_cast<size_t>(bound)] = true;
        } else {
          auto stride = shape.strides[d].evaluate_or_error(values, plan.symbols());
          if (!stride) return stride.error().with_context(fmt::format("argument {}", spec.name));
          tensor.stride[d] = *stride;
        }
      }
      dense = tensor.stride[d] * std::max<int64_t>(tensor.shape[d], 1);
    }
    if (!tensor.is_output) {
      // Each argument has its own stream of draws, so that adding one does not change the others.
      Random random(input.seed * 0x9E3779B97F4A7C15ull + static_cast<uint64_t>(text_value(spec.name)));
      Status status = fill_tensor(spec, Options(plan, spec.fill, values), &random, input.pattern, &tensor);
      if (!status) return status.error();
    }
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

double element_value(DType dtype, const unsigned char* at) {
  auto load = [&](auto value) {
    std::memcpy(&value, at, sizeof value);
    return value;
  };
  switch (dtype) {
    case DType::u8:
      return load(uint8_t{});
    case DType::i8:
      return load(int8_t{});
    case DType::i16:
      return load(int16_t{});
    case DType::i32:
      return load(int32_t{});
    case DType::i64:
      return static_cast<double>(load(int64_t{}));
    case DType::bf16:
      return float_from_bf16(load(uint16_t{}));
    case DType::f16:
      return float_from_f16(load(uint16_t{}));
    case DType::f32:
      return load(float{});
    case DType::f64:
      return load(double{});
    case DType::e4m3:
      return float_from_e4m3(load(uint8_t{}));
    case DType::e8m0:
      return float_from_e8m0(load(uint8_t{}));
  }
  return 0;
}

uint64_t Random::next() {
  state_ += kStep;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

int64_t Random::below(int64_t count) { return static_cast<int64_t>(next() % static_cast<uint64_t>(count)); }

}  // namespace rtjit

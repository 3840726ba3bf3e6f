// The gate between a caller's tensors and a plan: after it, kernels may trust what they get.
#include <algorithm>
#include <bitset>

#include "base/text.h"
#include "runtime/launcher.h"

namespace rtjit {
namespace {

template <typename Number>
std::string list(std::span<const Number> numbers) {
  return fmt::format("[{}]", fmt::join(numbers.begin(), numbers.end(), ", "));
}

std::string list(const std::vector<std::string>& texts) {
  return fmt::format("[{}]", fmt::join(texts, ", "));
}

// One call's state: the plan, what is bound so far, and the tensor that is looked at.
class Binder {
 public:
  Binder(const LaunchPlan& plan, ArgumentSpec::Role role, std::span<const TensorArg> tensors,
         BoundArguments* out)
      : plan_(plan), specs_(plan.source().arguments), role_(role), tensors_(tensors), out_(*out) {}

  Status run();

 private:
  Status match_names();
  Status bind_type(int index);
  Status bind_shape(int index);
  Status bind_strides(int index);
  Status bind_scalar(int index, int slot, int64_t value, const char* what, int dimension);
  Status check_absent(int index) const;
  const LaunchScalar* scalar(int slot) const;
  std::string bound_scalars() const;
  std::span<const int64_t> values() const {
    return {out_.values.data(), static_cast<size_t>(plan_.symbols().size())};
  }
  std::optional<int64_t> dense_stride(const TensorArg& tensor, int dimension) const;

  const LaunchPlan& plan_;
  const std::vector<ArgumentSpec>& specs_;
  ArgumentSpec::Role role_;
  std::span<const TensorArg> tensors_;
  BoundArguments& out_;
  std::array<int16_t, kMaxPlanPointers> tensor_of_{};  // argument -> index into tensors_, -1: not passed
  std::bitset<kMaxPlanSymbols> bound_;
};

bool has_elements(const TensorArg& tensor) {
  for (int d = 0; d < tensor.rank; ++d) {
    if (tensor.shape[d] == 0) return false;
  }
  return true;
}

Status Binder::run() {
  const auto& base = plan_.base_values();
  if (base.size() > out_.values.size() || plan_.pointer_count() > kMaxPlanPointers) {
    return make_error(ErrorCode::unsupported, "{}: {} names and {} pointers, a plan may have {} and {}",
                      plan_.source().name, base.size(), plan_.pointer_count(), kMaxPlanSymbols,
                      kMaxPlanPointers);
  }
  std::copy(base.begin(), base.end(), out_.values.begin());
  std::fill_n(out_.pointers.begin(), plan_.pointer_count(), DevicePtr{0});
  if (Status status = match_names(); !status) return status;
  int count = static_cast<int>(specs_.size());
  // Types first: formulas of shapes may read the size of any argument's elements.
  for (int i = 0; i < count; ++i) {
    if (specs_[i].role != role_) continue;
    if (Status status = tensor_of_[i] < 0 ? Status() : bind_type(i); !status) return status;
  }
  for (int i = 0; i < count; ++i) {
    if (specs_[i].role != role_) continue;
    Status status = tensor_of_[i] < 0 ? check_absent(i) : bind_shape(i);
    if (!status) return status;
  }
  if (role_ == ArgumentSpec::Role::launch && !plan_.source().bucket_scalar.empty()) {
    int slot = plan_.scalar_slot(plan_.source().bucket_scalar);
    if (slot >= 0 && !bound_[slot]) {
      return make_error(ErrorCode::invalid_argument, "{} is not known: no argument that tells it was passed",
                        plan_.source().bucket_scalar);
    }
  }
  return {};
}

Status Binder::match_names() {
  std::fill(tensor_of_.begin(), tensor_of_.end(), int16_t{-1});
  for (size_t t = 0; t < tensors_.size(); ++t) {
    const TensorArg& tensor = tensors_[t];
    auto spec =
        std::find_if(specs_.begin(), specs_.end(), [&](const auto& s) { return s.name == tensor.name; });
    if (spec == specs_.end() || spec->role != role_) {
      std::vector<std::string> known;
      for (const ArgumentSpec& s : specs_) {
        if (s.role == role_) known.push_back(s.name);
      }
      const char* reason = spec == specs_.end()                     ? "no such argument"
                           : spec->role == ArgumentSpec::Role::pack ? "is passed when weights are packed"
                                                                    : "is passed with a launch";
      std::string near = spec == specs_.end() ? nearest_name(tensor.name, known) : std::string();
      return make_error(ErrorCode::invalid_argument, "{}: {}{}; the arguments here are {}", tensor.name,
                        reason, near.empty() ? "" : fmt::format(", did you mean {}", near),
                        join(known, ", "));
    }
    size_t index = static_cast<size_t>(spec - specs_.begin());
    if (tensor_of_[index] >= 0) {
      return make_error(ErrorCode::invalid_argument, "{}: passed twice", tensor.name);
    }
    if (tensor.rank < 0 || tensor.rank > 4) {
      return make_error(ErrorCode::invalid_argument, "{}: rank {}, allowed are 0 to 4", tensor.name,
                        tensor.rank);
    }
    bool absent = tensor.data == 0 && (tensor.rank == 0 || (spec->optional && has_elements(tensor)));
    if (!absent) tensor_of_[index] = static_cast<int16_t>(t);
  }
  return {};
}

Status Binder::check_absent(int index) const {
  const ArgumentSpec& spec = specs_[index];
  if (spec.optional && spec.required_when.empty()) return {};
  if (!spec.required_when.empty()) {
    auto required = plan_.argument_shapes()[index].required.evaluate_or_error(values(), plan_.symbols());
    if (!required) return required.error().with_context(spec.name);
    if (*required == 0) return {};
    return make_error(ErrorCode::invalid_argument, "{}: missing or null; it is required when {}", spec.name,
                      spec.required_when);
  }
  return make_error(ErrorCode::invalid_argument, "{}: missing or null; it is required ({})", spec.name,
                    spec.doc);
}

Status Binder::bind_type(int index) {
  const ArgumentSpec& spec = specs_[index];
  const TensorArg& tensor = tensors_[tensor_of_[index]];
  // With a dtype_key the problem has decided which of the dtypes it is.
  const SymbolTable& symbols = plan_.symbols();
  std::optional<int> key = spec.dtype_key.empty() ? std::nullopt : symbols.find(spec.dtype_key);
  auto allows = [&](DType dtype) { return !key || out_.values[*key] == text_value(to_string(dtype)); };
  bool known = std::find(spec.dtypes.begin(), spec.dtypes.end(), tensor.dtype) != spec.dtypes.end();
  if (!known || !allows(tensor.dtype)) {
    std::vector<std::string> allowed;
    for (DType dtype : spec.dtypes) {
      if (allows(dtype)) allowed.emplace_back(to_string(dtype));
    }
    if (allowed.empty()) {
      return make_error(ErrorCode::invalid_argument, "{}: passed, but this problem has none (its {} says so)",
                        spec.name, spec.dtype_key);
    }
    return make_error(ErrorCode::invalid_argument, "{}: dtype {}, allowed {} {}", spec.name,
                      to_string(tensor.dtype), allowed.size() == 1 ? "is" : "are", join(allowed, ", "));
  }
  if (int slot = plan_.item_bytes_slot(index); slot >= 0) out_.values[slot] = bytes_of(tensor.dtype);
  if (int slot = plan_.given_slot(index); slot >= 0) out_.values[slot] = 1;
  return {};
}

const LaunchScalar* Binder::scalar(int slot) const {
  for (const LaunchScalar& scalar : plan_.source().scalars) {
    if (plan_.scalar_slot(scalar.name) == slot) return &scalar;
  }
  return nullptr;
}

std::string Binder::bound_scalars() const {
  std::string text;
  for (const LaunchScalar& scalar : plan_.source().scalars) {
    int slot = plan_.scalar_slot(scalar.name);
    if (slot < 0 || !bound_[slot]) continue;
    text += fmt::format("{}{} = {}", text.empty() ? " with " : ", ", scalar.name, out_.values[slot]);
  }
  return text;
}

Status Binder::bind_scalar(int index, int slot, int64_t value, const char* what, int dimension) {
  const LaunchScalar* spec = scalar(slot);
  if (spec != nullptr && (value < spec->min || value > spec->max || value % spec->multiple_of != 0)) {
    std::string range = spec->max == INT64_MAX ? fmt::format("at least {}", spec->min)
                                               : fmt::format("{} to {}", spec->min, spec->max);
    if (spec->multiple_of > 1) range += fmt::format(", a multiple of {}", spec->multiple_of);
    return make_error(ErrorCode::invalid_argument, "{}: {} {} is {} = {}, allowed is {}", specs_[index].name,
                      what, dimension, spec->name, value, range);
  }
  out_.values[slot] = value;
  bound_[slot] = true;
  return {};
}

Status Binder::bind_shape(int index) {
  const ArgumentSpec& spec = specs_[index];
  const TensorArg& tensor = tensors_[tensor_of_[index]];
  const auto& plan = plan_.argument_shapes()[index];
  auto shape = std::span(tensor.shape).first(static_cast<size_t>(tensor.rank));
  if (!spec.required_when.empty() && !spec.optional) {
    auto required = plan.required.evaluate_or_error(values(), plan_.symbols());
    if (!required) return required.error().with_context(spec.name);
    if (*required == 0) {
      return make_error(ErrorCode::invalid_argument, "{}: passed, but this problem has none (only when {})",
                        spec.name, spec.required_when);
    }
  }
  if (plan.shape.size() != shape.size()) {
    return make_error(ErrorCode::invalid_argument, "{}: rank {} (shape {}), expected rank {} {}", spec.name,
                      tensor.rank, list(std::span<const int64_t>(shape)), plan.shape.size(),
                      list(spec.shape));
  }
  for (int d = 0; d < tensor.rank; ++d) {
    if (shape[d] < 0) {
      return make_error(ErrorCode::invalid_argument, "{}: shape {} has a negative dimension", spec.name,
                        list(std::span<const int64_t>(shape)));
    }
    int slot = plan.shape_binds.empty() ? -1 : plan.shape_binds[d];
    if (slot >= 0 && !bound_[slot]) {
      if (Status status = bind_scalar(index, slot, shape[d], "dimension", d); !status) return status;
      continue;
    }
    auto expected = plan.shape[d].evaluate_or_error(values(), plan_.symbols());
    if (!expected) return expected.error().with_context(spec.name);
    if (*expected == shape[d]) continue;
    return make_error(ErrorCode::invalid_argument, "{}: shape {}, expected {}: dimension {} must be {}{}",
                      spec.name, list(std::span<const int64_t>(shape)), list(spec.shape), d, *expected,
                      bound_scalars());
  }
  if (has_elements(tensor)) {
    if (tensor.data == 0) {
      return make_error(ErrorCode::invalid_argument, "{}: null, but its shape {} has elements", spec.name,
                        list(std::span<const int64_t>(shape)));
    }
    int align = std::max(spec.align, bytes_of(tensor.dtype));
    if (tensor.data % static_cast<uint64_t>(align) != 0) {
      return make_error(ErrorCode::invalid_argument, "{}: pointer {:#x}, must be aligned to {} bytes",
                        spec.name, tensor.data, align);
    }
  }
  out_.pointers[index] = tensor.data;
  return bind_strides(index);
}

// The stride that dimension has when everything behind it is packed as it came; nothing on overflow.
std::optional<int64_t> Binder::dense_stride(const TensorArg& tensor, int dimension) const {
  int64_t stride = 1;
  for (int d = tensor.rank - 1; d > dimension; --d) {
    if (__builtin_mul_overflow(stride, std::max<int64_t>(tensor.shape[d], 1), &stride)) return std::nullopt;
  }
  return stride;
}

Status Binder::bind_strides(int index) {
  const ArgumentSpec& spec = specs_[index];
  const TensorArg& tensor = tensors_[tensor_of_[index]];
  const auto& plan = plan_.argument_shapes()[index];
  auto strides = std::span(tensor.stride).first(static_cast<size_t>(tensor.rank));
  // Nothing steps through a tensor without elements, whatever strides a framework reports for it.
  if (!has_elements(tensor)) return {};
  bool dense = std::all_of(strides.begin(), strides.end(), [](int64_t s) { return s == 0; });
  for (int d = tensor.rank - 1; d >= 0; --d) {
    auto packed = dense_stride(tensor, d);
    if (!packed) {
      return make_error(ErrorCode::invalid_argument, "{}: shape {} has more elements than can be addressed",
                        spec.name, list(std::span<const int64_t>(tensor.shape).first(strides.size())));
    }
    // Frameworks report any number for a dimension that is never stepped over.
    int64_t stride = dense || tensor.shape[d] < 2 ? *packed : strides[d];
    int slot = d < static_cast<int>(plan.stride_binds.size()) ? plan.stride_binds[d] : -1;
    bool has_formula = d < static_cast<int>(spec.strides.size()) && !spec.strides[d].empty();
    if (slot >= 0 && !bound_[slot]) {
      int64_t inner = d + 1 < tensor.rank ? tensor.shape[d + 1] : 1;
      if (stride < inner && tensor.shape[d] > 1 && spec.access == ArgumentSpec::Access::write) {
        return make_error(ErrorCode::invalid_argument,
                          "{}: stride {} is {}, rows of {} elements would overlap", spec.name, d, stride,
                          inner);
      }
      if (Status status = bind_scalar(index, slot, stride, "stride", d); !status) return status;
    } else if (tensor.shape[d] >= 2 || slot >= 0) {
      int64_t expected = *packed;
      if (has_formula) {
        auto value = plan.strides[d].evaluate_or_error(values(), plan_.symbols());
        if (!value) return value.error().with_context(spec.name);
        expected = *value;
      }
      if (tensor.shape[d] >= 2 && stride != expected) {
        std::string why = has_formula ? bound_scalars() : " (dense row-major)";
        if (has_formula && spec.strides[d] != std::to_string(expected))
          why = fmt::format(" ({}){}", spec.strides[d], why);
        return make_error(ErrorCode::invalid_argument, "{}: strides {} of shape {}: stride {} must be {}{}",
                          spec.name, dense ? "(dense)" : list(std::span<const int64_t>(strides)),
                          list(std::span<const int64_t>(tensor.shape).first(strides.size())), d, expected,
                          why);
      }
    }
    int64_t row_bytes = stride * bytes_of(tensor.dtype);
    if (d + 1 < tensor.rank && tensor.shape[d] > 1 && row_bytes % spec.align != 0) {
      return make_error(ErrorCode::invalid_argument,
                        "{}: stride {} is {} elements = {} bytes, every row must be "
                        "aligned to {} bytes",
                        spec.name, d, stride, row_bytes, spec.align);
    }
  }
  return {};
}

}  // namespace

Status bind_arguments(const LaunchPlan& plan, ArgumentSpec::Role role, std::span<const TensorArg> arguments,
                      BoundArguments* out) {
  return Binder(plan, role, arguments, out).run();
}

}  // namespace rtjit

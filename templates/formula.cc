#include "templates/formula.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/text.h"
#include "templates/formula_ops.h"

namespace rtjit {
namespace {

constexpr const char* kOverflow = "the result does not fit in 64 bits";
constexpr const char* kDivisionByZero = "division by zero";

// Each returns nullptr on success, else the reason.
const char* divide(FormulaOp op, int64_t a, int64_t b, int64_t* out) {
  if (b == 0) return kDivisionByZero;
  if (a == INT64_MIN && b == -1) return kOverflow;
  *out = op == FormulaOp::divide ? a / b : a % b;
  return nullptr;
}

const char* ceil_divide(int64_t a, int64_t b, int64_t* out) {
  if (b == 0) return kDivisionByZero;
  if (b < 0) return "cdiv and align need a positive second argument";
  *out = a / b + (a % b > 0 ? 1 : 0);
  return nullptr;
}

const char* power_of_two(int64_t a, int64_t* out) {
  if (a > (int64_t{1} << 62)) return kOverflow;
  *out = a <= 1 ? 1 : static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(a)));
  return nullptr;
}

const char* log_two(int64_t a, int64_t* out) {
  if (a <= 0) return "ilog2 needs a positive argument";
  *out = std::bit_width(static_cast<uint64_t>(a)) - 1;
  return nullptr;
}

// n * (1 - (1 - 1/n)^draws) in a form that keeps its precision for large n.
const char* distinct(int64_t n, int64_t draws, int64_t* out) {
  if (n < 0 || draws < 0) return "distinct needs arguments that are not negative";
  if (n <= 1 || draws == 0) {
    *out = draws == 0 ? 0 : n;
    return nullptr;
  }
  double count = static_cast<double>(n);
  double expected = -count * std::expm1(static_cast<double>(draws) * std::log1p(-1.0 / count));
  *out = expected >= count ? n : static_cast<int64_t>(std::llround(expected));
  return nullptr;
}

const char* binary(FormulaOp op, int64_t a, int64_t b, int64_t* out) {
  switch (op) {
    case FormulaOp::add:
      return __builtin_add_overflow(a, b, out) ? kOverflow : nullptr;
    case FormulaOp::subtract:
      return __builtin_sub_overflow(a, b, out) ? kOverflow : nullptr;
    case FormulaOp::multiply:
      return __builtin_mul_overflow(a, b, out) ? kOverflow : nullptr;
    case FormulaOp::divide:
    case FormulaOp::remainder:
      return divide(op, a, b, out);
    case FormulaOp::equal:
      return *out = a == b, nullptr;
    case FormulaOp::not_equal:
      return *out = a != b, nullptr;
    case FormulaOp::less:
      return *out = a < b, nullptr;
    case FormulaOp::less_equal:
      return *out = a <= b, nullptr;
    case FormulaOp::greater:
      return *out = a > b, nullptr;
    case FormulaOp::greater_equal:
      return *out = a >= b, nullptr;
    case FormulaOp::minimum:
      return *out = std::min(a, b), nullptr;
    case FormulaOp::maximum:
      return *out = std::max(a, b), nullptr;
    case FormulaOp::ceil_divide:
      return ceil_divide(a, b, out);
    case FormulaOp::align_up: {
      int64_t parts = 0;
      if (const char* why = ceil_divide(a, b, &parts)) return why;
      return __builtin_mul_overflow(parts, b, out) ? kOverflow : nullptr;
    }
    case FormulaOp::distinct:
      return distinct(a, b, out);
    default:
      return "broken formula";
  }
}

}  // namespace

int64_t text_value(std::string_view text) {
  // FNV-1a, then mixed so that short texts differ in all bits.
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  hash = (hash ^ (hash >> 32)) * 0x9e3779b97f4a7c15u;
  return static_cast<int64_t>((hash ^ (hash >> 29)) & INT64_MAX);
}

int SymbolTable::add(std::string_view name) {
  auto [entry, is_new] = slots_.try_emplace(std::string(name), size());
  if (is_new) names_.emplace_back(name);
  return entry->second;
}

std::optional<int> SymbolTable::find(std::string_view name) const {
  auto entry = slots_.find(std::string(name));
  if (entry == slots_.end()) return std::nullopt;
  return entry->second;
}

const std::string* SymbolTable::definition(std::string_view name) const {
  auto found = definitions_.find(name);
  return found == definitions_.end() ? nullptr : &found->second;
}

std::vector<std::string> SymbolTable::all_names() const {
  std::vector<std::string> names;
  for (const auto& [name, slot] : slots_) names.push_back(name);
  for (const auto& [name, formula] : definitions_) names.push_back(name);
  std::sort(names.begin(), names.end());
  return names;
}

Formula Formula::constant(int64_t value) {
  Formula formula;
  formula.text_ = std::to_string(value);
  formula.ops_ = {{static_cast<uint8_t>(FormulaOp::constant), 0, value}};
  formula.depth_ = 1;
  return formula;
}

std::optional<int64_t> Formula::run(std::span<const int64_t> values, const char** why) const noexcept {
  int64_t stack[kFormulaStack];
  stack[0] = 0;   // the value of a formula without instructions
  int top = -1;   // index of the topmost entry
  size_t at = 0;  // next instruction
  auto fail = [&](const char* reason) {
    *why = reason;
    return std::nullopt;
  };
  while (at < ops_.size()) {
    const Op& op = ops_[at++];
    switch (static_cast<FormulaOp>(op.code)) {
      case FormulaOp::constant:
        stack[++top] = op.constant;
        break;
      case FormulaOp::load:
        if (static_cast<size_t>(op.operand) >= values.size()) return fail("a name has no value");
        stack[++top] = values[op.operand];
        break;
      case FormulaOp::negate:
        if (__builtin_sub_overflow(int64_t{0}, stack[top], &stack[top])) return fail(kOverflow);
        break;
      case FormulaOp::logical_not:
        stack[top] = stack[top] == 0;
        break;
      case FormulaOp::to_bool:
        stack[top] = stack[top] != 0;
        break;
      case FormulaOp::power_of_two:
        if (const char* reason = power_of_two(stack[top], &stack[top])) return fail(reason);
        break;
      case FormulaOp::log_two:
        if (const char* reason = log_two(stack[top], &stack[top])) return fail(reason);
        break;
      case FormulaOp::jump:
        at = op.operand;
        break;
      case FormulaOp::jump_if_zero:
        if (stack[top--] == 0) at = op.operand;
        break;
      case FormulaOp::and_otherwise:
        if (stack[top] == 0) {
          at = op.operand;
        } else {
          --top;
        }
        break;
      case FormulaOp::or_otherwise:
        if (stack[top] != 0) {
          stack[top] = 1;
          at = op.operand;
        } else {
          --top;
        }
        break;
      default: {
        --top;
        int64_t result = 0;
        if (const char* reason =
                binary(static_cast<FormulaOp>(op.code), stack[top], stack[top + 1], &result)) {
          return fail(reason);
        }
        stack[top] = result;
      }
    }
  }
  return stack[0];
}

std::optional<int64_t> Formula::evaluate(std::span<const int64_t> values) const noexcept {
  const char* why = nullptr;
  return run(values, &why);
}

Result<int64_t> Formula::evaluate_or_error(std::span<const int64_t> values,
                                           const SymbolTable& symbols) const {
  const char* why = nullptr;
  if (std::optional<int64_t> value = run(values, &why)) return *value;
  std::vector<std::string> inputs;
  for (int slot : reads()) {
    std::string value =
        static_cast<size_t>(slot) < values.size() ? std::to_string(values[slot]) : std::string("no value");
    inputs.push_back(fmt::format("{} = {}", symbols.names().at(slot), value));
  }
  return make_error(ErrorCode::invalid_argument, "formula '{}': {}{}{}", text_, why,
                    inputs.empty() ? "" : ", with ", join(inputs, ", "));
}

std::vector<int> Formula::reads() const {
  std::vector<int> slots;
  for (const Op& op : ops_) {
    if (static_cast<FormulaOp>(op.code) == FormulaOp::load) slots.push_back(op.operand);
  }
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

}  // namespace rtjit

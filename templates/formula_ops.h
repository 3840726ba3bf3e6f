// The instructions that formulas are compiled to. Internal to formula.cc and formula_parser.cc.
#pragma once

#include <cstdint>

namespace rtjit {

enum class FormulaOp : uint8_t {
  constant,  // push the constant
  load,      // push the value of slot `operand`
  negate,
  logical_not,
  to_bool,  // 0 or 1
  add,
  subtract,
  multiply,
  divide,
  remainder,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  minimum,
  maximum,
  ceil_divide,
  align_up,
  power_of_two,
  log_two,
  distinct,
  jump,           // to `operand`
  jump_if_zero,   // pop; to `operand` when it was 0
  and_otherwise,  // top is 0: to `operand`, keeping 0; else pop
  or_otherwise,   // top is not 0: to `operand` with 1 on top; else pop
};

// Entries of the evaluation stack; formulas that need more are refused when parsed.
inline constexpr int kFormulaStack = 32;

}  // namespace rtjit

// The words of a formula (templates/formula.h). Shared by the parser and by the check of quoted texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct FormulaToken {
  enum class Kind { number, name, text, symbol, end };
  Kind kind = Kind::end;
  std::string_view
      spelling;  // of the name, the symbol, or what stands between the quotes; points into the formula
  int64_t number = 0;
  int column = 1;

  bool is(std::string_view symbol) const { return kind == Kind::symbol && spelling == symbol; }
};

// The last token is `end`. Names include dots: "target.cc", "gemm1.block_m".
Result<std::vector<FormulaToken>> tokenize_formula(std::string_view formula);

// "formula 'a +', column 4: message"
Error formula_error(std::string_view formula, int column, std::string_view message);

}  // namespace rtjit

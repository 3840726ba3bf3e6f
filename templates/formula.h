// Integer formulas of the manifest: exact 64-bit, parsed and resolved once, evaluated without allocation.
//
//   expression  ?:  || &&  == != < <= > >=  + -  * / %  unary - !  ( )  integers (1024, 0x400)  names  'text'
//   functions   min(a,b,...) max(a,b,...) cdiv(a,b) align(a,b) pow2(a) ilog2(a) distinct(n,draws)
//
// Precedence and meaning are C's: / and % truncate toward zero, comparisons give 0 or 1. Comparisons do not
// chain. cdiv(a, b): a / b rounded up. align(a, b): a rounded up to a multiple of b. Both need b > 0.
// pow2(a): the smallest power of two >= a, at least 1. ilog2(a): floor of log2(a); a > 0.
// A quoted text stands for text_value(text), so enum-valued names compare as store == 'scatter4'.
// distinct(n, d): expected number of distinct values in d uniform draws out of n, rounded to nearest.
// Division by zero and overflow are errors, never wrap. && || ?: evaluate only the side they need.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace rtjit {

// The integer that stands for an enum value inside formulas.
int64_t text_value(std::string_view text);

// Names and the slot of each in the value array that formulas are evaluated over.
class SymbolTable {
 public:
  // Adds the name if it is new; its slot.
  int add(std::string_view name);
  // Makes `name` another name of `slot`; a name that exists is moved there.
  void alias(std::string_view name, int slot) { slots_[std::string(name)] = slot; }
  std::optional<int> find(std::string_view name) const;
  // Makes `name` stand for a formula: where it is read, the text is parsed as if it stood there in
  // parentheses, with the names that are known there. A name with a slot is never looked up among them.
  void define(std::string_view name, std::string_view formula) {
    definitions_.insert_or_assign(std::string(name), std::string(formula));
  }
  const std::string* definition(std::string_view name) const;       // null: none
  const std::vector<std::string>& names() const { return names_; }  // by slot, without aliases
  std::vector<std::string> all_names() const;                       // with aliases and definitions, sorted
  int size() const { return static_cast<int>(names_.size()); }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, int> slots_;
  std::map<std::string, std::string, std::less<>> definitions_;
};

class Formula {
 public:
  Formula() = default;  // the constant 0

  // Errors name the formula, the column and, for an unknown name, the nearest known ones; within a named
  // formula also where it is used.
  static Result<Formula> parse(std::string_view text, const SymbolTable& symbols);
  static Formula constant(int64_t value);

  // `values` are indexed by the slots of the symbol table it was parsed with. Errors (division by zero,
  // overflow) return nothing. Does not allocate; about 10 ns for a handful of operators.
  std::optional<int64_t> evaluate(std::span<const int64_t> values) const noexcept;

  // The same with an Error that names the formula and the values of its names.
  Result<int64_t> evaluate_or_error(std::span<const int64_t> values, const SymbolTable& symbols) const;

  const std::string& text() const { return text_; }
  // Slots this formula reads, ascending.
  std::vector<int> reads() const;

 private:
  struct Op {
    uint8_t code;
    int32_t operand;
    int64_t constant;
  };
  friend class FormulaParser;
  // `why` is set to the reason when nothing is returned.
  std::optional<int64_t> run(std::span<const int64_t> values, const char** why) const noexcept;

  std::string text_ = "0";
  std::vector<Op> ops_;
  int depth_ = 0;  // stack slots needed; parse refuses formulas deeper than the fixed evaluation stack
};

}  // namespace rtjit

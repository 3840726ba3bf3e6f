#include "templates/formula_lexer.h"

#include <cctype>
#include <charconv>

namespace rtjit {
namespace {

constexpr std::string_view kTwoLetterSymbols[] = {"&&", "||", "==", "!=", "<=", ">="};
constexpr std::string_view kOneLetterSymbols = "+-*/%()<>!?:,";

bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool continues_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; }

Result<FormulaToken> read_number(std::string_view formula, size_t at) {
  size_t end = at;
  while (end < formula.size() && continues_name(formula[end])) ++end;
  std::string_view spelling = formula.substr(at, end - at);
  bool hex = spelling.starts_with("0x") || spelling.starts_with("0X");
  std::string_view digits = hex ? spelling.substr(2) : spelling;
  FormulaToken token{FormulaToken::Kind::number, spelling, 0, static_cast<int>(at) + 1};
  auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), token.number, hex ? 16 : 10);
  if (error == std::errc::result_out_of_range) {
    return formula_error(formula, token.column, fmt::format("{} does not fit in 64 bits", spelling));
  }
  if (error != std::errc() || stop != digits.data() + digits.size()) {
    return formula_error(formula, token.column, fmt::format("'{}' is not an integer", spelling));
  }
  return token;
}

}  // namespace

Error formula_error(std::string_view formula, int column, std::string_view message) {
  return make_error(ErrorCode::invalid_argument, "formula '{}', column {}: {}", formula, column, message);
}

Result<std::vector<FormulaToken>> tokenize_formula(std::string_view formula) {
  using Kind = FormulaToken::Kind;
  std::vector<FormulaToken> tokens;
  for (size_t at = 0; at < formula.size();) {
    char c = formula[at];
    int column = static_cast<int>(at) + 1;
    if (std::isspace(static_cast<unsigned char>(c))) {
      ++at;
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      auto number = read_number(formula, at);
      if (!number) return number.error();
      tokens.push_back(*number);
      at += number->spelling.size();
    } else if (starts_name(c)) {
      size_t end = at;
      while (end < formula.size() && continues_name(formula[end])) ++end;
      tokens.push_back({Kind::name, formula.substr(at, end - at), 0, column});
      at = end;
    } else if (c == '\'') {
      size_t end = formula.find('\'', at + 1);
      if (end == std::string_view::npos) return formula_error(formula, column, "the quote ' is not closed");
      tokens.push_back({Kind::text, formula.substr(at + 1, end - at - 1), 0, column});
      at = end + 1;
    } else {
      size_t length = 0;
      for (std::string_view symbol : kTwoLetterSymbols) {
        if (formula.substr(at, 2) == symbol) length = 2;
      }
      if (length == 0 && kOneLetterSymbols.find(c) != std::string_view::npos) length = 1;
      if (length == 0) {
        return formula_error(formula, column,
                             fmt::format("'{}' has no meaning here; operators are ?: || && == != < <= > >= "
                                         "+ - * / % !, and text is quoted with '",
                                         c));
      }
      tokens.push_back({Kind::symbol, formula.substr(at, length), 0, column});
      at += length;
    }
  }
  tokens.push_back({Kind::end, {}, 0, static_cast<int>(formula.size()) + 1});
  return tokens;
}

}  // namespace rtjit

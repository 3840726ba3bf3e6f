// Splits PTX text into words, numbers and punctuation. Comments are skipped; every token knows its line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rtjit::ptx {

struct Token {
  enum class Kind : uint8_t { end, word, number, string, punctuation, bad };
  Kind kind = Kind::end;
  std::string_view text;  // words include dots and "::": "ld.global.L2::128B.v4.u32", "%tid.x"
  int line = 1;
  bool is(std::string_view other) const {
    return (kind == Kind::word || kind == Kind::punctuation) && text == other;
  }
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) { advance(); }
  const Token& peek() const { return token_; }
  Token next() {
    Token token = token_;
    advance();
    return token;
  }
  // Whether the next token is followed by ':' (a label), without consuming it.
  bool next_is_label() const;

 private:
  void advance();
  void skip_blank();
  std::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  Token token_;
};

}  // namespace rtjit::ptx

#include "emulator/ptx_lexer.h"

#include <cctype>

namespace rtjit::ptx {
namespace {

bool word_start(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%';
}
bool word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$'; }

}  // namespace

void Lexer::skip_blank() {
  while (position_ < text_.size()) {
    char c = text_[position_];
    if (c == '\n') {
      ++line_, ++position_;
    } else if (c == ' ' || c == '\t' || c == '\r' || c == '\0') {
      ++position_;
    } else if (c == '/' && text_.substr(position_, 2) == "//") {
      while (position_ < text_.size() && text_[position_] != '\n') ++position_;
    } else if (c == '/' && text_.substr(position_, 2) == "/*") {
      size_t end = text_.find("*/", position_ + 2);
      end = end == std::string_view::npos ? text_.size() : end + 2;
      for (; position_ < end; ++position_) line_ += text_[position_] == '\n';
    } else {
      return;
    }
  }
}

void Lexer::advance() {
  skip_blank();
  token_.line = line_;
  size_t start = position_;
  if (start >= text_.size()) {
    token_.kind = Token::Kind::end;
    token_.text = {};
    return;
  }
  char c = text_[start];
  auto at = [&](size_t i) { return i < text_.size() ? text_[i] : '\0'; };
  if (word_start(c) ||
      (c == '.' && (word_start(at(start + 1)) || std::isdigit(static_cast<unsigned char>(at(start + 1)))))) {
    token_.kind = Token::Kind::word;
    ++position_;
    while (position_ < text_.size()) {
      char d = text_[position_];
      if (word_char(d)) {
        ++position_;
      } else if (d == '.' && word_char(at(position_ + 1))) {
        ++position_;
      } else if (d == ':' && at(position_ + 1) == ':') {
        position_ += 2;
      } else {
        break;
      }
    }
  } else if (std::isdigit(static_cast<unsigned char>(c))) {
    token_.kind = Token::Kind::number;
    ++position_;
    while (position_ < text_.size()) {
      char d = text_[position_];
      char before = text_[position_ - 1];
      bool exponent_sign = (d == '+' || d == '-') && (before == 'e' || before == 'E') &&
                           at(start + 1) != 'x' && at(start + 1) != 'f' && at(start + 1) != 'd';
      if (!word_char(d) && d != '.' && !exponent_sign) break;
      ++position_;
    }
  } else if (c == '"') {
    token_.kind = Token::Kind::string;
    size_t end = text_.find('"', start + 1);
    position_ = end == std::string_view::npos ? text_.size() : end + 1;
    if (end == std::string_view::npos) token_.kind = Token::Kind::bad;
  } else {
    token_.kind = Token::Kind::punctuation;
    ++position_;
  }
  token_.text = text_.substr(start, position_ - start);
}

bool Lexer::next_is_label() const {
  if (token_.kind != Token::Kind::word) return false;
  Lexer copy = *this;
  copy.advance();
  if (!copy.token_.is(":")) return false;
  return true;
}

}  // namespace rtjit::ptx

#include "compiler/ptx_statements.h"

#include <cctype>

namespace rtjit {
namespace {

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == ':' || c == '$' ||
         c == '%';
}

// Directives that end with their line rather than with ';' or a block.
bool ends_with_line(std::string_view directive) {
  return directive == ".loc" || directive == ".file" || directive == ".version" || directive == ".target" ||
         directive == ".address_size";
}

class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {}

  std::vector<PtxStatement> run() {
    while (skip_blank(), !done()) {
      char c = text_[at_];
      if (c == ';' || c == '{' || c == '}') {
        ++at_;
      } else if (c == '@') {
        skip_predicate();
      } else {
        statement();
      }
    }
    return std::move(statements_);
  }

 private:
  bool done() const { return at_ >= text_.size(); }
  bool looking_at(std::string_view what) const { return text_.substr(at_, what.size()) == what; }
  void advance() {
    if (text_[at_] == '\n') ++line_;
    ++at_;
  }

  // One comment or string, if there is one here.
  bool skip_opaque() {
    if (looking_at("//")) {
      while (!done() && text_[at_] != '\n') ++at_;
      return true;
    }
    if (looking_at("/*")) {
      at_ += 2;
      while (!done() && !looking_at("*/")) advance();
      at_ = at_ + 2 < text_.size() ? at_ + 2 : text_.size();
      return true;
    }
    if (text_[at_] == '"') {
      ++at_;
      while (!done() && text_[at_] != '"' && text_[at_] != '\n')
        at_ += text_[at_] == '\\' && at_ + 1 < text_.size() ? 2 : 1;
      if (!done() && text_[at_] == '"') ++at_;
      return true;
    }
    return false;
  }

  void skip_blank() {
    while (!done()) {
      if (std::isspace(static_cast<unsigned char>(text_[at_]))) {
        advance();
      } else if (text_[at_] == '"' || !skip_opaque()) {
        return;
      }
    }
  }

  void skip_predicate() {
    ++at_;
    skip_blank();
    if (!done() && text_[at_] == '!') ++at_;
    skip_blank();
    while (!done() && is_word(text_[at_])) ++at_;
  }

  void statement() {
    PtxStatement found;
    found.line = line_;
    size_t begin = at_;
    while (!done() && is_word(text_[at_])) {
      // "LABEL:" ends at a single colon; "::" belongs to the opcode.
      bool colon = text_[at_] == ':' && !looking_at("::");
      if (colon && at_ > begin && text_[at_ - 1] != ':') {
        ++at_;
        return;
      }
      ++at_;
    }
    if (at_ == begin) {  // a character that begins nothing
      if (!skip_opaque()) advance();
      return;
    }
    found.opcode = text_.substr(begin, at_ - begin);
    size_t rest = at_;
    bool directive = found.opcode.front() == '.';
    bool line_only = directive && ends_with_line(found.opcode);
    while (!done()) {
      char c = text_[at_];
      if (c == ';' || (line_only && c == '\n') || (directive && (c == '{' || c == '}'))) break;
      if (!skip_opaque()) advance();
    }
    found.rest = text_.substr(rest, at_ - rest);
    statements_.push_back(found);
  }

  std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<PtxStatement> statements_;
};

}  // namespace

std::vector<PtxStatement> split_ptx(std::string_view ptx) { return Splitter(ptx).run(); }

}  // namespace rtjit

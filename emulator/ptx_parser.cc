#include "emulator/ptx_parser.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <map>
#include <optional>

#include "emulator/ptx_lexer.h"

namespace rtjit::ptx {
namespace {

std::vector<std::string_view> split_dots(std::string_view word) {
  std::vector<std::string_view> parts;
  size_t start = !word.empty() && word[0] == '.' ? 1 : 0;
  for (size_t i = start; i <= word.size(); ++i) {
    if (i == word.size() || word[i] == '.') {
      parts.push_back(word.substr(start, i - start));
      start = i + 1;
    }
  }
  return parts;
}

std::optional<ElementType> element_type(std::string_view text) {
  if (text == "pred") return ElementType{'p', 1};
  if (text == "f16x2" || text == "bf16x2") return ElementType{'f', 32};
  if (text == "bf16") return ElementType{'f', 16};
  if (text.size() < 2 || !std::strchr("busf", text[0])) return std::nullopt;
  int bits = 0;
  auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), bits);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (bits != 8 && bits != 16 && bits != 32 && bits != 64 && bits != 128) return std::nullopt;
  return ElementType{text[0], bits};
}

std::optional<Space> variable_space(std::string_view text) {
  if (text == ".global") return Space::global;
  if (text == ".shared") return Space::shared;
  if (text == ".const") return Space::constant;
  if (text == ".local") return Space::local;
  if (text == ".param") return Space::param;
  return std::nullopt;
}

// Names of one { } block. PTX from inline assembly declares registers and labels in nested blocks.
struct Scope {
  std::map<std::string, int, std::less<>> registers, labels;
  std::map<std::string, std::string, std::less<>> variables;  // written name -> unique name
};

class Parser {
 public:
  explicit Parser(Module* module) : module_(*module), lexer_(module->text) {}

  Status run() {
    while (lexer_.peek().kind != Token::Kind::end) {
      if (Status status = top_level(); !status.ok()) return status;
    }
    if (module_.target.empty()) return fail("the text has no .target directive: is it PTX?");
    return {};
  }

 private:
  Error fail(std::string_view what) const {
    std::string where = function_ ? fmt::format(" (in {})", function_->name) : "";
    return make_error(ErrorCode::unsupported, "PTX line {}: {}{}", line_ ? line_ : lexer_.peek().line, what,
                      where);
  }
  Error unexpected(std::string_view wanted) const {
    return make_error(ErrorCode::unsupported, "PTX line {}: found '{}' where {} is expected",
                      lexer_.peek().line, lexer_.peek().text, wanted);
  }
  bool accept(std::string_view text) {
    if (!lexer_.peek().is(text)) return false;
    lexer_.next();
    return true;
  }
  Status expect(std::string_view text) {
    if (!accept(text)) return unexpected(fmt::format("'{}'", text));
    return {};
  }
  void skip_line() {
    int line = lexer_.peek().line;
    while (lexer_.peek().kind != Token::Kind::end && lexer_.peek().line == line) lexer_.next();
  }

  Result<int64_t> integer() {
    bool negative = accept("-");
    Token token = lexer_.next();
    if (token.kind != Token::Kind::number) return fail(fmt::format("'{}' is not an integer", token.text));
    std::string text(token.text);
    if (text.back() == 'U') text.pop_back();
    int base = 10;
    const char* start = text.c_str();
    if (text.size() > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
      base = 16, start += 2;
    else if (text.size() > 2 && text[0] == '0' && (text[1] == 'b' || text[1] == 'B'))
      base = 2, start += 2;
    else if (text.size() > 1 && text[0] == '0')
      base = 8;
    char* end = nullptr;
    auto value = static_cast<int64_t>(std::strtoull(start, &end, base));
    if (*end) return fail(fmt::format("'{}' is not an integer", token.text));
    return negative ? -value : value;
  }

  static bool is_float(std::string_view text) {
    if (text.size() > 2 && text[0] == '0' && std::strchr("fFdD", text[1])) return true;
    return text.find('.') != std::string_view::npos;
  }

  // A number operand; 0f and 0d forms carry bits.
  Result<Operand> number() {
    Operand operand;
    if (!is_float(lexer_.peek().is("-") ? std::string_view("0") : lexer_.peek().text)) {
      // A minus sign before a decimal float is rare enough to be looked at here.
      bool negative = accept("-");
      if (negative && is_float(lexer_.peek().text)) {
        double value = -std::strtod(std::string(lexer_.next().text).c_str(), nullptr);
        operand.kind = Operand::Kind::f64;
        std::memcpy(&operand.value, &value, 8);
        return operand;
      }
      Result<int64_t> value = integer();
      if (!value.ok()) return value.error();
      operand.kind = Operand::Kind::integer;
      // As unsigned: the text of the smallest integer has no positive counterpart.
      operand.value = negative ? static_cast<int64_t>(0 - static_cast<uint64_t>(*value)) : *value;
      return operand;
    }
    std::string text(lexer_.next().text);
    if (text[1] == 'f' || text[1] == 'F') {
      operand.kind = Operand::Kind::f32;
      operand.value = static_cast<int64_t>(std::strtoull(text.c_str() + 2, nullptr, 16));
    } else if (text[1] == 'd' || text[1] == 'D') {
      operand.kind = Operand::Kind::f64;
      operand.value = static_cast<int64_t>(std::strtoull(text.c_str() + 2, nullptr, 16));
    } else {
      double value = std::strtod(text.c_str(), nullptr);
      operand.kind = Operand::Kind::f64;
      std::memcpy(&operand.value, &value, 8);
    }
    return operand;
  }

  Status top_level() {
    line_ = 0;
    const Token token = lexer_.peek();
    if (token.is(".version")) {
      lexer_.next();
      std::string text(lexer_.next().text);
      module_.version_major = std::atoi(text.c_str());
      size_t dot = text.find('.');
      module_.version_minor = dot == std::string::npos ? 0 : std::atoi(text.c_str() + dot + 1);
      if (module_.version_major < 6)
        return fail(fmt::format("PTX ISA {} is too old; 6.0 and up are read", text));
      return {};
    }
    if (token.is(".target")) {
      lexer_.next();
      module_.target = std::string(lexer_.next().text);
      while (accept(",")) lexer_.next();
      return {};
    }
    if (token.is(".address_size")) {
      lexer_.next();
      Result<int64_t> bits = integer();
      if (!bits.ok()) return bits.error();
      if (*bits != 64) return fail("only .address_size 64 is supported");
      return {};
    }
    if (token.is(".file") || token.is(".loc")) return skip_line(), Status();
    if (token.is(".pragma")) {
      while (lexer_.peek().kind != Token::Kind::end && !lexer_.peek().is(";")) lexer_.next();
      return expect(";");
    }
    if (token.is(".section")) {
      while (lexer_.peek().kind != Token::Kind::end && !lexer_.peek().is("{")) lexer_.next();
      return skip_braces();
    }
    bool is_extern = false;
    while (true) {
      if (accept(".extern"))
        is_extern = true;
      else if (!accept(".visible") && !accept(".weak") && !accept(".common"))
        break;
    }
    if (lexer_.peek().is(".entry") || lexer_.peek().is(".func")) return function();
    if (auto space = variable_space(lexer_.peek().text)) {
      lexer_.next();
      std::vector<Variable> variables;
      if (Status status = variable(*space, is_extern, &variables); !status.ok()) return status;
      for (Variable& v : variables) module_.variables.push_back(std::move(v));
      return expect(";");
    }
    return fail(fmt::format("unknown directive '{}'", token.text));
  }

  Status skip_braces() {
    int depth = 0;
    do {
      Token token = lexer_.next();
      if (token.kind == Token::Kind::end) return unexpected("'}'");
      depth += token.is("{") ? 1 : token.is("}") ? -1 : 0;
    } while (depth > 0);
    return {};
  }

  // After the state space: [.align N] .type name[dims] [= init] {, name...}. Registers' <N> form is handled
  // elsewhere.
  Status variable(Space space, bool is_extern, std::vector<Variable>* out) {
    Variable base;
    base.space = space;
    base.is_extern = is_extern;
    int vector = 1;
    bool typed = false, explicit_align = false;
    while (!typed) {
      Token token = lexer_.next();
      if (token.is(".align")) {
        Result<int64_t> align = integer();
        if (!align.ok()) return align.error();
        base.align = static_cast<int>(*align);
        explicit_align = true;
      } else if (token.is(".ptr") || token.is(".global") || token.is(".shared") || token.is(".const") ||
                 token.is(".local") || token.is(".managed") || token.is(".attribute")) {
        if (token.is(".attribute")) {
          while (!accept(")")) lexer_.next();
        }
      } else if (token.is(".v2") || token.is(".v4")) {
        vector = token.text[2] - '0';
      } else if (token.kind == Token::Kind::word && token.text[0] == '.') {
        auto type = element_type(token.text.substr(1));
        if (!type) return fail(fmt::format("unknown type '{}' of a variable", token.text));
        base.type = *type;
        typed = true;
      } else {
        return fail(fmt::format("'{}' in a variable's declaration is not understood", token.text));
      }
    }
    // A parameter's `.ptr .global .align 16` follows the type and describes the pointee.
    while (space == Space::param && lexer_.peek().kind == Token::Kind::word && lexer_.peek().text[0] == '.') {
      if (lexer_.next().is(".align")) {
        Result<int64_t> ignored = integer();
        if (!ignored.ok()) return ignored.error();
      }
    }
    int64_t element_bytes = base.type.bits / 8 * vector;
    if (!explicit_align) base.align = static_cast<int>(element_bytes);
    do {
      Variable v = base;
      v.name = std::string(lexer_.next().text);
      int64_t count = 1;
      while (accept("[")) {
        if (accept("]")) {
          count = 0;
          continue;
        }
        Result<int64_t> extent = integer();
        if (!extent.ok()) return extent.error();
        count *= *extent;
        if (Status status = expect("]"); !status.ok()) return status;
      }
      v.bytes = count * element_bytes;
      if (accept("=")) {
        if (Status status = initialiser(&v); !status.ok()) return status;
        if (count == 0) v.bytes = static_cast<int64_t>(v.init.size());
        if (static_cast<int64_t>(v.init.size()) > v.bytes)
          return fail(fmt::format("too many initial values for {}", v.name));
      }
      out->push_back(std::move(v));
    } while (accept(","));
    return {};
  }

  Status initialiser(Variable* v) {
    if (accept("{")) {
      while (!accept("}")) {
        if (Status status = initialiser(v); !status.ok()) return status;
        accept(",");
      }
      return {};
    }
    int bytes = v->type.bits / 8;
    int64_t bits = 0;
    if (lexer_.peek().kind == Token::Kind::word) {
      AddressInit init;
      bool generic = accept("generic");
      if (generic) accept("(");
      init.offset = static_cast<int64_t>(v->init.size());
      init.symbol = std::string(lexer_.next().text);
      if (generic) accept(")");
      if (accept("+")) {
        Result<int64_t> addend = integer();
        if (!addend.ok()) return addend.error();
        init.addend = *addend;
      }
      v->address_inits.push_back(init);
    } else {
      Result<Operand> value = number();
      if (!value.ok()) return value.error();
      bits = value->value;
      if (value->kind == Operand::Kind::f64 && bytes == 4) {
        double wide;
        std::memcpy(&wide, &bits, 8);
        auto narrow = static_cast<float>(wide);
        bits = 0;
        std::memcpy(&bits, &narrow, 4);
      }
    }
    v->init.append(reinterpret_cast<const char*>(&bits), bytes);
    return {};
  }

  Status parameter_list(std::vector<Variable>* out) {
    if (Status status = expect("("); !status.ok()) return status;
    while (!accept(")")) {
      if (!lexer_.peek().is(".param") && !lexer_.peek().is(".reg")) return unexpected("'.param'");
      if (lexer_.next().is(".reg")) return fail("functions with register parameters are not supported");
      Status status = single_parameter(out);
      if (!status.ok()) return status;
      accept(",");
    }
    return {};
  }
  Status single_parameter(std::vector<Variable>* out) {
    Variable v;
    v.space = Space::param;
    bool explicit_align = false;
    while (lexer_.peek().kind == Token::Kind::word && lexer_.peek().text[0] == '.') {
      Token token = lexer_.next();
      if (token.is(".align")) {
        Result<int64_t> align = integer();
        if (!align.ok()) return align.error();
        if (v.type.bits == 0) v.align = static_cast<int>(*align), explicit_align = true;
      } else if (auto type = element_type(token.text.substr(1))) {
        v.type = *type;
      } else if (!token.is(".ptr") && !variable_space(token.text)) {
        return fail(fmt::format("'{}' in a parameter is not understood", token.text));
      }
    }
    if (v.type.bits == 0) return unexpected("a parameter type");
    v.name = std::string(lexer_.next().text);
    int64_t count = 1;
    if (accept("[")) {
      Result<int64_t> extent = integer();
      if (!extent.ok()) return extent.error();
      count = *extent;
      if (Status status = expect("]"); !status.ok()) return status;
    }
    v.bytes = count * v.type.bits / 8;
    if (!explicit_align) v.align = v.type.bits / 8;
    out->push_back(std::move(v));
    return {};
  }

  Status function() {
    Function f;
    f.is_entry = lexer_.next().is(".entry");
    if (lexer_.peek().is("(")) {
      if (Status status = parameter_list(&f.results); !status.ok()) return status;
    }
    f.line = lexer_.peek().line;
    f.name = std::string(lexer_.next().text);
    if (lexer_.peek().is("(")) {
      if (Status status = parameter_list(&f.parameters); !status.ok()) return status;
    }
    function_ = &f;
    while (!lexer_.peek().is("{") && !lexer_.peek().is(";")) {
      Token token = lexer_.next();
      std::vector<int> values;
      auto read_values = [&]() -> Status {
        do {
          Result<int64_t> value = integer();
          if (!value.ok()) return value.error();
          values.push_back(static_cast<int>(*value));
        } while (accept(","));
        return {};
      };
      if (token.is(".maxntid") || token.is(".reqntid") || token.is(".reqnctapercluster")) {
        if (Status status = read_values(); !status.ok()) return status;
        values.resize(3, 1);
        for (int i = 0; i < 3; ++i) {
          if (token.is(".reqntid")) f.required_threads[i] = values[i];
          if (token.is(".reqnctapercluster")) f.cluster[i] = values[i];
        }
        if (token.is(".maxntid")) f.max_threads = values[0] * values[1] * values[2];
      } else if (token.is(".minnctapersm") || token.is(".maxnreg") || token.is(".maxclusterrank") ||
                 token.is(".local_maxnreg") || token.is(".maxnctapersm") || token.is(".blocksareclusters")) {
        if (lexer_.peek().kind == Token::Kind::number) {
          if (Status status = read_values(); !status.ok()) return status;
          if (token.is(".maxclusterrank")) f.max_cluster = values[0];
        }
        f.blocks_are_clusters |= token.is(".blocksareclusters");
      } else if (token.is(".explicitcluster")) {
        f.explicit_cluster = true;
      } else if (token.is(".pragma")) {
        lexer_.next();
        if (Status status = expect(";"); !status.ok()) return status;
      } else if (!token.is(".noreturn") && !token.is(".unified") && !token.is(".abi_preserve")) {
        return fail(fmt::format("unknown directive '{}' of a function", token.text));
      }
    }
    if (accept(";")) {
      function_ = nullptr;
      module_.functions.push_back(std::move(f));
      return {};
    }
    f.has_body = true;
    scopes_.clear();
    source_line_ = 0;
    Status status = block();
    if (status.ok() && !unresolved_.empty()) {
      line_ = unresolved_.front().line;
      status = fail(fmt::format("label '{}' is not defined", unresolved_.front().name));
    }
    unresolved_.clear();
    function_ = nullptr;
    line_ = 0;
    if (status.ok()) module_.functions.push_back(std::move(f));
    return status;
  }

  Status block() {
    if (Status status = expect("{"); !status.ok()) return status;
    size_t first_unresolved = unresolved_.size();
    scopes_.emplace_back();
    while (!accept("}")) {
      if (lexer_.peek().kind == Token::Kind::end) return unexpected("'}'");
      if (Status status = statement(); !status.ok()) return status;
    }
    // Labels may be used before they are defined, and belong to the block in which they stand.
    for (size_t i = first_unresolved; i < unresolved_.size();) {
      auto found = scopes_.back().labels.find(unresolved_[i].name);
      if (found == scopes_.back().labels.end()) {
        ++i;
        continue;
      }
      resolve(unresolved_[i], found->second);
      unresolved_.erase(unresolved_.begin() + static_cast<long>(i));
    }
    scopes_.pop_back();
    return {};
  }

  struct Unresolved {
    std::string name;
    int line;
    int instruction, operand;     // where to put the label, or
    int targets = -1, entry = 0;  // an entry of a .branchtargets list
  };
  void resolve(const Unresolved& use, int label) {
    if (use.targets >= 0) {
      function_->branch_targets[use.targets].labels[use.entry] = label;
      return;
    }
    Operand& operand = function_->body[use.instruction].operands[use.operand];
    operand.kind = Operand::Kind::label;
    operand.id = label;
  }

  Status statement() {
    const Token token = lexer_.peek();
    line_ = token.line;
    if (token.is("{")) return block();
    if (token.is(";")) return lexer_.next(), Status();
    if (token.is(".loc")) {
      lexer_.next();
      Result<int64_t> file = integer();
      if (!file.ok()) return file.error();
      Result<int64_t> source_line = integer();
      if (!source_line.ok()) return source_line.error();
      source_line_ = static_cast<int>(*source_line);
      skip_line_from(token.line);
      return {};
    }
    if (token.is(".file")) return skip_line(), Status();
    if (token.is(".pragma")) {
      lexer_.next();
      lexer_.next();
      return expect(";");
    }
    if (token.is(".reg")) return registers();
    if (auto space = variable_space(token.text)) {
      lexer_.next();
      std::vector<Variable> variables;
      if (Status status = variable(*space, false, &variables); !status.ok()) return status;
      for (Variable& v : variables) {
        std::string unique = fmt::format("{}@{}#{}", v.name, function_->name, function_->locals.size());
        scopes_.back().variables[v.name] = unique;
        v.name = unique;
        function_->locals.push_back(std::move(v));
      }
      return expect(";");
    }
    if (lexer_.next_is_label()) {
      std::string name(lexer_.next().text);
      lexer_.next();
      if (lexer_.peek().is(".branchtargets")) return branch_targets(std::move(name));
      if (lexer_.peek().is(".callprototype") || lexer_.peek().is(".calltargets"))
        return fail("indirect calls are not supported");
      scopes_.back().labels[name] = static_cast<int>(function_->labels.size());
      function_->labels.push_back({std::move(name), static_cast<int>(function_->body.size())});
      return {};
    }
    return instruction();
  }

  void skip_line_from(int line) {
    while (lexer_.peek().kind != Token::Kind::end && lexer_.peek().line == line) lexer_.next();
  }

  Status branch_targets(std::string name) {
    lexer_.next();
    BranchTargets targets{std::move(name), {}};
    int index = static_cast<int>(function_->branch_targets.size());
    do {
      unresolved_.push_back(
          {std::string(lexer_.next().text), line_, -1, -1, index, static_cast<int>(targets.labels.size())});
      targets.labels.push_back(-1);
    } while (accept(","));
    function_->branch_targets.push_back(std::move(targets));
    return expect(";");
  }

  Status registers() {
    lexer_.next();
    Token token = lexer_.next();
    int vector = 1;
    if (token.is(".v2") || token.is(".v4")) {
      vector = token.text[2] - '0';
      token = lexer_.next();
    }
    auto type = element_type(token.text.substr(token.text.empty() ? 0 : 1));
    if (!type || vector != 1)
      return fail(fmt::format("registers of type '{}' are not supported", token.text));
    do {
      std::string name(lexer_.next().text);
      if (accept("<")) {
        Result<int64_t> count = integer();
        if (!count.ok()) return count.error();
        if (*count < 0 || *count > 1000000) return fail("the number of registers is out of range");
        for (int64_t i = 0; i < *count; ++i) declare_register(fmt::format("{}{}", name, i), *type);
        if (Status status = expect(">"); !status.ok()) return status;
      } else {
        declare_register(std::move(name), *type);
      }
    } while (accept(","));
    return expect(";");
  }
  void declare_register(std::string name, ElementType type) {
    scopes_.back().registers[name] = static_cast<int>(function_->registers.size());
    function_->registers.push_back({std::move(name), type});
  }

  int find_register(std::string_view name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      auto found = scope->registers.find(name);
      if (found != scope->registers.end()) return found->second;
    }
    return -1;
  }

  Result<Operand> operand(int index) {
    const Token token = lexer_.peek();
    Operand operand_value;
    if (token.is("{") || token.is("(")) {
      lexer_.next();
      operand_value.kind = Operand::Kind::vector;
      std::string_view close = token.is("{") ? "}" : ")";
      while (!accept(close)) {
        Result<Operand> element = operand(-1);
        if (!element.ok()) return element;
        operand_value.elements.push_back(std::move(*element));
        if (!accept(",") && !lexer_.peek().is(close)) return unexpected(fmt::format("',' or '{}'", close));
      }
      return operand_value;
    }
    if (token.is("[")) {
      lexer_.next();
      Result<Operand> base = operand(-1);
      if (!base.ok()) return base;
      operand_value.kind = Operand::Kind::address;
      operand_value.value = base->kind == Operand::Kind::symbol ? base->value : 0;
      operand_value.elements.push_back(std::move(*base));
      if (accept("+")) {
        Result<int64_t> offset = integer();
        if (!offset.ok()) return offset.error();
        operand_value.value += *offset;
      } else if (lexer_.peek().is("-")) {
        Result<int64_t> offset = integer();
        if (!offset.ok()) return offset.error();
        operand_value.value += *offset;
      }
      while (accept(",")) {
        Result<Operand> element = operand(-1);
        if (!element.ok()) return element;
        operand_value.elements.push_back(std::move(*element));
      }
      if (Status status = expect("]"); !status.ok()) return status.error();
      return operand_value;
    }
    if (token.kind == Token::Kind::number || token.is("-")) return number();
    if (token.is("!")) {
      lexer_.next();
      Result<Operand> inner = operand(-1);
      if (inner.ok()) inner->negated = true;
      return inner;
    }
    if (token.kind != Token::Kind::word) return unexpected("an operand");
    lexer_.next();
    if (token.text == "_") {
      if (accept("|")) {
        Result<Operand> second = operand(-1);
        if (!second.ok()) return second;
        operand_value.elements.push_back(std::move(*second));
      }
      return operand_value;
    }
    if (int id = find_register(token.text); id >= 0) {
      operand_value.kind = Operand::Kind::reg;
      operand_value.id = id;
      operand_value.name = std::string(token.text);
      if (accept("|")) {
        Result<Operand> second = operand(-1);
        if (!second.ok()) return second;
        operand_value.elements.push_back(std::move(*second));
      }
      return operand_value;
    }
    if (token.text == "WARP_SZ") {
      operand_value.kind = Operand::Kind::integer;
      operand_value.value = 32;
      return operand_value;
    }
    if (token.text[0] == '%') {
      operand_value.kind = Operand::Kind::special;
      operand_value.name = std::string(token.text);
      return operand_value;
    }
    operand_value.kind = Operand::Kind::symbol;
    operand_value.name = std::string(token.text);
    bool known = false;
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend() && !known; ++scope) {
      auto found = scope->variables.find(token.text);
      if (found != scope->variables.end()) operand_value.name = found->second, known = true;
    }
    if (index >= 0 && !known)
      unresolved_candidates_.push_back(
          {operand_value.name, line_, static_cast<int>(function_->body.size()), index});
    if (accept("+")) {
      Result<int64_t> addend = integer();
      if (!addend.ok()) return addend.error();
      operand_value.value = *addend;
    }
    return operand_value;
  }

  Status instruction() {
    Instruction in;
    in.source_line = source_line_;
    if (accept("@")) {
      in.guard_negated = accept("!");
      Token name = lexer_.next();
      in.guard = find_register(name.text);
      if (in.guard < 0) return fail(fmt::format("predicate '{}' is not declared", name.text));
    }
    in.line = lexer_.peek().line;
    Token opcode = lexer_.next();
    if (opcode.kind != Token::Kind::word || opcode.text[0] == '%')
      return fail(fmt::format("'{}' is not an instruction", opcode.text));
    in.parts = split_dots(opcode.text);
    unresolved_candidates_.clear();
    while (!accept(";")) {
      Result<Operand> value = operand(static_cast<int>(in.operands.size()));
      if (!value.ok()) return value.error();
      in.operands.push_back(std::move(*value));
      if (!accept(",") && !lexer_.peek().is(";")) return unexpected("',' or ';'");
    }
    // Only branches name labels.
    if (in.parts[0] == "bra") {
      for (Unresolved& use : unresolved_candidates_) unresolved_.push_back(std::move(use));
    }
    function_->body.push_back(std::move(in));
    return {};
  }

  Module& module_;
  Lexer lexer_;
  Function* function_ = nullptr;
  std::vector<Scope> scopes_;
  std::vector<Unresolved> unresolved_, unresolved_candidates_;
  int line_ = 0, source_line_ = 0;
};

}  // namespace

std::string Instruction::opcode() const {
  std::string text;
  for (std::string_view part : parts) {
    if (!text.empty()) text += '.';
    text += part;
  }
  return text;
}

const Function* Module::find(std::string_view name) const {
  for (const Function& f : functions) {
    if (f.name == name) return &f;
  }
  return nullptr;
}

Result<Module> parse(std::string text) {
  Module module;
  module.text = std::move(text);
  if (Status status = Parser(&module).run(); !status.ok()) return status.error();
  return module;
}

}  // namespace rtjit::ptx

// Recursive descent from text to instructions. One method per level of precedence, lowest first.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "templates/formula.h"
#include "templates/formula_lexer.h"
#include "templates/formula_ops.h"

namespace rtjit {
namespace {

struct Function {
  std::string_view name;
  FormulaOp op;
  int arguments;  // -1: two or more, folded from the left
};
constexpr Function kFunctions[] = {
    {"min", FormulaOp::minimum, -1},      {"max", FormulaOp::maximum, -1},
    {"cdiv", FormulaOp::ceil_divide, 2},  {"align", FormulaOp::align_up, 2},
    {"pow2", FormulaOp::power_of_two, 1}, {"ilog2", FormulaOp::log_two, 1},
    {"distinct", FormulaOp::distinct, 2},
};

struct Binary {
  std::string_view symbol;
  FormulaOp op;
};
constexpr Binary kEqualities[] = {{"==", FormulaOp::equal}, {"!=", FormulaOp::not_equal}};
constexpr Binary kRelations[] = {{"<", FormulaOp::less},
                                 {"<=", FormulaOp::less_equal},
                                 {">", FormulaOp::greater},
                                 {">=", FormulaOp::greater_equal}};
constexpr Binary kSums[] = {{"+", FormulaOp::add}, {"-", FormulaOp::subtract}};
constexpr Binary kProducts[] = {
    {"*", FormulaOp::multiply}, {"/", FormulaOp::divide}, {"%", FormulaOp::remainder}};

// Parentheses, calls and unary operators within each other; keeps hostile texts from using up the C++ stack.
constexpr int kMaxNesting = 100;

// Named formulas within each other can grow with 2^n; no formula needs this much.
constexpr size_t kMaxOperations = 4096;

}  // namespace

class FormulaParser {
 public:
  FormulaParser(std::string_view text, const std::vector<FormulaToken>& tokens, const SymbolTable& symbols)
      : text_(text), tokens_(&tokens), symbols_(symbols) {
    formula_.text_ = text;
  }

  Result<Formula> parse() {
    if (peek().kind == FormulaToken::Kind::end) return formula_error(text_, 1, "the formula is empty");
    conditional();
    if (peek().kind != FormulaToken::Kind::end) {
      fail(fmt::format("expected an operator or the end, found '{}'", spelling(peek())));
    }
    if (error_) return *error_;
    return std::move(formula_);
  }

 private:
  const FormulaToken& peek() const { return (*tokens_)[at_]; }

  static std::string spelling(const FormulaToken& token) {
    if (token.kind == FormulaToken::Kind::end) return "the end";
    return std::string(token.spelling);
  }

  // Keeps the first error and moves to the end, so that every caller unwinds.
  void fail(std::string_view message, int column = 0) {
    if (!error_) error_ = formula_error(text_, column > 0 ? column : peek().column, message);
    at_ = tokens_->size() - 1;
  }

  bool take(std::string_view symbol) {
    if (!peek().is(symbol)) return false;
    ++at_;
    return true;
  }

  void expect(std::string_view symbol) {
    if (!error_ && !take(symbol)) fail(fmt::format("expected '{}', found '{}'", symbol, spelling(peek())));
  }

  // Appends an instruction that changes the number of stacked values by `growth`; its index.
  size_t emit(FormulaOp op, int growth, int32_t operand = 0, int64_t constant = 0) {
    formula_.ops_.push_back({static_cast<uint8_t>(op), operand, constant});
    depth_ += growth;
    formula_.depth_ = std::max(formula_.depth_, depth_);
    if (depth_ > kFormulaStack) fail(fmt::format("nested deeper than {} pending values", kFormulaStack));
    if (!within_.empty() && formula_.ops_.size() > kMaxOperations) {
      fail(fmt::format("more than {} operations, named formulas included", kMaxOperations));
    }
    return formula_.ops_.size() - 1;
  }
  void jump_here(size_t op) { formula_.ops_[op].operand = static_cast<int32_t>(formula_.ops_.size()); }

  bool enter() {
    if (++nesting_ <= kMaxNesting) return true;
    fail(fmt::format("nested deeper than {} levels", kMaxNesting));
    return false;
  }

  void conditional() {
    if (!enter()) return;
    either();
    if (take("?")) {
      size_t to_else = emit(FormulaOp::jump_if_zero, -1);
      conditional();
      expect(":");
      size_t to_end = emit(FormulaOp::jump, -1);  // the two branches leave one value between them
      jump_here(to_else);
      conditional();
      jump_here(to_end);
    }
    --nesting_;
  }

  void either() {
    both();
    while (take("||")) {
      size_t skip = emit(FormulaOp::or_otherwise, -1);
      both();
      emit(FormulaOp::to_bool, 0);
      jump_here(skip);
    }
  }

  void both() {
    equality();
    while (take("&&")) {
      size_t skip = emit(FormulaOp::and_otherwise, -1);
      equality();
      emit(FormulaOp::to_bool, 0);
      jump_here(skip);
    }
  }

  void equality() {
    relation();
    compare(kEqualities, [this] { relation(); });
  }
  void relation() {
    sum();
    compare(kRelations, [this] { sum(); });
  }
  void sum() {
    product();
    left_associative(kSums, [this] { product(); });
  }
  void product() {
    unary();
    left_associative(kProducts, [this] { unary(); });
  }

  const Binary* take_one(std::span<const Binary> operators) {
    for (const Binary& candidate : operators) {
      if (take(candidate.symbol)) return &candidate;
    }
    return nullptr;
  }

  template <typename Operand>
  void left_associative(std::span<const Binary> operators, Operand operand) {
    while (const Binary* found = take_one(operators)) {
      operand();
      emit(found->op, -1);
    }
  }

  template <typename Operand>
  void compare(std::span<const Binary> operators, Operand operand) {
    const Binary* found = take_one(operators);
    if (!found) return;
    operand();
    emit(found->op, -1);
    for (const Binary& again : operators) {
      if (peek().is(again.symbol)) fail("comparisons do not chain; write a < b && b < c");
    }
  }

  void unary() {
    bool negate = peek().is("-");
    if (!negate && !peek().is("!")) return primary();
    if (!enter()) return;
    ++at_;
    unary();
    emit(negate ? FormulaOp::negate : FormulaOp::logical_not, 0);
    --nesting_;
  }

  void primary() {
    const FormulaToken& token = peek();
    switch (token.kind) {
      case FormulaToken::Kind::number:
        ++at_;
        emit(FormulaOp::constant, 1, 0, token.number);
        return;
      case FormulaToken::Kind::text:
        ++at_;
        emit(FormulaOp::constant, 1, 0, text_value(token.spelling));
        return;
      case FormulaToken::Kind::name:
        ++at_;
        return peek().is("(") ? call(token) : name(token);
      case FormulaToken::Kind::symbol:
        if (take("(")) {
          conditional();
          return expect(")");
        }
        [[fallthrough]];
      case FormulaToken::Kind::end:
        if (!error_) fail(fmt::format("expected a number, a name or '(', found '{}'", spelling(token)));
    }
  }

  void name(const FormulaToken& token) {
    if (std::optional<int> slot = symbols_.find(token.spelling)) {
      emit(FormulaOp::load, 1, *slot);
      return;
    }
    if (const std::string* definition = symbols_.definition(token.spelling)) {
      return named_formula(std::string(token.spelling), *definition, token.column);
    }
    std::vector<std::string> known = symbols_.all_names();
    std::string near = nearest_name(token.spelling, known);
    std::string hint = !near.empty()   ? fmt::format("did you mean '{}'?", near)
                       : known.empty() ? std::string("no names are known here")
                                       : "known here: " + join(known, ", ");
    fail(fmt::format("unknown name '{}'; {}", token.spelling, hint), token.column);
  }

  // Parses the text that a name stands for in the name's place.
  void named_formula(const std::string& name, const std::string& definition, int column) {
    auto again = std::find(within_.begin(), within_.end(), name);
    if (again != within_.end()) {
      std::vector<std::string> circle(again, within_.end());
      circle.push_back(name);
      return fail(fmt::format("the named formula '{}' is defined by itself: {}", name, join(circle, " -> ")),
                  column);
    }
    auto tokens = tokenize_formula(definition);
    if (!tokens) {
      if (!error_) error_ = tokens.error();
      return fail("", column);
    }
    const bool failed_before = error_.has_value();
    std::string_view outer_text = std::exchange(text_, definition);
    const std::vector<FormulaToken>* outer_tokens = std::exchange(tokens_, &*tokens);
    const size_t outer_at = std::exchange(at_, 0);
    within_.push_back(name);
    if (peek().kind == FormulaToken::Kind::end) fail("the formula is empty");
    conditional();
    if (!error_ && peek().kind != FormulaToken::Kind::end) {
      fail(fmt::format("expected an operator or the end, found '{}'", spelling(peek())));
    }
    within_.pop_back();
    text_ = outer_text;
    tokens_ = outer_tokens;
    at_ = outer_at;
    if (!error_) return;
    if (!failed_before)
      error_->message += fmt::format("; it is what '{}' stands for in '{}'", name, outer_text);
    fail("");  // so that the outer text unwinds too
  }

  void call(const FormulaToken& token) {
    const Function* function =
        std::find_if(std::begin(kFunctions), std::end(kFunctions),
                     [&](const Function& candidate) { return candidate.name == token.spelling; });
    if (function == std::end(kFunctions)) {
      std::vector<std::string> names;
      for (const Function& known : kFunctions) names.emplace_back(known.name);
      return fail(fmt::format("unknown function '{}'; there are {}", token.spelling, join(names, ", ")),
                  token.column);
    }
    expect("(");
    int count = 0;
    do {
      conditional();
      if (++count >= 2 && function->arguments == -1) emit(function->op, -1);
    } while (take(","));
    expect(")");
    bool right = function->arguments == -1 ? count >= 2 : count == function->arguments;
    if (!right && !error_) {
      std::string wanted = function->arguments == -1 ? "2 or more" : std::to_string(function->arguments);
      return fail(fmt::format("{} takes {} arguments, not {}", function->name, wanted, count), token.column);
    }
    if (function->arguments == 2) emit(function->op, -1);
    if (function->arguments == 1) emit(function->op, 0);
  }

  std::string_view
      text_;  // of the formula, or of the named formula that is being parsed; as are tokens_ and at_
  const std::vector<FormulaToken>* tokens_;
  const SymbolTable& symbols_;
  Formula formula_;
  std::optional<Error> error_;
  size_t at_ = 0;
  std::vector<std::string> within_;  // named formulas that are being parsed, outermost first
  int depth_ = 0;
  int nesting_ = 0;
};

Result<Formula> Formula::parse(std::string_view text, const SymbolTable& symbols) {
  auto tokens = tokenize_formula(text);
  if (!tokens) return tokens.error();
  return FormulaParser(text, *tokens, symbols).parse();
}

}  // namespace rtjit

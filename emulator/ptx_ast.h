// A PTX module as text says it: what the parser produces and the decoder reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rtjit::ptx {

enum class Space : uint8_t { none, global, shared, constant, local, param };

// Class and width of a register or variable element: {'u', 32}. Kinds: 'p' predicate, 'b' bits, 'u', 's',
// 'f'.
struct ElementType {
  char kind = 'b';
  int bits = 0;
};

// Where a symbol's initial value holds another symbol's address.
struct AddressInit {
  int64_t offset = 0;  // byte position within the variable
  std::string symbol;
  int64_t addend = 0;
};

struct Variable {
  std::string name;  // unique within the module (locals of functions are prefixed by the parser)
  Space space = Space::none;
  ElementType type;
  int64_t bytes = 0;  // 0 for `extern x[]`
  int align = 1;
  bool is_extern = false;
  std::string init;  // leading bytes of the initial value; the rest is zero
  std::vector<AddressInit> address_inits;
};

struct Operand {
  enum class Kind : uint8_t {
    reg,      // id
    integer,  // value
    f32,      // value holds the bits
    f64,      // value holds the bits
    symbol,   // name: variable, function or parameter (+ value as addend)
    label,    // id: index of the label in Function::labels
    special,  // name: "%tid.x"
    address,  // [elements[0] + value], with coordinates in elements[1..] for tensor addresses
    vector,   // {elements} or a parenthesised list
    sink,     // _
  };
  Kind kind = Kind::sink;
  bool negated = false;  // !%p
  int id = -1;
  int64_t value = 0;
  std::string name;
  std::vector<Operand> elements;  // also p|q: elements[0] of a `reg` operand is q
};

struct Instruction {
  int line = 0;         // in the PTX text, 1-based
  int source_line = 0;  // of the last .loc, 0 when there is none
  int guard = -1;       // predicate register
  bool guard_negated = false;
  std::vector<std::string_view> parts;  // "ld", "global", "v4", "u32"; point into the module's text
  std::vector<Operand> operands;
  std::string opcode() const;
};

struct Register {
  std::string name;
  ElementType type;
};

struct Label {
  std::string name;
  int instruction = -1;  // index of the instruction it stands before
};

struct BranchTargets {
  std::string name;
  std::vector<int> labels;
};

struct Function {
  std::string name;
  bool is_entry = false;
  bool has_body = false;
  int line = 0;
  std::vector<Variable> parameters, results;
  std::vector<Register> registers;
  std::vector<Label> labels;
  std::vector<BranchTargets> branch_targets;
  std::vector<Instruction> body;
  std::vector<Variable> locals;  // .local, .shared and call .param variables declared inside
  int max_threads = 0;           // product of .maxntid, 0 when not given
  int required_threads[3] = {0, 0, 0};
  int cluster[3] = {0, 0, 0};  // .reqnctapercluster
  int max_cluster = 0;         // .maxclusterrank
  bool explicit_cluster = false, blocks_are_clusters = false;
};

struct Module {
  std::string text;  // instructions point into it
  int version_major = 0, version_minor = 0;
  std::string target;
  std::vector<Variable> variables;
  std::vector<Function> functions;
  const Function* find(std::string_view name) const;
};

}  // namespace rtjit::ptx

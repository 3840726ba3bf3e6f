// Turns one instruction of the syntax tree into an Op. Each family of instructions has a file ops_<family>.cc
// that holds both its decoding and its execution; this is what those files use.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "emulator/program.h"
#include "emulator/ptx_ast.h"

namespace rtjit::emu {

// What a type suffix says.
struct Type {
  enum class Kind : uint8_t { bits, u, s, f, half, half2, bfloat, bfloat2, tf32, pred };
  Kind kind = Kind::bits;
  int bits = 0;
  bool is_signed() const { return kind == Kind::s; }
  bool is_integer() const { return kind == Kind::bits || kind == Kind::u || kind == Kind::s; }
};
std::optional<Type> parse_type(std::string_view text);

class Decoder;
using DecodeFunction = void (*)(Decoder&);
using InstructionTable = std::unordered_map<std::string_view, DecodeFunction>;

// Every family adds its instructions.
void add_control_instructions(InstructionTable& table);
void add_integer_instructions(InstructionTable& table);
void add_logic_instructions(InstructionTable& table);
void add_compare_instructions(InstructionTable& table);
void add_float_instructions(InstructionTable& table);
void add_convert_instructions(InstructionTable& table);
void add_move_instructions(InstructionTable& table);
void add_memory_instructions(InstructionTable& table);
void add_atomic_instructions(InstructionTable& table);
void add_warp_instructions(InstructionTable& table);
void add_barrier_instructions(InstructionTable& table);
void add_matrix_instructions(InstructionTable& table);
void add_async_instructions(InstructionTable& table);
void add_tensor_core_instructions(InstructionTable& table);
const InstructionTable& instruction_table();

struct SymbolAddress {
  ptx::Space space = ptx::Space::none;
  uint64_t address = 0;  // global and constant: device address; others: offset in their space
};
// The first error of an instruction is kept; what follows sees harmless values.
class Decoder {
 public:
  // --- the instruction ---
  const ptx::Instruction& in() const { return *in_; }
  Op op;
  size_t operand_count() const { return in_->operands.size(); }
  const ptx::Operand& operand(size_t index) const;

  // --- modifiers, in order ---
  bool take(std::string_view modifier);                                // consumes it if it is next
  int take_one_of(std::initializer_list<std::string_view> modifiers);  // index, or -1
  std::string_view peek_modifier() const;
  bool has_modifier(std::string_view modifier) const;       // anywhere among those left
  Type take_type();                                         // error when the next is not a type
  void skip_modifiers() { modifier_ = in_->parts.size(); }  // they change nothing here
  void take_cache_hints();  // .L1::no_allocate, .L2::128B, .level::eviction... : no effect on results

  // --- operands: each returns a slot ---
  uint32_t source(size_t index, int bits) { return source(operand(index), bits); }
  uint32_t source(const ptx::Operand& operand, int bits, Type::Kind kind = Type::Kind::bits);
  uint32_t source(size_t index, Type type) { return source(operand(index), type.bits, type.kind); }
  uint32_t destination(size_t index, int bits) { return destination(operand(index), bits); }
  uint32_t destination(const ptx::Operand& operand, int bits);
  uint32_t predicate_source(const ptx::Operand& operand,
                            bool* negated);  // *negated null: negation is an error
  uint32_t predicate_destination(const ptx::Operand& operand);
  uint32_t constant(uint64_t value, int bits, bool is_shared_address = false);
  // The width class of a register operand: 1, 32 or 64; 0 when it is not a register.
  int register_width(const ptx::Operand& operand) const;
  int declared_bits(const ptx::Operand& operand) const;  // 16 for %rs, 0 when not a register
  std::optional<SymbolAddress> symbol(const std::string& name);
  // [base + offset] -> a slot with 64-bit (or 32-bit for shared) base in `slot`, constant offset returned.
  // The space is known when the base is a variable.
  struct Address {
    uint32_t slot = kNone;  // 32- or 64-bit slot; kNone: the address is `offset` alone
    bool wide = false;
    int64_t offset = 0;
    ptx::Space space = ptx::Space::none;  // of the symbol, when there is one
  };
  Address address(size_t index) { return address(operand(index)); }
  Address address(const ptx::Operand& operand);
  // For operands that must be an address in one slot of 64 bits, offset folded in where it is zero.
  uint32_t special(Special special, bool wide);
  void add_list(uint32_t slot);  // appends to the op's operand list
  void expect_operands(size_t minimum, size_t maximum);
  std::optional<int64_t> immediate(size_t index) const;

  // --- control flow ---
  uint32_t jump(const ptx::Operand& label);  // the op it leads to; noted in the flow graph
  std::vector<uint32_t> jump_table(const ptx::Operand& targets);
  uint32_t add_branch_table(std::vector<uint32_t> table);
  void ends_path() { never_falls_through(); }

  void fail(std::string message);
  bool failed() const { return !error_.empty(); }

  // The functions below are used by program_builder.cc alone.
  struct State;
  explicit Decoder(State& state) : state_(state) {}
  void begin(const ptx::Instruction& instruction);
  const std::string& error() const { return error_; }
  size_t modifiers_left() const { return in_->parts.size() - modifier_; }

 private:
  void never_falls_through();
  State& state_;
  const ptx::Instruction* in_ = nullptr;
  size_t modifier_ = 0;
  std::string error_;
};

}  // namespace rtjit::emu

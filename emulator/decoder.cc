#include "emulator/decoder.h"

#include <algorithm>
#include <cstring>

#include "emulator/decoder_state.h"
#include "emulator/memory.h"
#include "emulator/numeric.h"

namespace rtjit::emu {

using ptx::Operand;
using ptx::Space;

std::optional<Type> parse_type(std::string_view text) {
  if (text == "pred") return Type{Type::Kind::pred, 1};
  if (text == "f16") return Type{Type::Kind::half, 16};
  if (text == "f16x2") return Type{Type::Kind::half2, 32};
  if (text == "bf16") return Type{Type::Kind::bfloat, 16};
  if (text == "bf16x2") return Type{Type::Kind::bfloat2, 32};
  if (text == "tf32") return Type{Type::Kind::tf32, 32};
  if (text == "f32") return Type{Type::Kind::f, 32};
  if (text == "f64") return Type{Type::Kind::f, 64};
  if (text.size() < 2) return std::nullopt;
  int bits = text == "b8" || text == "u8" || text == "s8"      ? 8
             : text == "b16" || text == "u16" || text == "s16" ? 16
             : text == "b32" || text == "u32" || text == "s32" ? 32
             : text == "b64" || text == "u64" || text == "s64" ? 64
             : text == "b128"                                  ? 128
                                                               : 0;
  if (!bits) return std::nullopt;
  return Type{text[0] == 'u' ? Type::Kind::u : text[0] == 's' ? Type::Kind::s : Type::Kind::bits, bits};
}

const InstructionTable& instruction_table() {
  static const InstructionTable table = [] {
    InstructionTable t;
    add_control_instructions(t);
    add_integer_instructions(t);
    add_logic_instructions(t);
    add_compare_instructions(t);
    add_float_instructions(t);
    add_convert_instructions(t);
    add_move_instructions(t);
    add_memory_instructions(t);
    add_atomic_instructions(t);
    add_warp_instructions(t);
    add_barrier_instructions(t);
    add_matrix_instructions(t);
    add_async_instructions(t);
    add_tensor_core_instructions(t);
    return t;
  }();
  return table;
}

void Decoder::begin(const ptx::Instruction& instruction) {
  in_ = &instruction;
  modifier_ = 1;
  if (instruction.guard >= 0) {
    Operand guard;
    guard.kind = Operand::Kind::reg;
    guard.id = instruction.guard;
    op.guard = predicate_source(guard, nullptr);
    op.guard_negated = instruction.guard_negated;
    state_.current->conditional_def = true;
  }
}

void Decoder::fail(std::string message) {
  if (error_.empty()) error_ = message.empty() ? "unsupported" : std::move(message);
}

const Operand& Decoder::operand(size_t index) const {
  static const Operand missing;
  if (index < in_->operands.size()) return in_->operands[index];
  const_cast<Decoder*>(this)->fail(fmt::format("operand {} is missing", index + 1));
  return missing;
}

std::string_view Decoder::peek_modifier() const {
  return modifier_ < in_->parts.size() ? in_->parts[modifier_] : std::string_view();
}

bool Decoder::take(std::string_view modifier) {
  if (peek_modifier() != modifier) return false;
  ++modifier_;
  return true;
}

int Decoder::take_one_of(std::initializer_list<std::string_view> modifiers) {
  int index = 0;
  for (std::string_view modifier : modifiers) {
    if (take(modifier)) return index;
    ++index;
  }
  return -1;
}

bool Decoder::has_modifier(std::string_view modifier) const {
  return std::find(in_->parts.begin() + static_cast<long>(std::min(modifier_, in_->parts.size())),
                   in_->parts.end(), modifier) != in_->parts.end();
}

Type Decoder::take_type() {
  std::optional<Type> type = parse_type(peek_modifier());
  if (!type) {
    fail(fmt::format("'.{}' is not a type the emulator knows here", peek_modifier()));
    return Type{Type::Kind::bits, 32};
  }
  ++modifier_;
  return *type;
}

void Decoder::take_cache_hints() {
  while (true) {
    std::string_view m = peek_modifier();
    bool hint = m.starts_with("L1::") || m.starts_with("L2::") || m == "ca" || m == "cg" || m == "cs" ||
                m == "lu" || m == "cv" || m == "wb" || m == "wt";
    if (!hint || m.empty()) return;
    ++modifier_;
  }
}

int Decoder::declared_bits(const Operand& o) const {
  if (o.kind != Operand::Kind::reg) return 0;
  return state_.flat->registers[static_cast<size_t>(o.id)].type.bits;
}

int Decoder::register_width(const Operand& o) const {
  if (o.kind != Operand::Kind::reg) return 0;
  const ptx::ElementType& type = state_.flat->registers[static_cast<size_t>(o.id)].type;
  if (type.kind == 'p') return 1;
  return type.bits <= 32 ? 32 : type.bits;
}

uint32_t Decoder::constant(uint64_t value, int bits, bool is_shared_address) {
  if (bits > 1 && bits < 64) value &= (uint64_t(1) << bits) - 1;
  int width = bits == 1 ? 1 : bits <= 32 ? 32 : 64;
  auto [it, added] = state_.constant_ids.try_emplace({value, width, is_shared_address},
                                                     static_cast<uint32_t>(state_.program->constants.size()));
  if (added) state_.program->constants.push_back({0, static_cast<uint8_t>(width), value, is_shared_address});
  return State::kConstant | it->second;
}

uint32_t Decoder::special(Special which, bool wide) {
  auto [it, added] = state_.special_ids.try_emplace({static_cast<int>(which), wide},
                                                    static_cast<uint32_t>(state_.program->specials.size()));
  if (added) state_.program->specials.push_back({0, which, wide});
  return State::kSpecial | it->second;
}

namespace {

uint32_t use_register(FlowNode* node, std::vector<uint8_t>* classes, uint32_t id, int width, bool define) {
  if (classes->size() <= id) classes->resize(id + 1, 0);
  (*classes)[id] = static_cast<uint8_t>(width);
  (define ? node->defs : node->uses).push_back(id);
  if (node->defs.size() > 1) node->keep_apart = true;
  return id;
}

const std::map<std::string_view, Special>& specials() {
  static const std::map<std::string_view, Special> table = {
      {"%tid.x", Special::tid_x},
      {"%tid.y", Special::tid_y},
      {"%tid.z", Special::tid_z},
      {"%ntid.x", Special::ntid_x},
      {"%ntid.y", Special::ntid_y},
      {"%ntid.z", Special::ntid_z},
      {"%ctaid.x", Special::ctaid_x},
      {"%ctaid.y", Special::ctaid_y},
      {"%ctaid.z", Special::ctaid_z},
      {"%nctaid.x", Special::nctaid_x},
      {"%nctaid.y", Special::nctaid_y},
      {"%nctaid.z", Special::nctaid_z},
      {"%laneid", Special::laneid},
      {"%warpid", Special::warpid},
      {"%nwarpid", Special::nwarpid},
      {"%smid", Special::smid},
      {"%nsmid", Special::nsmid},
      {"%gridid", Special::gridid},
      {"%lanemask_eq", Special::lanemask_eq},
      {"%lanemask_le", Special::lanemask_le},
      {"%lanemask_lt", Special::lanemask_lt},
      {"%lanemask_ge", Special::lanemask_ge},
      {"%lanemask_gt", Special::lanemask_gt},
      {"%clusterid.x", Special::clusterid_x},
      {"%clusterid.y", Special::clusterid_y},
      {"%clusterid.z", Special::clusterid_z},
      {"%nclusterid.x", Special::nclusterid_x},
      {"%nclusterid.y", Special::nclusterid_y},
      {"%nclusterid.z", Special::nclusterid_z},
      {"%cluster_ctaid.x", Special::cluster_ctaid_x},
      {"%cluster_ctaid.y", Special::cluster_ctaid_y},
      {"%cluster_ctaid.z", Special::cluster_ctaid_z},
      {"%cluster_nctaid.x", Special::cluster_nctaid_x},
      {"%cluster_nctaid.y", Special::cluster_nctaid_y},
      {"%cluster_nctaid.z", Special::cluster_nctaid_z},
      {"%cluster_ctarank", Special::cluster_ctarank},
      {"%cluster_nctarank", Special::cluster_nctarank},
      {"%dynamic_smem_size", Special::dynamic_smem_size},
      {"%total_smem_size", Special::total_smem_size},
      {"%aggr_smem_size", Special::aggr_smem_size},
      {"%reserved_smem_offset_begin", Special::reserved_smem_begin},
      {"%reserved_smem_offset_end", Special::reserved_smem_end},
  };
  return table;
}

}  // namespace

uint32_t Decoder::source(const Operand& o, int bits, Type::Kind kind) {
  int width = bits <= 32 ? 32 : bits;
  switch (o.kind) {
    case Operand::Kind::reg: {
      if (o.negated) fail("a negated operand is only allowed for predicates");
      int have = register_width(o);
      if (have != width)
        fail(fmt::format("operand {} has {} bits where {} are expected", o.name, have, bits));
      return use_register(state_.current, &state_.classes, static_cast<uint32_t>(o.id), width, false);
    }
    case Operand::Kind::integer:
      if (kind == Type::Kind::f && bits == 32) return constant(as_bits(static_cast<float>(o.value)), 32);
      if (kind == Type::Kind::f && bits == 64) return constant(as_bits(static_cast<double>(o.value)), 64);
      return constant(static_cast<uint64_t>(o.value), bits);
    case Operand::Kind::f32:
      if (bits == 64)
        return constant(as_bits(static_cast<double>(as_float(static_cast<uint32_t>(o.value)))), 64);
      return constant(static_cast<uint64_t>(o.value), bits);
    case Operand::Kind::f64:
      if (bits == 32)
        return constant(as_bits(static_cast<float>(as_double(static_cast<uint64_t>(o.value)))), 32);
      return constant(static_cast<uint64_t>(o.value), 64);
    case Operand::Kind::symbol: {
      std::optional<SymbolAddress> s = symbol(o.name);
      if (!s) {
        fail(fmt::format("'{}' has no address", o.name));
        return kNone;
      }
      return constant(s->address + static_cast<uint64_t>(o.value), bits, s->space == Space::shared);
    }
    case Operand::Kind::special: {
      auto found = specials().find(o.name);
      if (found == specials().end()) {
        fail(fmt::format("special register {} is not supported here", o.name));
        return kNone;
      }
      return special(found->second, width == 64);
    }
    default:
      fail("this kind of operand is not allowed here");
      return kNone;
  }
}

uint32_t Decoder::destination(const Operand& o, int bits) {
  if (o.kind == Operand::Kind::sink) return kNone;
  if (o.kind != Operand::Kind::reg) {
    fail("the destination must be a register");
    return kNone;
  }
  int width = bits <= 32 ? 32 : bits;
  if (register_width(o) != width)
    fail(fmt::format("destination {} has {} bits where {} are expected", o.name, register_width(o), bits));
  return use_register(state_.current, &state_.classes, static_cast<uint32_t>(o.id), width, true);
}

uint32_t Decoder::predicate_source(const Operand& o, bool* negated) {
  if (o.kind == Operand::Kind::integer) return constant(o.value ? ~0u : 0u, 1);
  if (o.kind != Operand::Kind::reg || register_width(o) != 1) {
    fail("a predicate is expected");
    return kNone;
  }
  if (negated)
    *negated = o.negated;
  else if (o.negated)
    fail("a negated predicate is not allowed here");
  return use_register(state_.current, &state_.classes, static_cast<uint32_t>(o.id), 1, false);
}

uint32_t Decoder::predicate_destination(const Operand& o) {
  if (o.kind == Operand::Kind::sink) return kNone;
  if (o.kind != Operand::Kind::reg || register_width(o) != 1) {
    fail("a predicate is expected as destination");
    return kNone;
  }
  return use_register(state_.current, &state_.classes, static_cast<uint32_t>(o.id), 1, true);
}

std::optional<SymbolAddress> Decoder::symbol(const std::string& name) {
  auto found = state_.symbols.find(name);
  if (found == state_.symbols.end()) return std::nullopt;
  return found->second;
}

Decoder::Address Decoder::address(const Operand& o) {
  Address result;
  if (o.kind != Operand::Kind::address || o.elements.empty()) {
    fail("an address in [ ] is expected");
    return result;
  }
  const Operand& base = o.elements[0];
  result.offset = o.value;
  if (base.kind == Operand::Kind::symbol) {
    std::optional<SymbolAddress> s = symbol(base.name);
    if (!s) {
      fail(fmt::format("'{}' has no address", base.name));
      return result;
    }
    result.space = s->space;
    result.slot = constant(s->address, 64, s->space == Space::shared);
    result.wide = true;
  } else if (base.kind == Operand::Kind::reg) {
    result.wide = register_width(base) == 64;
    result.slot = source(base, result.wide ? 64 : 32);
  } else if (base.kind == Operand::Kind::integer) {
    result.slot = constant(static_cast<uint64_t>(base.value), 64);
    result.wide = true;
  } else {
    fail("the address must be a register, a variable or a number");
  }
  return result;
}

void Decoder::add_list(uint32_t slot) {
  std::vector<uint32_t>& lists = state_.program->lists;
  if (op.list_size == 0) op.list = static_cast<uint32_t>(lists.size());
  lists.push_back(slot);
  ++op.list_size;
}

void Decoder::expect_operands(size_t minimum, size_t maximum) {
  if (operand_count() < minimum || operand_count() > maximum)
    fail(
        fmt::format("{} operands were found where {} to {} are expected", operand_count(), minimum, maximum));
}

std::optional<int64_t> Decoder::immediate(size_t index) const {
  if (index >= operand_count() || operand(index).kind != Operand::Kind::integer) return std::nullopt;
  return operand(index).value;
}

uint32_t Decoder::jump(const Operand& label) {
  if (label.kind != Operand::Kind::label) {
    fail("a label is expected");
    return 0;
  }
  auto target = static_cast<uint32_t>(state_.flat->labels[static_cast<size_t>(label.id)]);
  state_.current->targets.push_back(target);
  return target;
}

std::vector<uint32_t> Decoder::jump_table(const Operand& targets) {
  std::vector<uint32_t> table;
  auto found = state_.flat->branch_targets.find(targets.name);
  if (found == state_.flat->branch_targets.end()) {
    fail(fmt::format("'{}' is not a list of branch targets", targets.name));
    return table;
  }
  for (int label : found->second) {
    table.push_back(static_cast<uint32_t>(state_.flat->labels[static_cast<size_t>(label)]));
    state_.current->targets.push_back(table.back());
  }
  return table;
}

uint32_t Decoder::add_branch_table(std::vector<uint32_t> table) {
  state_.program->branch_tables.push_back(std::move(table));
  return static_cast<uint32_t>(state_.program->branch_tables.size()) - 1;
}

void Decoder::never_falls_through() { state_.current->falls_through = in_->guard >= 0; }

void Decoder::State::finish(const std::vector<uint32_t>& offsets) {
  uint32_t end = program->register_bytes;
  for (int width : {64, 32, 1}) {
    uint32_t bytes = width == 64 ? 256 : width == 32 ? 128 : 4;
    for (ConstantSlot& slot : program->constants) {
      if (slot.bits == width) slot.offset = end, end += bytes;
    }
    for (SpecialSlot& slot : program->specials) {
      if ((slot.wide ? 64 : 32) == width) slot.offset = end, end += bytes;
    }
  }
  program->register_bytes = (end + 63) / 64 * 64;
  auto patch = [&](uint32_t& field) {
    if (field == kNone) return;
    if (field & kConstant)
      field = program->constants[field & kIndex].offset;
    else if (field & kSpecial)
      field = program->specials[field & kIndex].offset;
    else
      field = offsets[field];
  };
  for (Op& op : program->ops) {
    for (uint32_t* field : {&op.d, &op.a, &op.b, &op.c, &op.guard}) patch(*field);
  }
  for (uint32_t& entry : program->lists) patch(entry);
}

}  // namespace rtjit::emu

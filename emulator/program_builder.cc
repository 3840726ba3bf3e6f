#include "emulator/program_builder.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "emulator/control_flow.h"
#include "emulator/decoder_state.h"
#include "emulator/flatten.h"
#include "emulator/ptx_parser.h"

namespace rtjit::emu {
namespace {

using ptx::Operand;
using ptx::Space;

uint32_t align_up(uint64_t value, int align) {
  auto a = static_cast<uint64_t>(std::max(align, 1));
  return static_cast<uint32_t>((value + a - 1) / a * a);
}

void collect_names(const Operand& operand, std::set<std::string>* names) {
  if (operand.kind == Operand::Kind::symbol) names->insert(operand.name);
  for (const Operand& element : operand.elements) collect_names(element, names);
}

// Addresses of everything the kernel names.
void lay_out(const LoadedModule& loaded, const FlatKernel& flat, Decoder::State* state, Program* program) {
  state->symbols = loaded.variables;
  uint64_t parameter_end = 0;
  for (const ptx::Variable& p : flat.source->parameters) {
    uint32_t offset = align_up(parameter_end, p.align);
    program->parameters.push_back({p.name, offset, static_cast<uint32_t>(p.bytes)});
    state->symbols[p.name] = {Space::param, offset};
    parameter_end = offset + static_cast<uint64_t>(p.bytes);
  }
  program->parameter_bytes = static_cast<uint32_t>(parameter_end);
  std::set<std::string> used;
  for (const ptx::Instruction& in : flat.body) {
    for (const Operand& operand : in.operands) collect_names(operand, &used);
  }
  uint64_t shared = 0, local = 0;
  int dynamic_align = 16;
  std::vector<std::string> dynamic;
  auto place = [&](const ptx::Variable& v) {
    if (!used.count(v.name)) return;
    if (v.space == Space::shared && v.bytes == 0) {
      dynamic.push_back(v.name);
      dynamic_align = std::max(dynamic_align, v.align);
    } else if (v.space == Space::shared) {
      uint32_t offset = align_up(shared, v.align);
      state->symbols[v.name] = {Space::shared, offset};
      shared = offset + static_cast<uint64_t>(v.bytes);
    } else if (v.space == Space::local || v.space == Space::param) {
      uint32_t offset = align_up(local, std::max(v.align, 8));
      state->symbols[v.name] = {Space::local, offset};
      local = offset + static_cast<uint64_t>(v.bytes);
    }
  };
  for (const ptx::Variable& v : loaded.module->variables) place(v);
  for (const ptx::Variable& v : flat.variables) place(v);
  program->static_shared = static_cast<uint32_t>(shared);
  program->dynamic_shared = align_up(shared, dynamic_align);
  for (const std::string& name : dynamic) state->symbols[name] = {Space::shared, program->dynamic_shared};
  program->local_bytes = align_up(local, 16);
}

}  // namespace

Result<LoadedModule> load_module(std::string ptx_text, GlobalMemory& memory) {
  Result<ptx::Module> parsed = ptx::parse(std::move(ptx_text));
  if (!parsed.ok()) return parsed.error();
  LoadedModule loaded;
  loaded.module = std::make_unique<ptx::Module>(std::move(*parsed));
  for (const ptx::Variable& v : loaded.module->variables) {
    if (v.space != Space::global && v.space != Space::constant) continue;
    if (v.is_extern)
      return make_error(ErrorCode::unsupported, "variable {}: external variables are not linked", v.name);
    Result<uint64_t> address =
        memory.allocate(static_cast<uint64_t>(v.bytes), v.name, v.space == Space::constant);
    if (!address.ok()) return address.error();
    loaded.variables[v.name] = {v.space, *address};
    std::memset(memory.shadow(*address), kWritten, static_cast<size_t>(v.bytes));
    std::memset(memory.data(*address), 0, static_cast<size_t>(v.bytes));
    std::memcpy(memory.data(*address), v.init.data(), v.init.size());
  }
  for (const ptx::Variable& v : loaded.module->variables) {
    for (const ptx::AddressInit& init : v.address_inits) {
      auto found = loaded.variables.find(init.symbol);
      if (found == loaded.variables.end())
        return make_error(ErrorCode::unsupported,
                          "variable {}: its initial value names '{}', which has no address", v.name,
                          init.symbol);
      uint64_t value = found->second.address + static_cast<uint64_t>(init.addend);
      std::memcpy(memory.data(loaded.variables[v.name].address) + init.offset, &value, 8);
    }
  }
  return loaded;
}

void unload_module(LoadedModule& module, GlobalMemory& memory) {
  for (const auto& [name, symbol] : module.variables) memory.free(symbol.address);
  module.variables.clear();
}

Result<std::unique_ptr<Program>> build_program(const LoadedModule& loaded, const std::string& kernel,
                                               std::vector<UnsupportedInstruction>* all_errors) {
  const ptx::Function* function = loaded.module->find(kernel);
  if (!function || !function->is_entry) {
    std::string known;
    for (const ptx::Function& f : loaded.module->functions) {
      if (f.is_entry) known += (known.empty() ? "" : ", ") + f.name;
    }
    return make_error(ErrorCode::not_found, "kernel '{}' is not in the module; it has: {}", kernel, known);
  }
  Result<FlatKernel> flat = flatten(*loaded.module, *function);
  if (!flat.ok()) return flat.error();
  auto program = std::make_unique<Program>();
  program->kernel = kernel;
  program->max_threads = function->max_threads;
  std::copy(function->required_threads, function->required_threads + 3, program->required_threads);
  std::copy(function->cluster, function->cluster + 3, program->required_cluster);
  program->max_cluster = static_cast<uint32_t>(function->max_cluster);
  program->explicit_cluster = function->explicit_cluster;
  if (function->blocks_are_clusters)
    return make_error(ErrorCode::unsupported, "kernel {}: .blocksareclusters is not supported", kernel);
  Decoder::State state;
  state.flat = &*flat;
  state.program = program.get();
  lay_out(loaded, *flat, &state, program.get());
  state.nodes.resize(flat->body.size() + 1);

  std::vector<UnsupportedInstruction> errors;
  auto decode = [&](const ptx::Instruction& in, size_t index) {
    state.current = &state.nodes[index];
    Decoder decoder(state);
    decoder.begin(in);
    auto entry = instruction_table().find(in.parts[0]);
    if (entry == instruction_table().end())
      decoder.fail("this instruction is not supported by the emulator");
    else
      entry->second(decoder);
    if (!decoder.failed() && decoder.modifiers_left())
      decoder.fail(fmt::format("modifier .{} is not supported here", decoder.peek_modifier()));
    if (decoder.failed()) errors.push_back({in.line, in.opcode(), decoder.error()});
    decoder.op.line = in.line;
    decoder.op.source_line = in.source_line;
    program->ops.push_back(decoder.op);
    program->opcodes.push_back(in.opcode());
  };
  for (size_t i = 0; i < flat->body.size(); ++i) decode(flat->body[i], i);
  ptx::Instruction end;
  end.parts = {"exit"};
  end.line = flat->body.empty() ? function->line : flat->body.back().line;
  decode(end, flat->body.size());
  if (all_errors) *all_errors = errors;
  if (!errors.empty()) {
    std::string more = errors.size() > 1 ? fmt::format(" (and {} more)", errors.size() - 1) : "";
    return make_error(ErrorCode::unsupported, "kernel {}, PTX line {}: {}: {}{}", kernel, errors[0].line,
                      errors[0].form, errors[0].reason, more);
  }

  std::vector<uint32_t> meets = meeting_points(state.nodes);
  for (size_t i = 0; i < program->ops.size(); ++i) program->ops[i].reconverge = meets[i];
  std::vector<uint32_t> offsets;
  program->register_bytes = assign_slots(state.nodes, state.classes, &offsets);
  state.finish(offsets);
  return program;
}

}  // namespace rtjit::emu

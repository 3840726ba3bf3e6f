#include "emulator/flatten.h"

#include <algorithm>

namespace rtjit::emu {
namespace {

using ptx::Operand;

class Flattener {
 public:
  Flattener(const ptx::Module& module, FlatKernel* out) : module_(module), out_(*out) {}

  // `names`: parameters of the callee -> variables of the caller.
  Status inline_body(const ptx::Function& f, const std::map<std::string, std::string>& names,
                     bool outermost) {
    if (std::find(calls_.begin(), calls_.end(), &f) != calls_.end())
      return make_error(ErrorCode::unsupported, "function {}: recursion is not supported by the emulator",
                        f.name);
    calls_.push_back(&f);
    int first_register = static_cast<int>(out_.registers.size());
    out_.registers.insert(out_.registers.end(), f.registers.begin(), f.registers.end());
    int first_label = static_cast<int>(out_.labels.size());
    out_.labels.resize(out_.labels.size() + f.labels.size() + 1, -1);
    int end_label = first_label + static_cast<int>(f.labels.size());
    for (const ptx::Variable& v : f.locals) {
      bool known = std::any_of(out_.variables.begin(), out_.variables.end(),
                               [&](const auto& o) { return o.name == v.name; });
      if (!known) out_.variables.push_back(v);
    }
    std::string prefix = fmt::format("{}#", calls_inlined_++);
    for (const ptx::BranchTargets& targets : f.branch_targets) {
      std::vector<int>& labels = out_.branch_targets[prefix + targets.name];
      for (int label : targets.labels) labels.push_back(first_label + label);
    }
    std::multimap<int, int> labels_at;
    for (size_t i = 0; i < f.labels.size(); ++i)
      labels_at.emplace(f.labels[i].instruction, first_label + static_cast<int>(i));
    for (size_t i = 0; i <= f.body.size(); ++i) {
      auto [begin, end] = labels_at.equal_range(static_cast<int>(i));
      for (auto label = begin; label != end; ++label)
        out_.labels[label->second] = static_cast<int>(out_.body.size());
      if (i == f.body.size()) break;
      ptx::Instruction in = f.body[i];
      if (in.guard >= 0) in.guard += first_register;
      for (Operand& operand : in.operands) remap(&operand, first_register, first_label, names);
      if (in.parts[0] == "brx") in.operands.back().name = prefix + in.operands.back().name;
      if (in.parts[0] == "call") {
        if (Status status = call(in, outermost); !status.ok()) return status;
        continue;
      }
      if (in.parts[0] == "ret" && !outermost) {
        in.parts = {"bra"};
        Operand target;
        target.kind = Operand::Kind::label;
        target.id = end_label;
        in.operands = {target};
      }
      out_.body.push_back(std::move(in));
    }
    out_.labels[end_label] = static_cast<int>(out_.body.size());
    calls_.pop_back();
    return {};
  }

 private:
  static void remap(Operand* operand, int first_register, int first_label,
                    const std::map<std::string, std::string>& names) {
    if (operand->kind == Operand::Kind::reg) operand->id += first_register;
    if (operand->kind == Operand::Kind::label) operand->id += first_label;
    if (operand->kind == Operand::Kind::symbol) {
      auto found = names.find(operand->name);
      if (found != names.end()) operand->name = found->second;
    }
    for (Operand& element : operand->elements) remap(&element, first_register, first_label, names);
  }

  Status call(const ptx::Instruction& in, bool) {
    size_t next = 0;
    std::vector<Operand> results, arguments;
    if (next < in.operands.size() && in.operands[next].kind == Operand::Kind::vector)
      results = in.operands[next++].elements;
    if (next >= in.operands.size() || in.operands[next].kind != Operand::Kind::symbol)
      return make_error(ErrorCode::unsupported,
                        "PTX line {}: {}: indirect calls are not supported by the emulator", in.line,
                        in.opcode());
    const std::string& name = in.operands[next++].name;
    if (next < in.operands.size() && in.operands[next].kind == Operand::Kind::vector)
      arguments = in.operands[next].elements;
    const ptx::Function* callee = nullptr;
    for (const ptx::Function& f : module_.functions) {
      if (f.name == name && (!callee || f.has_body)) callee = &f;
    }
    if (!callee)
      return make_error(ErrorCode::unsupported, "PTX line {}: function '{}' is not in the module", in.line,
                        name);
    if (!callee->has_body) {
      // Handled by the emulator itself, or refused, when the op is decoded.
      ptx::Instruction external = in;
      out_.body.push_back(std::move(external));
      return {};
    }
    if (in.guard >= 0)
      return make_error(ErrorCode::unsupported, "PTX line {}: a predicated call is not supported", in.line);
    if (results.size() != callee->results.size() || arguments.size() != callee->parameters.size())
      return make_error(ErrorCode::unsupported,
                        "PTX line {}: the call of '{}' does not match its declaration", in.line, name);
    std::map<std::string, std::string> names;
    for (size_t i = 0; i < results.size(); ++i) names[callee->results[i].name] = results[i].name;
    for (size_t i = 0; i < arguments.size(); ++i) names[callee->parameters[i].name] = arguments[i].name;
    return inline_body(*callee, names, false);
  }

  const ptx::Module& module_;
  FlatKernel& out_;
  std::vector<const ptx::Function*> calls_;
  int calls_inlined_ = 0;
};

}  // namespace

Result<FlatKernel> flatten(const ptx::Module& module, const ptx::Function& kernel) {
  FlatKernel flat;
  flat.source = &kernel;
  if (Status status = Flattener(module, &flat).inline_body(kernel, {}, true); !status.ok())
    return make_error(status.error().code, "kernel {}, {}", kernel.name, status.error().message);
  return flat;
}

}  // namespace rtjit::emu

// A kernel with every call replaced by the callee's body, so that control flow is one graph. Recursion is an
// error.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "emulator/ptx_ast.h"

namespace rtjit::emu {

struct FlatKernel {
  const ptx::Function* source = nullptr;
  std::vector<ptx::Instruction> body;  // operands' register and label ids are those below
  std::vector<ptx::Register> registers;
  std::vector<int> labels;  // label id -> index in body (body.size() = the end)
  std::map<std::string, std::vector<int>> branch_targets;  // name -> label ids
  std::vector<ptx::Variable> variables;                    // locals of the kernel and of everything inlined
};

Result<FlatKernel> flatten(const ptx::Module& module, const ptx::Function& kernel);

}  // namespace rtjit::emu

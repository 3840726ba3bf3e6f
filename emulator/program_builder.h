// PTX module + kernel name -> Program.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "emulator/decoder.h"
#include "emulator/memory.h"
#include "emulator/program.h"
#include "emulator/ptx_ast.h"

namespace rtjit::emu {

// A module whose global and constant variables live in device memory.
struct LoadedModule {
  std::unique_ptr<ptx::Module> module;
  std::map<std::string, SymbolAddress> variables;
};
Result<LoadedModule> load_module(std::string ptx_text, GlobalMemory& memory);
void unload_module(LoadedModule& module, GlobalMemory& memory);

struct UnsupportedInstruction {
  int line = 0;
  std::string form, reason;
};
// Every construct that is not supported is named with its PTX line; `all_errors` (optional) collects each of
// them.
Result<std::unique_ptr<Program>> build_program(const LoadedModule& module, const std::string& kernel,
                                               std::vector<UnsupportedInstruction>* all_errors = nullptr);

}  // namespace rtjit::emu

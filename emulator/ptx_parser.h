// PTX text -> Module. Everything unknown is an error that names the line.
#pragma once

#include <string>

#include "base/result.h"
#include "emulator/ptx_ast.h"

namespace rtjit::ptx {

Result<Module> parse(std::string text);

}  // namespace rtjit::ptx

// ldmatrix, stmatrix and movmatrix; wgmma.
#pragma once

#include "emulator/decoder.h"

namespace rtjit::emu {

void add_matrix_memory_instructions(InstructionTable& table);

}  // namespace rtjit::emu

// wgmma: products of a warpgroup with operands in shared memory (sm_90a).
#pragma once

#include "emulator/decoder.h"

namespace rtjit::emu {

void add_warpgroup_instructions(InstructionTable& table);

}  // namespace rtjit::emu

// Shared by the instructions that name their participating lanes.
#pragma once

#include "emulator/warp.h"

namespace rtjit::emu {

// False after a fault: the lanes named by the masks are not those that execute the instruction.
bool check_members(Warp& w, const Op& op, const uint32_t* masks);

}  // namespace rtjit::emu

// f16, f16x2, bf16 and bf16x2 forms of arithmetic instructions.
#pragma once

#include "emulator/decoder.h"

namespace rtjit::emu {

void decode_half_arithmetic(Decoder& d);

}  // namespace rtjit::emu

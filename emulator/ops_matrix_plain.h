#pragma once

#include "emulator/decoder.h"

namespace rtjit::emu {

// mma.sync with f64 elements or single bits, after .sync.aligned has been taken. False for other elements.
bool decode_plain_mma(Decoder& d);
void add_wmma_instructions(InstructionTable& table);

}  // namespace rtjit::emu

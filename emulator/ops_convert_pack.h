#pragma once

#include "emulator/decoder.h"

namespace rtjit::emu {

void decode_convert_pack(Decoder& d);  // after cvt.pack

}  // namespace rtjit::emu

// The narrow number formats of tensors, converted on the host.
#pragma once

#include <cstdint>

namespace rtjit {

// Round to nearest even; NaN stays NaN, overflow becomes infinity.
uint16_t bf16_from_float(float value);
float float_from_bf16(uint16_t bits);
uint16_t f16_from_float(float value);
float float_from_f16(uint16_t bits);

// E4M3 "fn": largest value 448, NaN 0x7F and 0xFF, no infinity. Encoding rounds to nearest even and
// saturates.
uint8_t e4m3_from_float(float value);
float float_from_e4m3(uint8_t bits);

// E8M0: 2^(bits - 127); 255 is NaN. There is no zero.
float float_from_e8m0(uint8_t bits);

// E2M1 (FP4): the low four bits are sign, two exponent bits, one mantissa bit; largest value 6.
float float_from_e2m1(uint8_t code);

}  // namespace rtjit

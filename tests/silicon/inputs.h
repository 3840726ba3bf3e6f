// Inputs that are the same on every machine: a fixed hash, and the values of each format that are worth
// trying.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rtjit::silicon {

uint64_t mix(uint64_t x);  // splitmix64's finaliser
uint64_t hash_bytes(const void* data, size_t bytes, uint64_t seed);

// Formats of operands. The last ones are domains of a function, not types.
enum class Kind { integer, f64, f32, f16, bf16, f16x2, bf16x2, e4m3x2, e5m2x2, angle, moderate, index };
struct OperandType {
  Kind kind;
  int bits;  // of the register: 16, 32 or 64
};
// From a PTX type ("s32", "f16x2") or a domain ("angle": f32 within 8 pi; "moderate": f32 within 2^-60 to
// 2^60; "index": an integer below 64).
OperandType parse_operand_type(std::string_view name);

// Value `index` of operand number `operand`. The first inputs cross the corner values of the first two
// operands; then random bits, half of them with moderate exponents.
uint64_t input_value(OperandType type, int operand, size_t index, uint64_t seed);

}  // namespace rtjit::silicon

// Element arithmetic of bulk reductions into global memory.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/double_nan.h"

namespace rtjit::emu {
namespace {

template <class T>
void integer(uint8_t* to, const uint8_t* from, ReduceOperation operation) {
  T a, b;
  std::memcpy(&a, to, sizeof(T));
  std::memcpy(&b, from, sizeof(T));
  using U = std::make_unsigned_t<T>;
  switch (operation) {
    case ReduceOperation::add:
      a = static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
      break;
    case ReduceOperation::min:
      a = std::min(a, b);
      break;
    case ReduceOperation::max:
      a = std::max(a, b);
      break;
    case ReduceOperation::inc:
      a = a >= b ? T(0) : static_cast<T>(a + 1);
      break;
    case ReduceOperation::dec:
      a = a == 0 || a > b ? b : static_cast<T>(a - 1);
      break;
    case ReduceOperation::bit_and:
      a = a & b;
      break;
    case ReduceOperation::bit_or:
      a = a | b;
      break;
    case ReduceOperation::bit_xor:
      a = a ^ b;
      break;
    case ReduceOperation::none:
      a = b;
      break;
  }
  std::memcpy(to, &a, sizeof(T));
}

float combine(float a, float b, ReduceOperation operation) {
  if (operation == ReduceOperation::min) return a < b || b != b ? a : b;
  if (operation == ReduceOperation::max) return a > b || b != b ? a : b;
  return a + b;
}

}  // namespace

u32 bytes_of(ReduceType type) {
  switch (type) {
    case ReduceType::u8_:
      return 1;
    case ReduceType::f16:
    case ReduceType::bf16:
      return 2;
    case ReduceType::u64_:
    case ReduceType::s64_:
    case ReduceType::f64:
    case ReduceType::b64:
      return 8;
    default:
      return 4;
  }
}

void reduce_element(uint8_t* to, const uint8_t* from, ReduceOperation operation, ReduceType type) {
  switch (type) {
    case ReduceType::u32_:
    case ReduceType::b32:
      return integer<uint32_t>(to, from, operation);
    case ReduceType::s32_:
      return integer<int32_t>(to, from, operation);
    case ReduceType::u64_:
    case ReduceType::b64:
      return integer<uint64_t>(to, from, operation);
    case ReduceType::s64_:
      return integer<int64_t>(to, from, operation);
    case ReduceType::u8_:
      return integer<uint8_t>(to, from, operation);
    case ReduceType::f16:
    case ReduceType::bf16: {
      uint16_t a, b;
      std::memcpy(&a, to, 2);
      std::memcpy(&b, from, 2);
      bool half = type == ReduceType::f16;
      float r = combine(half ? half_to_float(a) : bf16_to_float(a),
                        half ? half_to_float(b) : bf16_to_float(b), operation);
      a = static_cast<uint16_t>(half ? float_to_half(r) : float_to_bf16(r));
      std::memcpy(to, &a, 2);
      return;
    }
    case ReduceType::f32: {
      float a, b;
      std::memcpy(&a, to, 4);
      std::memcpy(&b, from, 4);
      a = combine(a, b, operation);
      if (std::isnan(a)) a = as_float(kCanonicalNan);
      std::memcpy(to, &a, 4);
      return;
    }
    case ReduceType::f64: {
      double a, b;
      std::memcpy(&a, to, 8);
      std::memcpy(&b, from, 8);
      a = add_in_global_memory(a, b);
      std::memcpy(to, &a, 8);
      return;
    }
  }
}

}  // namespace rtjit::emu

// The kernels that run on real silicon and on the emulator with the same inputs. Every case is one
// instruction form: a PTX module with a kernel `k(out, in[, map_a, map_b])`, its input bytes, and how results
// compare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/device.h"

namespace rtjit::silicon {

// What a word of the output is, where a bound applies.
enum class Element { bits, f32, f16x2, bf16x2, f64 };

// How far the emulator may be from the silicon; both zero: bit for bit (then NaN payloads count too).
struct Bound {
  double ulps = 0;      // of the element's format
  double absolute = 0;  // also allowed
  const char* reason = "";
  bool exact() const { return ulps == 0 && absolute == 0; }
};

// A two-dimensional tensor map over the input or the output buffer.
struct MapSpec {
  bool over_output = false;
  size_t offset = 0;  // into that buffer, bytes
  DType dtype = DType::i32;
  std::vector<uint64_t> dims;
  std::vector<uint32_t> box;
  int swizzle = 0;
};

struct Case {
  std::string name;  // the form's text; unique
  std::string ptx;
  std::vector<uint8_t> input;
  size_t output_bytes = 0;  // zeroed before the launch; at most the first `compared_bytes` are results
  size_t compared_bytes = 0;
  uint32_t grid = 1, block = 32;
  Element element = Element::bits;
  Bound bound;
  std::vector<MapSpec> maps;
};

// Every case, built once, in a fixed order.
const std::vector<Case>& all_cases();
const Case* find_case(std::string_view name);

// Changes when the kernel or its inputs do: a record made before is then no longer used.
uint64_t fingerprint(const Case& c);

// The families that all_cases() joins.
void add_integer_cases(std::vector<Case>* cases);
void add_float_cases(std::vector<Case>* cases);
void add_convert_cases(std::vector<Case>* cases);
void add_memory_cases(std::vector<Case>* cases);
void add_atomic_cases(std::vector<Case>* cases);
void add_warp_cases(std::vector<Case>* cases);
void add_mma_cases(std::vector<Case>* cases);
void add_wgmma_cases(std::vector<Case>* cases);
void add_copy_cases(std::vector<Case>* cases);

}  // namespace rtjit::silicon

// The arguments of `rtjit emulate`: what stands behind --arg, checked against the kernel's parameter list.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "emulator/ptx_ast.h"

namespace rtjit {

// An element type by its name: how PTX names it, and how NumPy does.
struct ElementFormat {
  const char* name;
  const char* npy;  // formats that NumPy lacks appear as unsigned integers
  int bytes;
  char kind;  // 'u' 's' 'f', 'b' bits of any kind
};
Result<ElementFormat> element_format(std::string_view name);

struct KernelArgument {
  ElementFormat format{};
  bool is_buffer = false;
  std::string bytes;           // of a scalar or structure; a buffer's contents at the start
  bool initialised = true;     // false: a buffer that nobody has written
  std::vector<int64_t> shape;  // of a buffer
  std::string out;             // file that a buffer is written to afterwards, "" for none
  size_t buffer_bytes() const;
};

// "u32=7", "bytes=00ff", "buffer=f32,4x8,seed=1,out=x.npy". Reads the files that it names.
Result<KernelArgument> parse_kernel_argument(const std::string& text);
// What parse_kernel_argument takes, for help texts.
extern const char* const kKernelArgumentHelp;

// Count and types against the kernel's .param list.
Status check_arguments(const ptx::Function& kernel, const std::vector<KernelArgument>& arguments);

// "u64 param_0", "16 B align 8 param_1": a parameter for people.
std::string describe_parameter(const ptx::Variable& parameter);

}  // namespace rtjit

// What the assembler says in words: resource facts of its verbose log, and the reasons why it refused.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rtjit {

struct PtxasKernelFacts {
  std::string symbol;
  int registers = 0, barriers = 0;
  int stack = 0, spill_stores = 0, spill_loads = 0;  // bytes
  int smem = 0;                                      // bytes the kernel declares
};

// The facts of each kernel in a log made with --ptxas-options=-v, in the log's order.
std::vector<PtxasKernelFacts> parse_ptxas_log(std::string_view log);

struct PtxasRefusal {
  enum class Kind {
    none,       // the assembler did not refuse (the front end may have)
    feature,    // `words`: the feature or instruction as the assembler names it, ".tile::scatter4"
    registers,  // `number`: the registers per thread that were not enough
    smem,       // `number`: bytes needed, `limit`: bytes allowed
    other,      // `words`: the first error
  };
  Kind kind = Kind::none;
  std::string words;
  int line = 0;  // of the PTX, 0 when not told
  long long number = 0, limit = 0;
};

// Why the assembler refused; of several reasons the first in the order above.
PtxasRefusal parse_ptxas_refusal(std::string_view log);

}  // namespace rtjit

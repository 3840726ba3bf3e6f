// Cuts PTX text into its statements: what the feature scanner walks over.
#pragma once

#include <string_view>
#include <vector>

namespace rtjit {

struct PtxStatement {
  int line = 0;             // 1-based, where the opcode or directive begins
  std::string_view opcode;  // "mma.sync.aligned.m16n8k16...", or a directive's first word ".entry"
  std::string_view rest;    // operands, or the directive's remainder; views into the text, comments included
};

// Comments, strings, labels and predicates are skipped. Any text is accepted; what is not PTX gives odd
// statements, never a crash.
std::vector<PtxStatement> split_ptx(std::string_view ptx);

}  // namespace rtjit

// Which instruction forms a PTX file needs, and which of them the emulator lacks.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct CoverageForm {
  std::string form;    // as written: "ld.global.v4.u32"
  int count = 0;       // times in the text
  int first_line = 0;  // in the PTX text
  bool missing = false;
  std::string reason;  // when missing
};

struct Coverage {
  std::string target;  // of the PTX text
  int kernels = 0;
  std::vector<CoverageForm> forms;    // missing ones first, then by how often they occur
  std::vector<std::string> problems;  // what keeps a whole kernel from running, such as recursion
  bool complete() const;
};

// An error when the text is not PTX that can be read at all. Functions that no kernel calls are counted, not
// judged.
Result<Coverage> ptx_coverage(const std::string& ptx);

}  // namespace rtjit

// The scanner that finds out which features a kernel's PTX uses.
#include <algorithm>

#include "compiler/ptx_scan.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view ptx = rtjit::fuzz::text(data, size);
  const int lines = 1 + static_cast<int>(std::count(ptx.begin(), ptx.end(), '\n'));
  for (const rtjit::FeatureUse& use : rtjit::scan_ptx(ptx)) {
    rtjit::fuzz::expect(!use.feature.empty(), "a use names its feature");
    rtjit::fuzz::expect(use.line >= 1 && use.line <= lines, "a use is on a line of the text");
  }
  return 0;
}

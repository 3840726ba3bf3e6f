#include "runtime/prebuilt.h"

#include "base/environment.h"

// cmake/RtjitPrebuilt.cmake writes the file and sets its name.
asm(R"(
  .section .rodata
  .balign 16
  .hidden rtjit_prebuilt_begin
  .global rtjit_prebuilt_begin
rtjit_prebuilt_begin:
  .incbin ")" RTJIT_PREBUILT_FILE R"("
  .hidden rtjit_prebuilt_end
  .global rtjit_prebuilt_end
rtjit_prebuilt_end:
  .byte 0
  .text
)");
extern "C" const char rtjit_prebuilt_begin[], rtjit_prebuilt_end[];

namespace rtjit {

std::string_view prebuilt_database() {
  if (environment("RTJIT_PREBUILT") == "0") return {};
  return {rtjit_prebuilt_begin, static_cast<size_t>(rtjit_prebuilt_end - rtjit_prebuilt_begin)};
}

}  // namespace rtjit

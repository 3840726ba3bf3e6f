// The reader of cubins: ELF files that come out of caches and packs.
#include "compiler/cubin.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto kernels = rtjit::read_cubin(rtjit::fuzz::text(data, size));
  if (!kernels.ok()) rtjit::fuzz::expect(!kernels.error().message.empty(), "an error has a message");
  return 0;
}

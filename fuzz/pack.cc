// The reader of packs: files from elsewhere.
#include "cache/pack.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto pack = rtjit::read_pack(rtjit::fuzz::as_file(data, size));
  if (!pack.ok()) rtjit::fuzz::expect(!pack.error().message.empty(), "an error has a message");
  return 0;
}

// The text form of a cache: what is imported may come from anywhere.
#include "cache/text_form.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rtjit;
  const auto contents = parse_text(fuzz::text(data, size));
  if (!contents.ok()) {
    fuzz::expect(!contents.error().message.empty(), "an error has a message");
    return 0;
  }
  const std::string written = to_text(*contents);
  const auto again = parse_text(written);
  fuzz::expect(again.ok(), "what was read can be written and read");
  fuzz::expect(to_text(*again) == written, "what was written reads back as itself");
  return 0;
}

// Manifests: users write them. Whatever the text, parsing ends with a template or an error that says
// something.
#include "templates/manifest.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rtjit;
  static const std::map<std::string, std::string> sources = {{"scale_add/scale_add.cuh", "namespace a {}"},
                                                             {"widget/widget.cuh", "namespace b {}"}};
  const auto parsed = parse_manifest(fuzz::text(data, size), "template.toml", sources);
  if (!parsed.ok()) {
    fuzz::expect(!parsed.error().message.empty(), "an error has a message");
    return 0;
  }
  // What the parser accepted, the rest of the library can use.
  const auto problem = make_problem(*parsed, {});
  if (problem.ok()) (void)problem->canonical();
  for (const Stage& stage : parsed->stages) {
    for (const Variant& variant : stage.variants) (void)make_config(variant, {});
  }
  return 0;
}

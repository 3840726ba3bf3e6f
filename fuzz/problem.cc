// Problem and config texts: engines pass them, and databases hold them. The first byte chooses the template.
#include "base/text.h"
#include "fuzz/fuzz.h"
#include "templates/registry.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rtjit;
  static const auto registry = *TemplateRegistry::create();
  static const std::vector<std::string> names = registry->names();
  if (size == 0) return 0;
  const auto tmpl = *registry->find(names[data[0] % names.size()]);
  const auto given = parse_key_values(fuzz::text(data + 1, size - 1));
  if (!given.ok()) return 0;
  if (const auto problem = registry->problem(*tmpl, *given); problem.ok()) {
    // The canonical text is what rows are found by: reading it back must give the same problem.
    const auto again = parse_key_values(problem->canonical());
    fuzz::expect(again.ok(), "a canonical problem is key=value text");
    const auto same = registry->problem(*tmpl, *again);
    fuzz::expect(same.ok() && same->canonical() == problem->canonical(),
                 "a canonical problem reads back as itself");
  }
  for (const Stage& stage : tmpl->stages) {
    for (const Variant& variant : stage.variants) {
      const auto config = make_config(variant, *given);
      if (!config.ok()) continue;
      const auto again = parse_key_values(config->canonical());
      fuzz::expect(again.ok(), "a canonical config is key=value text");
      const auto same = make_config(variant, *again);
      fuzz::expect(same.ok() && same->canonical() == config->canonical(),
                   "a canonical config reads back as itself");
    }
  }
  return 0;
}

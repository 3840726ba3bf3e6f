#include "tools/rtjit/pack_text.h"

#include <fmt/format.h>

#include "base/text.h"
#include "tools/rtjit/table.h"

namespace rtjit {

void print_manifest(const PackManifest& manifest) {
  fmt::print("target     {}\nlibrary    {}\n", manifest.target, manifest.library_version);
  for (const std::string& compiler : manifest.compilers) fmt::print("compiler   {}\n", compiler);
  Table table({{"template"},
               {"problem"},
               {"winners", Table::Align::right},
               {"measured", Table::Align::right},
               {"binaries", Table::Align::right},
               {"bytes", Table::Align::right}});
  for (const PackedProblem& problem : manifest.problems) {
    table.add({problem.template_name, problem.label.empty() ? problem.problem : problem.label,
               with_thousands(problem.winners), with_thousands(problem.measured),
               with_thousands(problem.binaries), with_thousands(problem.binary_bytes)});
  }
  fmt::print("{}", table.render());
}

}  // namespace rtjit

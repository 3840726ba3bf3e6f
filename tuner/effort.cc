#include "tuner/effort.h"

#include "base/text.h"

namespace rtjit {
namespace {

struct Effort {
  const char* name;
  int configs, samples, passes;
};
constexpr Effort kEfforts[] = {{"quick", 3, 5, 0}, {"default", 8, 9, 7}, {"thorough", 48, 21, 11}};

}  // namespace

Result<StrategyOptions> effort_options(const std::string& name) {
  for (const Effort& effort : kEfforts) {
    if (name != effort.name) continue;
    StrategyOptions options;
    options.configs = effort.configs;
    options.samples = effort.samples;
    options.passes = effort.passes;
    return options;
  }
  return make_error(ErrorCode::invalid_argument, "there is no effort '{}'; efforts are {}", name,
                    join(effort_names(), ", "));
}

std::vector<std::string> effort_names() {
  std::vector<std::string> names;
  for (const Effort& effort : kEfforts) names.emplace_back(effort.name);
  return names;
}

}  // namespace rtjit

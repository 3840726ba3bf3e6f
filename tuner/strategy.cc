#include "tuner/strategy.h"

#include <algorithm>

#include "base/text.h"
#include "tuner/strategies.h"

namespace rtjit {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Strategy> (*make)(const StrategyOptions&);
};
constexpr Entry kStrategies[] = {{"exhaustive", make_exhaustive},
                                 {"model", make_model},
                                 {"halving", make_halving},
                                 {"random", make_random}};

}  // namespace

Result<std::unique_ptr<Strategy>> make_strategy(const StrategyOptions& options) {
  if (options.configs < 1 || options.samples < 1) {
    return make_error(
        ErrorCode::invalid_argument,
        "a search looks at one config and one sample at least; {} configs and {} samples were asked",
        options.configs, options.samples);
  }
  if (options.passes < 0) {
    return make_error(ErrorCode::invalid_argument, "winners cannot be settled in {} passes; 0 is without",
                      options.passes);
  }
  for (const Entry& entry : kStrategies) {
    if (options.name == entry.name) return entry.make(options);
  }
  return make_error(ErrorCode::invalid_argument, "there is no strategy '{}'; strategies are {}", options.name,
                    join(strategy_names(), ", "));
}

std::vector<std::string> strategy_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kStrategies) names.emplace_back(entry.name);
  return names;
}

std::vector<size_t> finalists(std::span<const Prospect> prospects) {
  int most = 0;
  for (const Prospect& prospect : prospects) {
    if (prospect.measured()) most = std::max(most, prospect.asked);
  }
  std::vector<size_t> result;
  for (size_t i = 0; i < prospects.size(); ++i) {
    if (prospects[i].measured() && prospects[i].asked == most) result.push_back(i);
  }
  return result;
}

}  // namespace rtjit

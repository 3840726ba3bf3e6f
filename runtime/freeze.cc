// Deciding a pipeline's launches ahead: what launch() computes each time is computed once.
#include <algorithm>

#include "base/text.h"
#include "runtime/launch_frame.h"

namespace rtjit {

Result<FrozenParts> Pipeline::freeze(const BoundArguments& bound, DevicePtr workspace,
                                     int64_t workspace_bytes, DevicePtr packed, int64_t packed_bytes) const {
  FrozenParts parts;
  Frame frame;
  Result<bool> anything = begin(bound, workspace, workspace_bytes, packed, packed_bytes, &frame);
  if (!anything) return anything.error();
  if (!*anything) return parts;
  const int arguments = static_cast<int>(plan_.source().arguments.size());
  std::array<int, kMaxTensorMaps> map_index;
  map_index.fill(-1);
  for (size_t i = 0; i < kernels_.size(); ++i) {
    LaunchConfig config;
    Result<bool> launches = evaluate(static_cast<int>(i), &frame, &config);
    if (!launches) return launches.error();
    if (!*launches) continue;
    parts.launches.push_back({kernels_[i], config, parts.map_of.size()});
    const std::vector<PlanArgument>& parameters = plan_.launches()[i].arguments;
    for (size_t a = 0; a < parameters.size(); ++a) {
      const PlanArgument& parameter = parameters[a];
      if (parameter.kind != PlanArgument::Kind::tensor_map) {
        if (parameter.kind == PlanArgument::Kind::pointer && parameter.source < arguments) {
          parts.patches.push_back({parts.map_of.size(), parameter.source});
        }
        parts.values.push_back(frame.arguments[a]);
        parts.map_of.push_back(-1);
        continue;
      }
      const auto slot = static_cast<size_t>(parameter.source);
      if (map_index[slot] < 0) {
        map_index[slot] = static_cast<int>(parts.maps.size());
        parts.maps.push_back(frame.maps[slot]);
        const PlanTensorMap& map = plan_.tensor_maps()[slot];
        const auto when = map.when.evaluate(frame.values);
        if (map.base < arguments && when && *when != 0) {
          auto request = map_request(static_cast<int>(slot), frame);
          if (!request) return request.error();
          parts.map_patches.push_back({static_cast<size_t>(map_index[slot]), map.base, *request});
        }
      }
      parts.map_of.push_back(map_index[slot]);
    }
  }
  if (parts.map_of.size() > FrozenLaunch::kMaxValues || parts.maps.size() > FrozenLaunch::kMaxMaps) {
    return make_error(ErrorCode::unsupported,
                      "{}: {} kernel parameters and {} tensor maps, a frozen launch may have {} and {}",
                      plan_.source().name, parts.map_of.size(), parts.maps.size(), FrozenLaunch::kMaxValues,
                      FrozenLaunch::kMaxMaps);
  }
  return parts;
}

}  // namespace rtjit

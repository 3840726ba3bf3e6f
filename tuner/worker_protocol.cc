#include "tuner/worker_protocol.h"

#include <nlohmann/json.hpp>

#include "base/base64.h"

namespace rtjit {

using nlohmann::json;

json binary_to_json(const Binary& binary, bool with_ptx) {
  json kernels = json::array();
  for (const Binary::Kernel& kernel : binary.kernels) {
    const KernelResources& r = kernel.resources;
    kernels.push_back({{"name", kernel.name_expression},
                       {"symbol", kernel.symbol},
                       {"registers", r.registers},
                       {"static_smem", r.static_smem},
                       {"stack", r.stack},
                       {"max_threads", r.max_threads}});
  }
  return {{"op", "binary"},
          {"key", binary.key},
          {"compiler", binary.compiler},
          {"cubin", base64_encode(binary.cubin)},
          {"ptx", with_ptx ? base64_encode(binary.ptx) : ""},
          {"kernels", std::move(kernels)}};
}

Result<Binary> binary_from_json(const json& message) {
  Binary binary;
  binary.key = message.at("key");
  binary.compiler = message.at("compiler");
  auto cubin = base64_decode(message.at("cubin").get<std::string>());
  auto ptx = base64_decode(message.at("ptx").get<std::string>());
  if (!cubin || !ptx) return make_error(ErrorCode::corrupt, "binary {} is not base64", binary.key);
  binary.cubin = std::move(*cubin);
  binary.ptx = std::move(*ptx);
  for (const json& entry : message.at("kernels")) {
    Binary::Kernel kernel;
    kernel.name_expression = entry.at("name");
    kernel.symbol = kernel.resources.symbol = entry.at("symbol");
    kernel.resources.registers = entry.at("registers");
    kernel.resources.static_smem = entry.at("static_smem");
    kernel.resources.stack = entry.at("stack");
    kernel.resources.max_threads = entry.at("max_threads");
    binary.kernels.push_back(std::move(kernel));
  }
  return binary;
}

}  // namespace rtjit

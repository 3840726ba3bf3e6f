#include "runtime/probe_kernel.h"

#include <algorithm>

namespace rtjit {
namespace {

// Neighbours' values come through shared memory, so that loads, stores and a barrier have to work.
constexpr const char* kSource = R"cuda(
#pragma once
namespace rtjit {
__global__ void probe(unsigned* out) {
  __shared__ unsigned values[128];
  unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  values[threadIdx.x] = 3u * i + 1u;
  __syncthreads();
  out[i] = values[threadIdx.x ^ 1u];
}
}  // namespace rtjit
)cuda";
constexpr uint32_t kThreads = 128;

// Device memory that goes with the object.
struct Memory {
  Device& device;
  DevicePtr pointer;
  ~Memory() { device.free(pointer); }
};

}  // namespace

CompileRequest probe_request(const Target& target, std::chrono::milliseconds time_limit) {
  auto tmpl = std::make_shared<Template>();
  tmpl->name = "probe";
  tmpl->sources["probe/probe.cuh"] = kSource;
  CompileRequest request;
  request.tmpl = std::move(tmpl);
  request.source = "probe/probe.cuh";
  request.name_expressions = {"rtjit::probe"};
  request.target = target;
  request.time_limit = time_limit;
  return request;
}

Status run_probe(Device& device, const Binary& binary) {
  if (binary.kernels.empty()) return make_error(ErrorCode::internal, "the probe's binary has no kernel");
  auto module = device.load(binary);
  if (!module) return module.error();
  auto kernel = (*module)->kernel(binary.kernels.front().symbol);
  if (!kernel) return kernel.error();
  LaunchConfig config;
  config.grid[0] = 2 * static_cast<uint32_t>(std::max(1, device.info().sm_count));
  config.block[0] = kThreads;
  std::vector<uint32_t> values(size_t{config.grid[0]} * kThreads);
  const size_t bytes = values.size() * sizeof(uint32_t);
  auto allocated = device.allocate(bytes);
  if (!allocated) return allocated.error();
  Memory memory{device, *allocated};
  if (Status s = device.fill(memory.pointer, 0, bytes, nullptr); !s) return s;
  void* arguments[] = {&memory.pointer};
  if (Status s = device.launch(**kernel, config, arguments, nullptr); !s) return s;
  if (Status s = device.copy_to_host(values.data(), memory.pointer, bytes); !s) return s;
  for (uint32_t i = 0; i < values.size(); ++i) {
    const uint32_t want = 3 * (i ^ 1u) + 1;
    if (values[i] == want) continue;
    return make_error(ErrorCode::device_fault, "the probe kernel wrote {} instead of {} at {}", values[i],
                      want, i);
  }
  return {};
}

}  // namespace rtjit

// Launches moe_mxfp4 from a filled cache in a process of its own, and shows that no compiler was needed:
//   cache_only DATABASE [PROBLEM] [TOKENS]      PROBLEM: "preset=gpt-oss-20b" if not given; TOKENS: 64
// The result is compared with the reference variant's. Prints JSON. Exit code: 0 right and without NVRTC,
// 1 wrong or failed, 2 NVRTC was loaded.
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "base/float_formats.h"
#include "runtime/cuda_device.h"
#include "runtime/handle.h"
#include "tests/templates/moe_mxfp4/moe_oracle.h"
#include "tuner/workbench.h"

namespace rtjit {
namespace {

using Clock = std::chrono::steady_clock;
double ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// The first loaded library whose path has `text` in it; "" when there is none.
std::string loaded_library(const std::string& text) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find(text) != std::string::npos) return line.substr(line.find('/'));
  }
  return "";
}

Result<std::vector<uint16_t>> run(Device& device, const KernelHandle& handle, DeviceArguments& arguments,
                                  DevicePtr packed, int64_t tokens) {
  auto bytes = handle.workspace_bytes(tokens);
  if (!bytes) return bytes.error();
  auto workspace = GuardedMemory::allocate(device, *bytes);
  if (!workspace) return workspace.error();
  if (Status status = arguments.poison_outputs(0xFF); !status) return status.error();
  Status status = handle.launch(arguments.tensors(), packed, handle.packed_bytes(), workspace->data(),
                                workspace->bytes(), nullptr);
  if (!status) return status.error();
  OutputBytes outputs;
  if (status = arguments.read_outputs(device, &outputs); !status) return status.error();  // waits
  std::vector<uint16_t> output(outputs.at(0).size() / 2);
  std::memcpy(output.data(), outputs.at(0).data(), output.size() * 2);
  return output;
}

int fail(const Error& error) {
  fmt::print(stderr, "cache_only: {}\n", error.message);
  return 1;
}

int run_main(int argc, char** argv) {
  const Clock::time_point start = Clock::now();
  const std::string database = argv[1], problem = argc > 2 ? argv[2] : "preset=gpt-oss-20b";
  const int64_t tokens = argc > 3 ? std::stoll(argv[3]) : 64;

  auto device_opened = open_cuda_device(0);  // creates the driver's context, which every program must
  if (!device_opened) return fail(device_opened.error());
  const Clock::time_point device_ready = Clock::now();

  ContextOptions options;
  options.database = database;
  auto context = Context::open(std::move(options), std::move(*device_opened));
  if (!context) return fail(context.error());
  Device& device = (*context)->device();
  OpenOptions open;
  open.max_bucket = tokens;
  auto handle = KernelHandle::open(*context, "moe_mxfp4", problem, open);
  if (!handle) return fail(handle.error());
  const Clock::time_point opened = Clock::now();

  // An engine has its weights and tokens already; drawing them is not part of what is timed.
  InputCase input;
  input.value = tokens;
  const LaunchPlan& plan = (*handle)->pipeline(tokens).plan();
  const Problem& drawn = (*handle)->problem();
  auto tmpl = (*context)->registry().find("moe_mxfp4");
  if (!tmpl) return fail(tmpl.error());
  auto packing = LaunchPlan::create(*tmpl, drawn, {}, device.info().facts(), /*packing=*/true);
  if (!packing) return fail(packing.error());
  auto weights = DeviceArguments::create(device, *packing, drawn, ArgumentSpec::Role::pack, input);
  if (!weights) return fail(weights.error());
  auto arguments = DeviceArguments::create(device, plan, drawn, ArgumentSpec::Role::launch, input);
  if (!arguments) return fail(arguments.error());
  auto packed = GuardedMemory::allocate(device, (*handle)->packed_bytes());
  if (!packed) return fail(packed.error());
  if (Status status = device.synchronize(nullptr); !status) return fail(status.error());

  const Clock::time_point data_ready = Clock::now();
  Status status = (*handle)->pack(weights->tensors(), packed->data(), packed->bytes(), nullptr);
  if (status) status = device.synchronize(nullptr);
  if (!status) return fail(status.error());
  const Clock::time_point packed_ready = Clock::now();
  auto output = run(device, **handle, *arguments, packed->data(), tokens);
  if (!output) return fail(output.error());
  const Clock::time_point done = Clock::now();
  const std::string nvrtc = loaded_library("nvrtc");
  const bool compiler_opened = (*context)->compiler_opened();

  // Only now: the reference may have to be compiled.
  OpenOptions exact;
  exact.max_bucket = tokens;
  exact.configs = {"gemm1=reference:acc=f64", "gemm2=reference:acc=f64"};
  auto reference = KernelHandle::open(*context, "moe_mxfp4", problem, exact);
  if (!reference) return fail(reference.error());
  auto expected_bits = run(device, **reference, *arguments, packed->data(), tokens);
  if (!expected_bits) return fail(expected_bits.error());
  // What is drawn has a finite result everywhere. Outputs that nobody wrote still hold the poison, which is
  // NaN, and would agree with each other.
  std::vector<double> expected;
  bool all_zero = true, all_finite = true;
  for (uint16_t bits : *expected_bits) {
    expected.push_back(float_from_bf16(bits));
    all_zero = all_zero && expected.back() == 0;
    all_finite = all_finite && std::isfinite(expected.back());
  }
  const int width = static_cast<int>(expected.size() / static_cast<size_t>(tokens));
  const oracle::MoeError error = oracle::compare(expected, *output, width);
  const bool right = error.ok() && !all_zero && all_finite;

  fmt::print(
      "{{\"right\": {}, \"rel_l2\": {:.3e}, \"max_per_rms\": {:.3e}, \"nvrtc_loaded\": \"{}\", "
      "\"compiler_opened\": "
      "{}, \"tokens\": {}, \"start_to_device_ms\": {:.2f}, \"open_ms\": {:.2f}, \"pack_ms\": {:.2f}, "
      "\"first_launch_ms\": {:.2f}, \"first_output_without_context_ms\": {:.2f}, \"provenance\": \"{}\"}}\n",
      right, error.rel_l2, error.max_per_rms, nvrtc, compiler_opened, tokens, ms_between(start, device_ready),
      ms_between(device_ready, opened), ms_between(data_ready, packed_ready), ms_between(packed_ready, done),
      ms_between(device_ready, opened) + ms_between(data_ready, done), (*handle)->provenance(tokens));
  if (!right) return 1;
  return nvrtc.empty() && !compiler_opened ? 0 : 2;
}

}  // namespace
}  // namespace rtjit

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    fmt::print(stderr, "usage: cache_only DATABASE [PROBLEM] [TOKENS]\n");
    return 1;
  }
  try {
    return rtjit::run_main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "cache_only: {}\n", error.what());
    return 1;
  }
}

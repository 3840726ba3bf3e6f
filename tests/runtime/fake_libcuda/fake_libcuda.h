// What the tests see of the driver's double: fake_libcuda.cc is a libcuda.so.1 without a GPU.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

namespace rtjit::testing {

// Settings are set while no other thread calls the driver.
struct FakeCuda {
  static constexpr int kMaxDevices = 8;
  using Count = std::atomic<int>;

  // Settings.
  int init_result = 0, device_count = 1, version = 13000;
  int major = 9, minor = 0, smem_optin = 232448, sm_count = 132;
  int fail_launch = 0;   // returned by cuLaunchKernelEx
  int fail_load = 0;     // returned by cuModuleLoadDataEx
  int fail_context = 0;  // returned by cuDevicePrimaryCtxRetain
  int pageable_memory_access = 0;
  bool record = true;  // what the last launch was; off where several threads launch

  // What happened.
  Count pushes{0}, pops{0}, launches{0}, synchronizations{0}, loads{0}, unloads{0}, retains{0}, releases{0};
  Count function_loads{0}, smem_raises{0}, last_smem_limit{0}, captures{0}, captured_launches{0},
      graph_launches{0}, frees{0};
  Count live_events{0}, live_streams{0};
  Count launches_on[kMaxDevices] = {};
  unsigned grid[3] = {}, block[3] = {}, dynamic_smem = 0, attribute_count = 0;
  unsigned attribute_ids[4] = {}, cluster[3] = {};
  int pdl = 0;
  void* stream = nullptr;
  unsigned tensor_map_rank = 0;
  int tensor_map_dtype = -1, tensor_map_swizzle = -1;
};

// Exported by the library:
//   FakeCuda* fake_cuda();        the one state
//   void fake_cuda_reset();       settings, counts, captures, memory; and the calling thread's contexts

}  // namespace rtjit::testing

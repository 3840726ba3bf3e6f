// Runs a case on a device through a kernel handle, with everything around it watched.
#pragma once

#include <memory>
#include <vector>

#include "runtime/handle.h"
#include "tests/device/cases/test_case.h"
#include "tuner/guarded_memory.h"

namespace rtjit::testing {

// A case's arguments in device memory, guard zones around each. Weights are packed by the first handle that
// runs and shared by all that follow: one layout serves every config. The device outlives it.
class CaseOnDevice {
 public:
  static Result<std::unique_ptr<CaseOnDevice>> create(Device& device, TestCase test);

  // Launches twice, from output and workspace poisoned differently, and judges: the limits, equal bits,
  // nothing written between rows or outside of any buffer, inputs as they were. An Error is the library's.
  Result<Judgement> run(const KernelHandle& handle);

  const TestCase& test() const { return test_; }
  std::vector<TensorArg> launch_arguments() const { return arguments(test_.launch, launch_memory_); }
  std::vector<TensorArg> pack_arguments() const { return arguments(test_.pack, pack_memory_); }
  Status pack(const KernelHandle& handle);
  DevicePtr packed() const { return packed_.data(); }
  int64_t packed_bytes() const { return packed_.bytes(); }
  // The output's elements as they are on the device, dense.
  Result<std::vector<unsigned char>> output() const;
  Status poison_output(uint8_t byte);
  // Overwrites one argument of a launch: as many bytes as it has.
  Status replace(const std::string& name, const std::vector<unsigned char>& bytes);

 private:
  CaseOnDevice(Device& device, TestCase test) : device_(device), test_(std::move(test)) {}
  static std::vector<TensorArg> arguments(const std::vector<HostArgument>& host,
                                          const std::vector<GuardedMemory>& memory);
  Status upload(const std::vector<HostArgument>& host, std::vector<GuardedMemory>* memory);
  Result<std::vector<unsigned char>> launch_once(const KernelHandle& handle, uint8_t poison,
                                                 std::string* wrong);
  Result<std::string> damage(const GuardedMemory& workspace) const;
  Result<std::string> changed_inputs() const;

  Device& device_;
  TestCase test_;
  std::vector<GuardedMemory> launch_memory_, pack_memory_;  // parallel to test_.launch, test_.pack
  GuardedMemory packed_;
  std::string layout_;
  size_t output_ = 0;  // index into test_.launch
};

}  // namespace rtjit::testing

#include "tests/device/cases/case_on_device.h"

#include <algorithm>

namespace rtjit::testing {
namespace {

// Rows of the innermost dimension: calls `row(offset, dense_offset, bytes)` for each, in bytes.
template <typename Row>
void for_each_row(const HostArgument& argument, Row row) {
  const int64_t item = bytes_of(argument.dtype);
  if (argument.elements_from_first_to_last() == 0) return;
  const int64_t rows = argument.shape[0], columns = argument.shape[1];
  const int64_t stride = argument.stride.empty() ? columns : argument.stride[0];
  for (int64_t r = 0; r < rows; ++r) row(r * stride * item, r * columns * item, columns * item);
}

}  // namespace

std::vector<TensorArg> CaseOnDevice::arguments(const std::vector<HostArgument>& host,
                                               const std::vector<GuardedMemory>& memory) {
  std::vector<TensorArg> result;
  for (size_t i = 0; i < host.size(); ++i) {
    TensorArg& tensor = result.emplace_back();
    tensor.name = host[i].name;
    tensor.dtype = host[i].dtype;
    tensor.data = memory[i].data();
    tensor.rank = static_cast<int>(host[i].shape.size());
    std::copy(host[i].shape.begin(), host[i].shape.end(), tensor.shape.begin());
    std::copy(host[i].stride.begin(), host[i].stride.end(), tensor.stride.begin());
  }
  return result;
}

Status CaseOnDevice::upload(const std::vector<HostArgument>& host, std::vector<GuardedMemory>* memory) {
  for (const HostArgument& argument : host) {
    const int64_t bytes = argument.elements_from_first_to_last() * bytes_of(argument.dtype);
    auto allocated = GuardedMemory::allocate(device_, bytes);
    if (!allocated) return allocated.error();
    if (!argument.output && bytes > 0) {
      if (static_cast<int64_t>(argument.bytes.size()) < bytes) {
        return make_error(ErrorCode::internal, "{}: {} has {} bytes, {} are needed", test_.name,
                          argument.name, argument.bytes.size(), bytes);
      }
      Status status =
          device_.copy_to_device(allocated->data(), argument.bytes.data(), static_cast<size_t>(bytes));
      if (!status) return status;
    }
    memory->push_back(std::move(*allocated));
  }
  return {};
}

Result<std::unique_ptr<CaseOnDevice>> CaseOnDevice::create(Device& device, TestCase test) {
  std::unique_ptr<CaseOnDevice> result(new CaseOnDevice(device, std::move(test)));
  const auto& launch = result->test_.launch;
  result->output_ = static_cast<size_t>(
      std::find_if(launch.begin(), launch.end(), [](const HostArgument& a) { return a.output; }) -
      launch.begin());
  if (Status status = result->upload(launch, &result->launch_memory_); !status) return status.error();
  if (Status status = result->upload(result->test_.pack, &result->pack_memory_); !status)
    return status.error();
  return result;
}

Status CaseOnDevice::pack(const KernelHandle& handle) {
  if (test_.pack.empty()) return {};
  if (!layout_.empty()) {
    if (layout_ == handle.layout()) return {};
    return make_error(ErrorCode::internal, "layout {} differs from {} of another config", handle.layout(),
                      layout_);
  }
  auto memory = GuardedMemory::allocate(device_, handle.packed_bytes());
  if (!memory) return memory.error();
  packed_ = std::move(*memory);
  if (Status status = packed_.poison(0xFF); !status) return status;
  std::vector<TensorArg> inputs = pack_arguments();
  if (Status status = handle.pack(inputs, packed_.data(), packed_.bytes(), nullptr); !status) return status;
  if (Status status = device_.synchronize(nullptr); !status) return status;
  layout_ = handle.layout();
  return {};
}

Status CaseOnDevice::poison_output(uint8_t byte) { return launch_memory_[output_].poison(byte); }

Result<std::vector<unsigned char>> CaseOnDevice::output() const {
  const HostArgument& argument = test_.launch[output_];
  const GuardedMemory& memory = launch_memory_[output_];
  std::vector<unsigned char> all(static_cast<size_t>(memory.bytes())), dense;
  if (all.empty()) return dense;
  if (Status status = device_.copy_to_host(all.data(), memory.data(), all.size()); !status) {
    return status.error();
  }
  for_each_row(argument, [&](int64_t offset, int64_t, int64_t bytes) {
    dense.insert(dense.end(), all.begin() + offset, all.begin() + offset + bytes);
  });
  return dense;
}

Status CaseOnDevice::replace(const std::string& name, const std::vector<unsigned char>& bytes) {
  for (size_t i = 0; i < test_.launch.size(); ++i) {
    if (test_.launch[i].name != name) continue;
    const size_t size = static_cast<size_t>(launch_memory_[i].bytes());
    if (bytes.size() != size) break;
    test_.launch[i].bytes = bytes;
    return device_.copy_to_device(launch_memory_[i].data(), bytes.data(), size);
  }
  return make_error(ErrorCode::internal, "{} has no argument {} of {} bytes", test_.name, name, bytes.size());
}

Result<std::string> CaseOnDevice::damage(const GuardedMemory& workspace) const {
  auto look = [](const GuardedMemory& memory, const std::string& name) -> Result<std::string> {
    auto where = memory.damage();
    if (!where) return where.error();
    return where->empty() ? std::string() : fmt::format("wrote to {} {}", name, *where);
  };
  for (size_t i = 0; i < launch_memory_.size(); ++i) {
    auto found = look(launch_memory_[i], test_.launch[i].name);
    if (!found || !found->empty()) return found;
  }
  auto found = look(packed_, "the packed weights");
  if (!found || !found->empty()) return found;
  return look(workspace, "the workspace");
}

Result<std::string> CaseOnDevice::changed_inputs() const {
  for (size_t i = 0; i < launch_memory_.size(); ++i) {
    if (test_.launch[i].output || launch_memory_[i].bytes() == 0) continue;
    std::vector<unsigned char> now(static_cast<size_t>(launch_memory_[i].bytes()));
    Status status = device_.copy_to_host(now.data(), launch_memory_[i].data(), now.size());
    if (!status) return status.error();
    if (!std::equal(now.begin(), now.end(), test_.launch[i].bytes.begin())) {
      return fmt::format("changed its input {}", test_.launch[i].name);
    }
  }
  return std::string();
}

Result<std::vector<unsigned char>> CaseOnDevice::launch_once(const KernelHandle& handle, uint8_t poison,
                                                             std::string* wrong) {
  auto needed = handle.workspace_bytes(test_.value);
  if (!needed) return needed.error();
  auto workspace = GuardedMemory::allocate(device_, *needed);
  if (!workspace) return workspace.error();
  if (Status status = workspace->poison(poison); !status) return status.error();
  if (Status status = poison_output(poison); !status) return status.error();
  std::vector<TensorArg> arguments = launch_arguments();
  Status status = handle.launch(arguments, packed_.data(), packed_.bytes(), workspace->data(),
                                workspace->bytes(), nullptr);
  if (!status) return status.error();
  if (Status synchronized = device_.synchronize(nullptr); !synchronized) return synchronized.error();

  auto damaged = damage(*workspace);
  if (!damaged) return damaged.error();
  if (!damaged->empty()) *wrong = *damaged;
  const GuardedMemory& memory = launch_memory_[output_];
  std::vector<unsigned char> all(static_cast<size_t>(memory.bytes())), dense;
  if (all.empty()) return dense;
  if (Status copied = device_.copy_to_host(all.data(), memory.data(), all.size()); !copied) {
    return copied.error();
  }
  int64_t end = 0;
  for_each_row(test_.launch[output_], [&](int64_t offset, int64_t, int64_t bytes) {
    for (int64_t i = end; i < offset; ++i) {
      if (all[static_cast<size_t>(i)] != poison) *wrong = "wrote between rows of the output";
    }
    end = offset + bytes;
    dense.insert(dense.end(), all.begin() + offset, all.begin() + end);
  });
  return dense;
}

Result<Judgement> CaseOnDevice::run(const KernelHandle& handle) {
  if (Status status = pack(handle); !status) return status.error();
  std::string wrong;
  auto first = launch_once(handle, 0xFF, &wrong);
  if (!first) return first.error();
  auto second = launch_once(handle, 0x5A, &wrong);
  if (!second) return second.error();
  Judgement judgement = test_.judge(*second);
  if (judgement.wrong.empty() && *first != *second) {
    judgement.wrong = test_.deterministic ? "other bits when run again" : test_.judge(*first).wrong;
  }
  if (judgement.wrong.empty()) judgement.wrong = wrong;
  if (judgement.wrong.empty()) {
    auto changed = changed_inputs();
    if (!changed) return changed.error();
    judgement.wrong = *changed;
  }
  return judgement;
}

}  // namespace rtjit::testing

#include "tests/tuner/fake_device.h"

#include <time.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/text.h"

namespace rtjit::test {
namespace {

// Takes so much time of the first processor that this process may use.
void burn_first_processor(std::chrono::nanoseconds time) {
  const cpu_set_t first = first_processor();
  ::sched_setaffinity(0, sizeof first, &first);
  auto used = [] {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  };
  for (const auto until = used() + time; used() < until;) {
  }
}

class FakeKernel : public Kernel {
 public:
  explicit FakeKernel(std::string kernel_name) : name(std::move(kernel_name)) {}
  int registers() const override { return 32; }
  int local_bytes() const override { return 0; }
  int max_blocks_per_sm(int, int64_t) const override { return 8; }
  std::string name;
};

class FakeModule : public Module {
 public:
  explicit FakeModule(const Binary& binary) {
    for (const Binary::Kernel& kernel : binary.kernels) {
      kernels_.emplace(kernel.symbol, std::make_unique<FakeKernel>(kernel.name_expression));
    }
  }
  Result<const Kernel*> kernel(const std::string& symbol) const override {
    auto found = kernels_.find(symbol);
    if (found == kernels_.end()) return make_error(ErrorCode::not_found, "no kernel {}", symbol);
    return static_cast<const Kernel*>(found->second.get());
  }

 private:
  std::map<std::string, std::unique_ptr<FakeKernel>> kernels_;
};

class FakeGraph : public Graph {
 public:
  FakeGraph(std::function<Status(StreamHandle)> record, bool* replaying)
      : record_(std::move(record)), replaying_(replaying) {}
  Status replay(StreamHandle stream) override {
    *replaying_ = true;
    Status status = record_(stream);
    *replaying_ = false;
    return status;
  }

 private:
  std::function<Status(StreamHandle)> record_;
  bool* replaying_;
};

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

class FakeDevice : public Device {
 public:
  FakeDevice(const std::string& target, Misbehaviour misbehaviour, bool emulated)
      : info_(fake_device_info(target)), misbehaviour_(std::move(misbehaviour)) {
    info_.emulated = emulated;
  }

  const DeviceInfo& info() const override { return info_; }
  Result<DevicePtr> allocate(size_t bytes) override {
    void* memory = nullptr;
    if (posix_memalign(&memory, 256, bytes + 256) != 0)
      return make_error(ErrorCode::out_of_memory, "host memory");
    return reinterpret_cast<DevicePtr>(memory);
  }
  void free(DevicePtr pointer) override { std::free(reinterpret_cast<void*>(pointer)); }
  Status copy_to_device(DevicePtr target, const void* source, size_t bytes) override {
    filling_ = false;
    std::memcpy(reinterpret_cast<void*>(target), source, bytes);
    return {};
  }
  Status copy_to_host(void* target, DevicePtr source, size_t bytes) override {
    filling_ = false;
    std::memcpy(target, reinterpret_cast<const void*>(source), bytes);
    return {};
  }
  Status fill(DevicePtr target, uint8_t byte, size_t bytes, StreamHandle stream) override {
    filling_ = filling_ || stream == nullptr;
    std::memset(reinterpret_cast<void*>(target), byte, bytes);
    return {};
  }
  Result<std::unique_ptr<Module>> load(const Binary& binary) override {
    return std::unique_ptr<Module>(std::make_unique<FakeModule>(binary));
  }
  Status prepare(const Kernel&, int64_t) override { return {}; }
  Status launch(const Kernel& kernel, const LaunchConfig&, void** arguments, StreamHandle) override;
  Status encode_tensor_map(const TensorMapRequest&, TensorMapBytes*) const override {
    return make_error(ErrorCode::unsupported, "no tensor maps here");
  }
  Result<StreamHandle> create_stream() override {
    ++moment_;
    return StreamHandle(this);
  }
  void destroy_stream(StreamHandle) override {}
  Status synchronize(StreamHandle stream) override {
    filling_ = filling_ && stream != nullptr;
    if (!faulted_) return {};
    return make_error(ErrorCode::device_fault, "an illegal memory access was encountered");
  }
  Result<std::unique_ptr<Graph>> capture(const std::function<Status(StreamHandle)>& record) override {
    return std::unique_ptr<Graph>(std::make_unique<FakeGraph>(record, &replaying_));
  }
  Result<double> elapsed_ms(StreamHandle stream, const std::function<Status(StreamHandle)>& work) override {
    double before = elapsed_us_;
    if (Status status = work(stream); !status) return status.error();
    return (elapsed_us_ - before) / 1000;
  }
  Status make_current() override { return {}; }

 private:
  std::string behaviour(const std::string& kernel) const {
    std::string longest, found;  // the most special one counts
    for (const auto& [part, what] : misbehaviour_) {
      if (part.size() < longest.size() || kernel.find(part) == std::string::npos) continue;
      longest = part;
      found = what;
    }
    const size_t since = found.find('@');
    if (since == std::string::npos) return found;
    return moment_ < std::stoul(found.substr(since + 1)) ? "" : found.substr(0, since);
  }
  // One of "100/104/100", as the moment says.
  double by_moment(const std::string& list) const {
    const std::vector<std::string> values = split(list, '/');
    const size_t at = std::min(std::max<size_t>(moment_, 1), values.size()) - 1;
    return std::strtod(std::string(values[at]).c_str(), nullptr);
  }
  double time_us(const std::string& kernel, const std::string& what) const {
    const double time = what.starts_with("us:") ? by_moment(what.substr(3)) : fake_time_us(kernel);
    const auto factor = misbehaviour_.find("moments");
    return factor == misbehaviour_.end() ? time : time * by_moment(factor->second);
  }

  DeviceInfo info_;
  Misbehaviour misbehaviour_;
  bool faulted_ = false, replaying_ = false;
  bool filling_ = false;  // the default stream may still be writing memory
  std::string logged_;    // last line
  double elapsed_us_ = 0;
  int launches_ = 0;
  size_t moment_ = 0;
};

// Of the kernels of tuner/ceilings, which are not run: see fake_device.h.
double ceiling_time_us(const std::string& name, void** arguments) {
  if (name.find("read<") == std::string::npos && name.find("copy<") == std::string::npos)
    return *static_cast<int*>(arguments[0]);
  const double bytes = 16.0 * static_cast<double>(*static_cast<int64_t*>(arguments[1]));
  const bool unrolled = name.find("<8>") != std::string::npos;
  return bytes / (unrolled ? 1.25e6 : 1e6) * (name.find("copy<") != std::string::npos ? 2.5 : 1);
}

Status FakeDevice::launch(const Kernel& kernel, const LaunchConfig& config, void** arguments,
                          StreamHandle stream) {
  if (stream != nullptr && filling_)
    return make_error(ErrorCode::internal, "a launch does not wait for memory that another stream fills");
  const std::string& name = static_cast<const FakeKernel&>(kernel).name;
  const std::string what = behaviour(name);
  ++launches_;
  elapsed_us_ += time_us(name, what) * (what == "slow" ? 100 : 1);
  if (what == "refuse") return make_error(ErrorCode::unsupported, "too many resources requested for launch");
  if (what == "exit") _exit(7);
  if (what == "tired") std::this_thread::sleep_for(std::chrono::microseconds(200));
  if (what == "busy") burn_first_processor(std::chrono::microseconds(200));
  if (what == "delay") std::this_thread::sleep_for(std::chrono::microseconds(20));
  if (what == "break") {
    std::ofstream(variable("RTJIT_FAKE_BROKEN")) << "broken";
    faulted_ = true;
  }
  while (what == "hang") std::this_thread::sleep_for(std::chrono::seconds(1));
  if (what == "fault") faulted_ = true;
  if (name.find("ceilings") != std::string::npos) {
    elapsed_us_ += ceiling_time_us(name, arguments) - fake_time_us(name);
    return {};
  }
  if (name.find("probe") != std::string::npos) {
    auto* values = reinterpret_cast<uint32_t*>(*static_cast<DevicePtr*>(arguments[0]));
    for (uint32_t i = 0; i < config.grid[0] * config.block[0]; ++i) values[i] = 3 * (i ^ 1u) + 1;
    if (std::ifstream(variable("RTJIT_FAKE_BROKEN")).good()) values[5] = 0;
    return {};
  }
  auto pointer = [&](int i) { return *static_cast<DevicePtr*>(arguments[i]); };
  const float* x = reinterpret_cast<const float*>(pointer(0));
  const float* y = reinterpret_cast<const float*>(pointer(1));
  float* out = reinterpret_cast<float*>(pointer(2));
  int64_t n = *static_cast<int64_t*>(arguments[3]);
  float a = *static_cast<float*>(arguments[4]);
  if (const std::string log = variable("RTJIT_FAKE_LOG"); replaying_ && !log.empty()) {
    const std::string line = fmt::format("{} n={}", name, n);
    if (line != logged_) std::ofstream(log, std::ios::app) << line << std::endl;
    logged_ = line;
  }
  for (int64_t i = 0; i < n; ++i) out[i] = std::fma(a, x[i], y[i]);
  while (what == "hang_small" && n < 1024) std::this_thread::sleep_for(std::chrono::seconds(1));
  if (n == 0) return {};
  if (what == "wrong") {
    for (int64_t i = 0; i < n; ++i) out[i] += 1;
  }
  if (what == "zero") std::fill(out, out + n, 0.0f);
  if (what == "last") out[n - 1] += 3;
  if (what == "nan") out[n / 2] = std::nanf("");
  if (what == "unstable" && launches_ % 2 == 0) out[0] = std::nextafter(out[0], 100.0f);
  if (what == "past") out[n] = 1;
  return {};
}

}  // namespace

Misbehaviour parse_misbehaviour(const std::string& text) {
  Misbehaviour result;
  for (const std::string& part : split(text, ';')) {
    size_t equals = part.rfind('=');
    if (equals != std::string::npos) result[part.substr(0, equals)] = part.substr(equals + 1);
  }
  return result;
}

cpu_set_t first_processor() {
  cpu_set_t mine, first;
  CPU_ZERO(&first);
  if (::sched_getaffinity(0, sizeof mine, &mine) != 0) return first;
  int processor = 0;
  while (processor < CPU_SETSIZE - 1 && !CPU_ISSET(processor, &mine)) ++processor;
  CPU_SET(processor, &first);
  return first;
}

double fake_time_us(const std::string& kernel) {
  int block = 0, items = 0;
  size_t at = kernel.find("unrolled<");
  if (at == std::string::npos) return 900;
  std::sscanf(kernel.c_str() + at, "unrolled<%d,%d>", &block, &items);
  return 100 + std::abs(block - 128) / 4.0 + 20 * std::abs(items - 2);
}

DeviceInfo fake_device_info(const std::string& target) {
  DeviceInfo info;
  info.target = *Target::parse(target);
  info.limits = info.target.limits();
  info.name = "Fake GPU";
  info.sm_count = 4;
  info.l2_bytes = 1 << 16;
  info.total_memory = int64_t{1} << 30;
  info.memory_bus_bits = 512;
  info.memory_clock_khz = 1000000;
  info.sm_clock_khz = 1000000;
  info.driver_version = "none";
  info.pci_bus_id = "0000:1b:00.0";
  return info;
}

std::unique_ptr<Device> make_fake_device(const std::string& target, Misbehaviour misbehaviour,
                                         bool emulated) {
  return std::make_unique<FakeDevice>(target, std::move(misbehaviour), emulated);
}

}  // namespace rtjit::test

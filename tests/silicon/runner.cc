#include "tests/silicon/runner.h"

#include "emulator/emulated_device.h"

namespace rtjit::silicon {
namespace {

// Device memory that goes with its scope.
class Memory {
 public:
  explicit Memory(Device& device) : device_(device) {}
  ~Memory() { device_.free(address_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  Status take(size_t bytes) {
    Result<DevicePtr> address = device_.allocate(bytes);
    if (!address.ok()) return address.error();
    address_ = *address;
    return {};
  }
  DevicePtr& address() { return address_; }

 private:
  Device& device_;
  DevicePtr address_ = 0;
};

Result<TensorMapBytes> encode(const Device& device, const MapSpec& map, DevicePtr in, DevicePtr out) {
  TensorMapRequest request;
  request.base = (map.over_output ? out : in) + map.offset;
  request.dtype = map.dtype;
  request.rank = static_cast<int>(map.dims.size());
  request.swizzle = map.swizzle;
  auto stride = static_cast<uint64_t>(bytes_of(map.dtype));
  for (size_t i = 0; i < map.dims.size(); ++i) {
    request.dims[i] = map.dims[i];
    request.box[i] = map.box[i];
    stride = i ? stride * map.dims[i] : (stride * map.dims[0] + 15) / 16 * 16;
    if (i + 1 < map.dims.size()) request.strides[i] = stride;
  }
  TensorMapBytes bytes;
  if (Status status = device.encode_tensor_map(request, &bytes); !status) return status.error();
  return bytes;
}

}  // namespace

Result<std::unique_ptr<Device>> silicon_emulator() {
  Result<Target> target = Target::parse("sm_90a");
  if (!target.ok()) return target.error();
  EmulatorOptions options;
  options.strictness.silicon_sums = true;
  Result<std::unique_ptr<EmulatedDevice>> device = make_emulated_device_with(*target, options);
  if (!device.ok()) return device.error();
  return std::unique_ptr<Device>(std::move(*device));
}

Result<std::vector<uint8_t>> run_case(Device& device, const Case& c) {
  Binary binary;
  binary.key = c.name;
  binary.cubin = binary.ptx = c.ptx;  // the driver takes PTX text where it takes a cubin
  binary.kernels.push_back({"k", "k", {}});
  binary.compiler = "the text";
  Result<std::unique_ptr<Module>> module = device.load(binary);
  if (!module.ok()) return module.error();
  Result<const Kernel*> kernel = (*module)->kernel("k");
  if (!kernel.ok()) return kernel.error();
  Memory in(device), out(device);
  for (Status status : {in.take(c.input.size()), out.take(c.output_bytes)}) {
    if (!status) return status.error();
  }
  std::vector<uint8_t> zeros(c.output_bytes, 0), result(c.compared_bytes);
  Status status = device.copy_to_device(in.address(), c.input.data(), c.input.size());
  if (status) status = device.copy_to_device(out.address(), zeros.data(), zeros.size());
  if (!status) return status.error();
  std::vector<TensorMapBytes> maps;
  for (const MapSpec& map : c.maps) {
    Result<TensorMapBytes> bytes = encode(device, map, in.address(), out.address());
    if (!bytes.ok()) return bytes.error();
    maps.push_back(*bytes);
  }
  std::vector<void*> arguments = {&out.address(), &in.address()};
  for (TensorMapBytes& map : maps) arguments.push_back(&map);
  LaunchConfig config;
  config.grid = {c.grid, 1, 1};
  config.block = {c.block, 1, 1};
  status = device.launch(**kernel, config, arguments.data(), nullptr);
  if (status) status = device.synchronize(nullptr);
  if (status) status = device.copy_to_host(result.data(), out.address(), result.size());
  if (!status) return status.error();
  return result;
}

}  // namespace rtjit::silicon

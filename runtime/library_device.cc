// librtjit.so works on GPUs.
#include "runtime/c_api_objects.h"
#include "runtime/cuda_device.h"

namespace rtjit {

Result<std::unique_ptr<Device>> open_library_device(int ordinal) { return open_cuda_device(ordinal); }

}  // namespace rtjit

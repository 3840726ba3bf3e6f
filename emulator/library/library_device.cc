// librtjit_emulated.so works on an emulated GPU.
#include "base/environment.h"
#include "emulator/emulated_device.h"
#include "runtime/c_api_objects.h"

namespace rtjit {

Result<std::unique_ptr<Device>> open_library_device(int ordinal) {
  if (ordinal != 0) {
    return make_error(ErrorCode::unavailable, "device: {}, the emulated library has one device, 0", ordinal);
  }
  std::string name = environment("RTJIT_EMULATED_TARGET");
  auto target = Target::parse(name.empty() ? "sm_90a" : name);
  if (!target) return target.error().with_context("RTJIT_EMULATED_TARGET");
  return make_emulated_device(*target);
}

}  // namespace rtjit

// A libnvidia-ml.so.1 without a GPU: it knows the device 0000:1b:00.0. RTJIT_FAKE_NVML_CLOCKS lists the SM
// clocks that it answers in turn, the last one again and again; a clock below zero means that much, slowed
// down by heat.
#include <cstdlib>
#include <cstring>

#define FAKE_API extern "C" __attribute__((visibility("default")))

namespace {

int started = 0;
int handle = 0;
const char* rest = nullptr;
long last_clock = 1980;

long next_clock() {
  if (rest == nullptr) rest = std::getenv("RTJIT_FAKE_NVML_CLOCKS");
  if (rest != nullptr && *rest != '\0') {
    char* end = nullptr;
    last_clock = std::strtol(rest, &end, 10);
    rest = *end == ',' ? end + 1 : end;
  }
  return last_clock;
}

}  // namespace

FAKE_API int nvmlInit_v2() { return ++started, 0; }
FAKE_API int nvmlShutdown() { return --started, 0; }
FAKE_API int nvmlDeviceGetHandleByPciBusId_v2(const char* address, void** device) {
  if (started <= 0) return 1;                               // NVML_ERROR_UNINITIALIZED
  if (std::strcmp(address, "0000:1b:00.0") != 0) return 6;  // NVML_ERROR_NOT_FOUND
  *device = &handle;
  return 0;
}
FAKE_API int nvmlDeviceGetClockInfo(void* device, int clock, unsigned* mhz) {
  if (device != &handle || clock != 1) return 2;  // NVML_ERROR_INVALID_ARGUMENT
  *mhz = static_cast<unsigned>(std::labs(next_clock()));
  return 0;
}
FAKE_API int nvmlDeviceGetEnforcedPowerLimit(void*, unsigned* milliwatts) { return *milliwatts = 699600, 0; }
FAKE_API int nvmlDeviceGetCurrentClocksThrottleReasons(void*, unsigned long long* reasons) {
  *reasons = last_clock < 0 ? 0x40 : 0x04;  // hardware thermal slowdown, or only the power cap
  return 0;
}

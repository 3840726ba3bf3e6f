// A libnvrtc that is older than what this machine has: RTJIT_FAKE_NVRTC_VERSION ("12.2" if not set) is its
// version, and it knows architectures up to sm_90. It compiles nothing.
#include <cstdio>
#include <cstdlib>

#define FAKE_API extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kArchs[] = {75, 80, 86, 89, 90};
constexpr int kArchCount = sizeof kArchs / sizeof kArchs[0];
constexpr int kInvalidProgram = 4;

}  // namespace

FAKE_API int nvrtcVersion(int* major, int* minor) {
  const char* version = std::getenv("RTJIT_FAKE_NVRTC_VERSION");
  return std::sscanf(version == nullptr ? "12.2" : version, "%d.%d", major, minor) == 2 ? 0 : kInvalidProgram;
}
FAKE_API const char* nvrtcGetErrorString(int) { return "words of NVRTC"; }
FAKE_API int nvrtcGetNumSupportedArchs(int* count) { return *count = kArchCount, 0; }
FAKE_API int nvrtcGetSupportedArchs(int* archs) {
  for (int i = 0; i < kArchCount; ++i) archs[i] = kArchs[i];
  return 0;
}
FAKE_API int nvrtcCreateProgram(void**, const char*, const char*, int, const char* const*,
                                const char* const*) {
  return kInvalidProgram;
}
FAKE_API int nvrtcDestroyProgram(void**) { return 0; }
FAKE_API int nvrtcCompileProgram(void*, int, const char* const*) { return kInvalidProgram; }
FAKE_API int nvrtcGetProgramLogSize(void*, size_t*) { return kInvalidProgram; }
FAKE_API int nvrtcGetProgramLog(void*, char*) { return kInvalidProgram; }
FAKE_API int nvrtcGetPTXSize(void*, size_t*) { return kInvalidProgram; }
FAKE_API int nvrtcGetPTX(void*, char*) { return kInvalidProgram; }
FAKE_API int nvrtcGetCUBINSize(void*, size_t*) { return kInvalidProgram; }
FAKE_API int nvrtcGetCUBIN(void*, char*) { return kInvalidProgram; }
FAKE_API int nvrtcAddNameExpression(void*, const char*) { return kInvalidProgram; }
FAKE_API int nvrtcGetLoweredName(void*, const char*, const char**) { return kInvalidProgram; }

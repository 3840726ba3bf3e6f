// What all fuzz targets share. A target is one .cc file with LLVMFuzzerTestOneInput: with clang it becomes a
// libFuzzer program (RTJIT_BUILD_FUZZERS), with any compiler a test that replays fuzz/corpus/<name>/ and
// variations of it.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace rtjit::fuzz {

inline std::string_view text(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// A broken promise ends the program, which is a finding.
inline void expect(bool promise, const char* what) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

// The input as a file, for readers that take a path: in memory where the system has such a place.
inline const std::string& as_file(const uint8_t* data, size_t size) {
  static const std::string path = [] {
    const char* folder = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    return std::string(folder) + "/rtjit-fuzz-" + std::to_string(::getpid());
  }();
  static const bool removed_at_exit = std::atexit([] { ::unlink(path.c_str()); }) == 0;
  (void)removed_at_exit;
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  return path;
}

}  // namespace rtjit::fuzz

// NVRTC, opened at run time with dlopen. Never linked; 12.8 and up.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct NvrtcInput {
  std::string source, name;
  std::vector<std::pair<std::string, std::string>> headers;  // include name -> content
  std::vector<std::string> options;
  std::vector<std::string> name_expressions;
  // Asked now and then during the compile, by any thread; once true it must stay true. NVRTC then stops when
  // it can (versions that cannot be interrupted run on to their end).
  std::function<bool()> cancelled;
};

struct NvrtcOutput {
  bool ok = false;
  bool cancelled = false;
  std::string log, ptx, cubin;
  std::vector<std::string> lowered_names;  // as name_expressions
};

// Thread-safe: any number of compiles at once.
class Nvrtc {
 public:
  // Looks at RTJIT_NVRTC (a file), the loader's path, CUDA_HOME / CUDA_PATH, /usr/local/cuda*, and NVIDIA's
  // wheels in the Python environments found. Not found: ErrorCode::no_compiler; found, but all too old:
  // ErrorCode::compiler_too_old. Both list every place and how to get it.
  static Result<std::shared_ptr<const Nvrtc>> open();
  // The same library once more, with state of its own (a copy of the file, which is mapped and gone). NVRTC's
  // front end holds a lock: one compile that never ends blocks all others of its instance, and only another
  // instance helps.
  Result<std::shared_ptr<const Nvrtc>> fresh_copy() const;
  ~Nvrtc();

  int major() const { return major_; }
  int minor() const { return minor_; }
  std::string version() const;  // "nvrtc 13.0", part of every binary's identity
  const std::string& path() const { return path_; }
  std::vector<int> supported_archs() const;  // nvrtcGetSupportedArchs

  // An Error only for a failure of NVRTC itself; a refused program gives ok == false and the log.
  Result<NvrtcOutput> compile(const NvrtcInput& input) const;

 private:
  Nvrtc() = default;
  // Refused: an Error whose code is `unavailable` or `compiler_too_old`, with the file and the reason.
  static Result<std::shared_ptr<Nvrtc>> load(const std::string& file);
  struct Functions;
  std::unique_ptr<Functions> functions_;
  int major_ = 0, minor_ = 0;
  std::string path_;
};

}  // namespace rtjit

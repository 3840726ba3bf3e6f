// A compiled binary as it stands in the table `binaries`: parts compressed, lists as JSON, guarded by a hash.
#pragma once

#include <string>

#include "base/result.h"
#include "compiler/compile.h"

namespace rtjit {

struct StoredBinary {
  std::string key, target, compiler, label;
  std::string kernels, features;  // JSON
  std::string log;
  double compile_ms = 0;
  std::string cubin, ptx;                  // zstd
  int64_t cubin_bytes = 0, ptx_bytes = 0;  // before compression
  std::string sha256;        // of the key, the target and all content before compression
  int64_t created_unix = 0;  // 0: when it is stored
};

Result<StoredBinary> encode_binary(const Binary& binary, const std::string& target, const std::string& label);

// ErrorCode::corrupt unless everything is exactly what was encoded.
Result<Binary> decode_binary(const StoredBinary& stored);

}  // namespace rtjit

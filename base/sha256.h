// SHA-256, with the processor's own instructions where it has them: hashing what is loaded was most of what
// opening a kernel from a filled cache cost.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace rtjit {

class Sha256 {
 public:
  using State = std::array<uint32_t, 8>;
  static constexpr size_t kBlock = 64;
  // Works `count` blocks into the state.
  using Compress = void (*)(State& state, const unsigned char* blocks, size_t count);

  Sha256() : Sha256(fastest()) {}
  explicit Sha256(Compress compress) : compress_(compress) {}

  void update(std::string_view bytes);
  // May be called once.
  std::array<uint8_t, 32> final();

  static Compress portable();
  // Null: this processor has no such instructions.
  static Compress accelerated();
  static Compress fastest();

 private:
  Compress compress_;
  State state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  unsigned char pending_[kBlock];  // what does not fill a block yet
  size_t pending_bytes_ = 0;
  uint64_t total_ = 0;
};

// The constants of the 64 rounds.
extern const uint32_t kSha256Rounds[64];

}  // namespace rtjit

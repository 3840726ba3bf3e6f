#include "base/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace rtjit {
namespace {

uint32_t word_at(const unsigned char* at) {
  return uint32_t{at[0]} << 24 | uint32_t{at[1]} << 16 | uint32_t{at[2]} << 8 | uint32_t{at[3]};
}

void compress_portable(Sha256::State& state, const unsigned char* blocks, size_t count) {
  for (; count > 0; --count, blocks += Sha256::kBlock) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) w[i] = word_at(blocks + 4 * i);
    for (int i = 16; i < 64; ++i) {
      const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
      const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (int i = 0; i < 64; ++i) {
      const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kSha256Rounds[i] + w[i];
      const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    const uint32_t worked[8] = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < 8; ++i) state[i] += worked[i];
  }
}

}  // namespace

const uint32_t kSha256Rounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

Sha256::Compress Sha256::portable() { return compress_portable; }

Sha256::Compress Sha256::fastest() {
  static const Compress chosen = accelerated() != nullptr ? accelerated() : portable();
  return chosen;
}

void Sha256::update(std::string_view bytes) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  total_ += left;
  if (pending_bytes_ > 0) {
    const size_t taken = std::min(left, kBlock - pending_bytes_);
    if (taken > 0) std::memcpy(pending_ + pending_bytes_, data, taken);
    data += taken, left -= taken, pending_bytes_ += taken;
    if (pending_bytes_ < kBlock) return;
    compress_(state_, pending_, 1);
    pending_bytes_ = 0;
  }
  if (const size_t blocks = left / kBlock; blocks > 0) {
    compress_(state_, data, blocks);
    data += blocks * kBlock, left -= blocks * kBlock;
  }
  if (left > 0) std::memcpy(pending_, data, left);
  pending_bytes_ = left;
}

std::array<uint8_t, 32> Sha256::final() {
  // One bit, zeros, and the number of bits in the last eight bytes of a block.
  unsigned char end[2 * kBlock] = {};
  std::memcpy(end, pending_, pending_bytes_);
  end[pending_bytes_] = 0x80;
  const size_t blocks = pending_bytes_ + 9 <= kBlock ? 1 : 2;
  for (size_t i = 0; i < 8; ++i)
    end[blocks * kBlock - 1 - i] = static_cast<unsigned char>(total_ * 8 >> (8 * i));
  compress_(state_, end, blocks);
  std::array<uint8_t, 32> digest;
  for (size_t i = 0; i < 32; ++i) digest[i] = static_cast<uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

}  // namespace rtjit

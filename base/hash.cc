#include "base/hash.h"

#include <array>

#include "base/sha256.h"

namespace rtjit {
namespace {

std::string to_hex(const std::array<uint8_t, 32>& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// A kind and a number, little-endian on every host, so that identities travel between machines.
void add_number(Sha256& sha, char kind, uint64_t value) {
  char bytes[9] = {kind};
  for (int i = 0; i < 8; ++i) bytes[1 + i] = static_cast<char>(value >> (8 * i));
  sha.update({bytes, sizeof bytes});
}

}  // namespace

struct ContentHash::State {
  Sha256 sha;
};

ContentHash::ContentHash() : state_(new State) {}
ContentHash::~ContentHash() { delete state_; }

ContentHash& ContentHash::add(std::string_view field) {
  // The kind byte keeps the text of eight bytes and the integer with the same bytes apart.
  add_number(state_->sha, 't', field.size());
  state_->sha.update(field);
  return *this;
}

ContentHash& ContentHash::add(int64_t field) {
  add_number(state_->sha, 'i', static_cast<uint64_t>(field));
  return *this;
}

std::string ContentHash::hex() { return to_hex(state_->sha.final()); }

std::string sha256_hex(std::string_view bytes) {
  Sha256 sha;
  sha.update(bytes);
  return to_hex(sha.final());
}

}  // namespace rtjit

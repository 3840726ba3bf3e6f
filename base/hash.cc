#include "base/hash.h"

#include <llvm/ADT/StringExtras.h>
#include <llvm/ADT/StringRef.h>
#include <llvm/Support/SHA256.h>

#include <array>

namespace rtjit {
namespace {

llvm::StringRef to_llvm(std::string_view text) { return {text.data(), text.size()}; }

std::string to_hex(const std::array<uint8_t, 32>& digest) { return llvm::toHex(digest, /*LowerCase=*/true); }

// Little-endian on every host, so that identities travel between machines.
std::array<uint8_t, 8> encode(uint64_t value) {
  std::array<uint8_t, 8> bytes;
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
  return bytes;
}

}  // namespace

struct ContentHash::State {
  llvm::SHA256 sha;
};

ContentHash::ContentHash() : state_(new State) {}
ContentHash::~ContentHash() { delete state_; }

ContentHash& ContentHash::add(std::string_view field) {
  // The kind byte keeps the text of eight bytes and the integer with the same bytes apart.
  state_->sha.update(llvm::StringRef("t"));
  state_->sha.update(encode(field.size()));
  state_->sha.update(to_llvm(field));
  return *this;
}

ContentHash& ContentHash::add(int64_t field) {
  state_->sha.update(llvm::StringRef("i"));
  state_->sha.update(encode(static_cast<uint64_t>(field)));
  return *this;
}

std::string ContentHash::hex() { return to_hex(state_->sha.final()); }

std::string sha256_hex(std::string_view bytes) {
  llvm::SHA256 sha;
  sha.update(to_llvm(bytes));
  return to_hex(sha.final());
}

}  // namespace rtjit

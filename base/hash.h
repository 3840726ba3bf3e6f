// Content identity: SHA-256 of length-prefixed fields, so that no two field lists share an encoding.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rtjit {

class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;
  // Adds one field; ("ab","c") and ("a","bc") differ.
  ContentHash& add(std::string_view field);
  ContentHash& add(int64_t field);
  // 64 lower-case hex digits. May be called once.
  std::string hex();

 private:
  struct State;
  State* state_;
};

// The SHA-256 of the bytes alone, as sha256sum prints it.
std::string sha256_hex(std::string_view bytes);

}  // namespace rtjit

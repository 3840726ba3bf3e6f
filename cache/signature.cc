#include "cache/signature.h"

#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/base64.h"
#include "base/dylib.h"
#include "base/text.h"

namespace rtjit {
namespace {

constexpr std::string_view kPublicPrefix = "ed25519:";
constexpr std::string_view kSecretPrefix = "ed25519-secret:";

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

struct Sodium {
  Dylib library;
  decltype(&crypto_sign_ed25519_keypair) make_pair = nullptr;
  decltype(&crypto_sign_ed25519_detached) sign = nullptr;
  decltype(&crypto_sign_ed25519_verify_detached) verify = nullptr;
};

Result<Sodium> open_sodium() {
  Sodium sodium;
  // The two binary interfaces that distributions ship; the signing calls are the same in both.
  Result<Dylib> library = Dylib::open("libsodium.so.23", Dylib::Lifetime::stays);
  if (!library) library = Dylib::open("libsodium.so.26", Dylib::Lifetime::stays);
  if (!library) {
    return make_error(ErrorCode::unavailable,
                      "signatures need libsodium, which was not found ({}). Install it (Debian, Ubuntu: apt-get "
                      "install libsodium23), or do without signing",
                      library.error().message);
  }
  sodium.library = *std::move(library);
  int (*init)() = nullptr;
  const auto bind = [&](const char* name, auto*& target) { return sodium.library.bind(name, target); };
  if (!bind("sodium_init", init) || !bind("crypto_sign_ed25519_keypair", sodium.make_pair) ||
      !bind("crypto_sign_ed25519_detached", sodium.sign) ||
      !bind("crypto_sign_ed25519_verify_detached", sodium.verify) || init() < 0) {
    return make_error(ErrorCode::unavailable, "{} is not a libsodium that can sign", sodium.library.file());
  }
  return sodium;
}

Result<std::string> read_lines(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return make_error(ErrorCode::not_found, "{}: {}", path, std::strerror(errno));
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The bytes behind "prefix:base64", or nothing.
std::optional<std::string> parse_key(std::string_view line, std::string_view prefix, size_t bytes) {
  if (!line.starts_with(prefix)) return std::nullopt;
  std::optional<std::string> key = base64_decode(line.substr(prefix.size()));
  if (!key || key->size() != bytes) return std::nullopt;
  return key;
}

// Fails where the file exists: a key that is lost cannot be made again.
Status write_new_file(const std::string& path, const std::string& text, mode_t mode) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0 && errno == EEXIST)
    return make_error(ErrorCode::invalid_argument, "{} exists already; keys are never replaced", path);
  const bool written =
      descriptor >= 0 && ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int failure = errno;
  if (descriptor >= 0) ::close(descriptor);
  if (!written) return make_error(ErrorCode::io, "{}: {}", path, std::strerror(failure));
  return {};
}

}  // namespace

std::string PublicKey::text() const { return std::string(kPublicPrefix) + base64_encode(bytes); }

std::optional<PublicKey> parse_public_key(std::string_view text) {
  std::optional<std::string> bytes = parse_key(text, kPublicPrefix, crypto_sign_ed25519_PUBLICKEYBYTES);
  if (!bytes) return std::nullopt;
  return PublicKey{*std::move(bytes)};
}

Result<SecretKey> make_secret_key() {
  Result<Sodium> sodium = open_sodium();
  if (!sodium) return sodium.error();
  SecretKey key{std::string(crypto_sign_ed25519_SECRETKEYBYTES, '\0')};
  std::string public_half(crypto_sign_ed25519_PUBLICKEYBYTES, '\0');
  sodium->make_pair(bytes_of(public_half), bytes_of(key.bytes));
  return key;
}

Result<std::string> sign(const SecretKey& key, std::string_view message) {
  Result<Sodium> sodium = open_sodium();
  if (!sodium) return sodium.error();
  std::string signature(crypto_sign_ed25519_BYTES, '\0');
  sodium->sign(bytes_of(signature), nullptr, bytes_of(message), message.size(), bytes_of(std::string_view(key.bytes)));
  return signature;
}

Result<bool> verify_signature(const PublicKey& key, std::string_view message, std::string_view signature) {
  if (key.bytes.size() != crypto_sign_ed25519_PUBLICKEYBYTES || signature.size() != crypto_sign_ed25519_BYTES)
    return false;
  Result<Sodium> sodium = open_sodium();
  if (!sodium) return sodium.error();
  return sodium->verify(bytes_of(signature), bytes_of(message), message.size(), bytes_of(std::string_view(key.bytes))) ==
         0;
}

Status write_key_files(const SecretKey& key, const std::string& secret_path, const std::string& public_path) {
  const std::string secret = std::string(kSecretPrefix) + base64_encode(key.bytes) + "\n";
  if (Status status = write_new_file(secret_path, secret, 0600); !status) return status;
  Status status = write_new_file(public_path, key.public_key().text() + "\n", 0644);
  if (!status) ::unlink(secret_path.c_str());  // both or none
  return status;
}

Result<SecretKey> read_secret_key(const std::string& path) {
  Result<std::string> text = read_lines(path);
  if (!text) return text.error();
  std::optional<std::string> bytes = parse_key(trim(*text), kSecretPrefix, crypto_sign_ed25519_SECRETKEYBYTES);
  if (!bytes) {
    return make_error(ErrorCode::invalid_argument, "{}: not a secret key; it is one line that begins with {} (rtjit pack-key makes one)",
                      path, kSecretPrefix);
  }
  return SecretKey{*std::move(bytes)};
}

Result<std::vector<PublicKey>> read_public_keys(const std::string& path) {
  Result<std::string> text = read_lines(path);
  if (!text) return text.error();
  std::vector<PublicKey> keys;
  int number = 0;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string_view content = trim(std::string_view(line).substr(0, line.find('#')));
    if (content.empty()) continue;
    std::optional<PublicKey> key = parse_public_key(content);
    if (!key) {
      return make_error(ErrorCode::invalid_argument, "{}, line {}: not a public key; each begins with {}", path, number,
                        kPublicPrefix);
    }
    keys.push_back(*std::move(key));
  }
  if (keys.empty()) return make_error(ErrorCode::invalid_argument, "{} names no public key", path);
  return keys;
}

}  // namespace rtjit

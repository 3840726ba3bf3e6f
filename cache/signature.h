// Ed25519 signatures over texts: who made a pack, and that nobody changed it. libsodium does the work; it is opened only
// when something is signed or checked, so that programs which do neither do not need it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace rtjit {

struct PublicKey {
  std::string bytes;  // 32
  // "ed25519:" and base64: what error messages show and public key files hold.
  std::string text() const;
  bool operator==(const PublicKey&) const = default;
};

// The key that PublicKey::text() wrote, or nothing.
std::optional<PublicKey> parse_public_key(std::string_view text);

struct SecretKey {
  std::string bytes;  // 64; the second half is the public key
  PublicKey public_key() const { return {bytes.substr(32)}; }
};

// ErrorCode::unavailable, with what to install, where libsodium is missing; so do sign() and verify_signature().
Result<SecretKey> make_secret_key();

Result<std::string> sign(const SecretKey& key, std::string_view message);  // 64 bytes

// Whether `signature` is that of the key's owner for exactly this message.
Result<bool> verify_signature(const PublicKey& key, std::string_view message, std::string_view signature);

// Key files are one line of text. The secret one is made with mode 0600; an existing file is never replaced.
Status write_key_files(const SecretKey& key, const std::string& secret_path, const std::string& public_path);
Result<SecretKey> read_secret_key(const std::string& path);
// A public key file may list several, one a line; empty lines and what follows a # are passed over.
Result<std::vector<PublicKey>> read_public_keys(const std::string& path);

}  // namespace rtjit

// How binaries stand in their table. Private to cache/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cache/binary_codec.h"
#include "cache/database.h"

namespace rtjit {

// As it is stored: decode_binary() finds out whether it is intact.
Result<std::optional<StoredBinary>> select_binary(Database& database, const std::string& key);

// Every key, sorted.
Result<std::vector<std::string>> binary_keys(Database& database);

// Replaces a binary of the same key.
Status insert_binary(Database& database, const StoredBinary& stored);

// Only the content that was seen, not what another process may have put in its place.
Status delete_binary(Database& database, const std::string& key, const std::string& sha256);

}  // namespace rtjit

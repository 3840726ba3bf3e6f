// The tables of the cache and how older files become current ones. docs/cache-format.md documents every
// column.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "cache/database.h"

namespace rtjit {

// "rtjt": marks a file as ours (bytes 68 to 71 of the file; `file` prints it as "user application id").
constexpr int64_t kApplicationId = 0x72746A74;

// One step makes version n of version n - 1. Steps are never edited once released; a new version is a new
// step.
std::span<const char* const> schema_steps();
int schema_version();  // the version that this library writes

// What kind of file a connection has open.
enum class SchemaKind {
  empty,  // nothing in it: to be filled by migrate()
  older,  // to be completed by migrate()
  current,
  newer,       // written by a newer library, which says that this one can read it
  unreadable,  // written by a newer library, with tables that this one does not know
  foreign,     // a healthy database of another program
};
struct SchemaState {
  SchemaKind kind = SchemaKind::empty;
  int version = 0;
};
// ErrorCode::corrupt when the file contradicts itself.
Result<SchemaState> inspect_schema(Database& database);

// Applies the missing steps in one transaction: afterwards the file is of the version steps.size(), or as it
// was.
Status migrate(Database& database, std::span<const char* const> steps);

}  // namespace rtjit

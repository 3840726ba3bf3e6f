// What a Layer has open. Private to layer.cc and layer_open.cc.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "base/files.h"
#include "cache/database.h"
#include "cache/layer.h"

namespace rtjit {

// The two connections to one file, as long as the path names that file.
struct Layer::Session {
  std::unique_ptr<Database> reader,
      writer;  // no writer: reading only, or a database in memory (one for both)
  std::mutex reader_mutex, writer_mutex;
  std::optional<FileIdentity> identity;
  bool writable = false;
  int version = 0;

  Database& writing() { return writer ? *writer : *reader; }
  std::mutex& writing_mutex() { return writer ? writer_mutex : reader_mutex; }
};

}  // namespace rtjit

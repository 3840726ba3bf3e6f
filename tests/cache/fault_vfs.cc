#include "tests/cache/fault_vfs.h"

#include <sqlite3.h>

#include <atomic>

namespace rtjit {
namespace {

constexpr const char* kName = "rtjit-fault";

FaultPlan current_plan;
std::atomic<int> operations{0};

// SQLITE_OK, or the code that the next changing operation must fail with.
int next_operation() {
  const int number = operations++;
  if (current_plan.fail_at < 0 || number < current_plan.fail_at) return SQLITE_OK;
  return number == current_plan.fail_at || current_plan.for_good ? current_plan.sqlite_code : SQLITE_OK;
}

// SQLite allocates szOsFile bytes: our head, then the real layer's file.
struct File {
  sqlite3_file base;
  sqlite3_file* real() { return reinterpret_cast<sqlite3_file*>(this + 1); }
};

sqlite3_vfs* real_vfs() {
  static sqlite3_vfs* const vfs = sqlite3_vfs_find("unix");
  return vfs;
}

File* as_file(sqlite3_file* file) { return reinterpret_cast<File*>(file); }
sqlite3_file* real(sqlite3_file* file) { return as_file(file)->real(); }
const sqlite3_io_methods* methods(sqlite3_file* file) { return real(file)->pMethods; }

int close_file(sqlite3_file* file) { return methods(file)->xClose(real(file)); }
int read_bytes(sqlite3_file* file, void* to, int amount, sqlite3_int64 offset) {
  return methods(file)->xRead(real(file), to, amount, offset);
}
int write_bytes(sqlite3_file* file, const void* from, int amount, sqlite3_int64 offset) {
  const int fault = next_operation();
  if (fault == SQLITE_OK) return methods(file)->xWrite(real(file), from, amount, offset);
  if (current_plan.partly) methods(file)->xWrite(real(file), from, amount / 2, offset);
  return fault;
}
int truncate_file(sqlite3_file* file, sqlite3_int64 size) {
  const int fault = next_operation();
  return fault == SQLITE_OK ? methods(file)->xTruncate(real(file), size) : fault;
}
int sync_file(sqlite3_file* file, int flags) {
  const int fault = next_operation();
  return fault == SQLITE_OK ? methods(file)->xSync(real(file), flags) : fault;
}
int file_size(sqlite3_file* file, sqlite3_int64* size) { return methods(file)->xFileSize(real(file), size); }
int lock_file(sqlite3_file* file, int level) { return methods(file)->xLock(real(file), level); }
int unlock_file(sqlite3_file* file, int level) { return methods(file)->xUnlock(real(file), level); }
int check_lock(sqlite3_file* file, int* out) { return methods(file)->xCheckReservedLock(real(file), out); }
int control(sqlite3_file* file, int op, void* argument) {
  return methods(file)->xFileControl(real(file), op, argument);
}
int sector_size(sqlite3_file* file) { return methods(file)->xSectorSize(real(file)); }
int traits(sqlite3_file* file) { return methods(file)->xDeviceCharacteristics(real(file)); }
int map_shared(sqlite3_file* file, int page, int size, int extend, void volatile** out) {
  if (extend != 0) {
    const int fault = next_operation();
    if (fault != SQLITE_OK) return fault;
  }
  return methods(file)->xShmMap(real(file), page, size, extend, out);
}
int lock_shared(sqlite3_file* file, int offset, int count, int flags) {
  return methods(file)->xShmLock(real(file), offset, count, flags);
}
void barrier(sqlite3_file* file) { methods(file)->xShmBarrier(real(file)); }
int unmap_shared(sqlite3_file* file, int remove) { return methods(file)->xShmUnmap(real(file), remove); }

const sqlite3_io_methods kMethods = {
    2,           close_file,  read_bytes,   write_bytes, truncate_file, sync_file, file_size,
    lock_file,   unlock_file, check_lock,   control,     sector_size,   traits,    map_shared,
    lock_shared, barrier,     unmap_shared, nullptr,     nullptr,
};

int open_file(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  file->pMethods = nullptr;
  const int code = real_vfs()->xOpen(real_vfs(), name, real(file), flags, out_flags);
  if (real(file)->pMethods != nullptr) file->pMethods = &kMethods;
  return code;
}

// The other functions are the real layer's own: they find their state through pAppData, which is copied too.
void register_layer() {
  static sqlite3_vfs layer = [] {
    sqlite3_vfs vfs = *real_vfs();
    vfs.szOsFile += static_cast<int>(sizeof(File));
    vfs.zName = kName;
    vfs.pNext = nullptr;
    vfs.xOpen = open_file;
    return vfs;
  }();
  sqlite3_vfs_register(&layer, 0);
}

}  // namespace

std::string set_fault_plan(const FaultPlan& plan) {
  register_layer();
  current_plan = plan;
  operations = 0;
  return kName;
}

int fault_operations() { return operations; }

}  // namespace rtjit

#include "base/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <thread>

namespace rtjit {

std::string parent_directory(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

Status make_directories(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return {};
    return make_error(ErrorCode::io, "{} is there but is not a folder", path);
  }
  const std::string parent = parent_directory(path);
  if (parent != path && parent != ".") {
    if (Status status = make_directories(parent); !status.ok()) return status;
  }
  if (mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  const ErrorCode code =
      errno == EROFS || errno == EACCES || errno == EPERM ? ErrorCode::read_only : ErrorCode::io;
  return make_error(code, "cannot create the folder {}: {}", path, strerror(errno));
}

bool directory_is_writable(const std::string& path) { return access(path.c_str(), W_OK | X_OK) == 0; }

std::optional<FileIdentity> file_identity(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return FileIdentity{static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino)};
}

int64_t file_bytes(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? static_cast<int64_t>(info.st_size) : 0;
}

std::string network_file_system_name(uint64_t statfs_type) {
  switch (statfs_type & 0xFFFFFFFFu) {  // f_type is sign-extended on some kernels
    case 0x6969u:
      return "nfs";
    case 0x517Bu:
    case 0xFF534D42u:
    case 0xFE534D42u:
      return "smb";
    case 0x564Cu:
      return "ncp";
    case 0x73757245u:
      return "coda";
    case 0x5346414Fu:
      return "afs";
    case 0x01021997u:
      return "9p";
    case 0x00C36400u:
      return "ceph";
    case 0x0BD00BD0u:
      return "lustre";
    case 0x47504653u:
      return "gpfs";
    case 0x19830326u:
      return "beegfs";
    case 0x65735546u:
      return "fuse";  // may be local, but shared memory and locks cannot be relied on
    default:
      return "";
  }
}

std::string network_file_system(const std::string& path) {
  struct statfs info {};
  if (statfs(path.c_str(), &info) != 0) return "";
  return network_file_system_name(static_cast<uint64_t>(info.f_type));
}

std::string utc_stamp(int64_t unix_seconds) {
  const time_t seconds = static_cast<time_t>(unix_seconds);
  struct tm parts {};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

FileLock::FileLock(const std::string& path, std::chrono::milliseconds patience) {
  descriptor_ = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (descriptor_ < 0) return;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const bool contended = errno == EWOULDBLOCK || errno == EINTR;
    if (!contended || std::chrono::steady_clock::now() >= deadline) {
      ::close(descriptor_);
      descriptor_ = -1;
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace rtjit

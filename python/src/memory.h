// A library on its device, and memory of that device for callers without an allocator of their own.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>
#include <string>
#include <vector>

#include "c_api.h"

namespace rtjit::python {

namespace nb = nanobind;

// An opened library. Kernels and memory share it, so it is closed after them.
class Library {
 public:
  struct Options {
    std::string database;
    std::vector<std::string> read_only, template_paths;
    std::string trusted_keys;
    int device = 0;
    nb::object log;  // called with (level, message) from any thread; none: warnings go to standard error
  };
  Library(std::shared_ptr<const CApi> api, Options options);
  ~Library();
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  const CApi& api() const { return *api_; }
  rtjit_library* get() const { return library_; }
  const rtjit_device_info& device() const { return device_; }
  bool emulated() const { return device_.emulated != 0; }

 private:
  std::shared_ptr<const CApi> api_;
  nb::object log_;
  rtjit_library* library_ = nullptr;
  rtjit_device_info device_{};
};

class Memory {
 public:
  Memory(std::shared_ptr<Library> library, size_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  const Library& library() const { return *library_; }
  void write(const void* host, size_t bytes, size_t offset);
  void read(void* host, size_t bytes, size_t offset) const;

 private:
  void check_span(size_t bytes, size_t offset) const;
  std::shared_ptr<Library> library_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace rtjit::python

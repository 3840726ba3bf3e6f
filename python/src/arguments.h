// The tensors of one call, read from Python's arguments, and their copies where the device is an emulated
// one.
#pragma once

#include <memory>
#include <vector>

#include "kernel.h"

namespace rtjit::python {

class ArgumentReader {
 public:
  static constexpr size_t kMost = 64;
  ArgumentReader(const Kernel& kernel, bool packing) : kernel_(kernel), packing_(packing) {}

  // Positional arguments are the tensors that are read, in the manifest's order; keywords are named.
  void read(const nb::args& positional, const nb::kwargs& named);

  const rtjit_tensor* tensors() const { return tensors_; }
  size_t count() const { return count_; }
  const CallOptions& options() const { return options_; }
  int64_t bucket_value() const { return bucket_value_; }
  nb::object written() const { return written_; }
  void* stream() const { return stream(options_.stream, nullptr); }
  // The stream that `wanted` stands for. None: the current one of the tensors' framework, else `fallback`.
  void* stream(nb::handle wanted, void* fallback) const;
  // On an emulated device: what is read has changed since read().
  void copy_in();
  // After a launch on an emulated device: what was written goes back to where the caller wants it.
  void copy_back();

 private:
  struct Copy {
    std::unique_ptr<Memory> memory;
    void* host;
    size_t bytes;
    bool written;
  };
  const Kernel::Argument* find(nb::handle name) const;
  void add(const Kernel::Argument* argument, const char* name, nb::handle object);
  void place(const char* name, const TensorView& view, bool written, rtjit_tensor* tensor);

  const Kernel& kernel_;
  const bool packing_;
  rtjit_tensor tensors_[kMost];
  size_t count_ = 0;
  int64_t bucket_value_ = 0;
  CallOptions options_;
  nb::object written_;
  const dlpack::Exchange* exchange_ = nullptr;
  std::vector<nb::object> keep_;
  std::vector<Copy> copies_;
};

// The address of memory that the caller gives for packed weights or workspace, and its size.
struct Span {
  void* data;
  size_t bytes;
};
Span span_of(const Library& library, const char* name, nb::handle object);

// The packed weights that the object is; raises rtjit.InvalidArgument where it is something else.
std::shared_ptr<Weights> weights_of(nb::handle object);

// A call of the library that launches. An emulated launch takes as long as a compile; a real one less than
// giving the GIL away.
template <typename Call>
rtjit_status run(const Library& library, Call&& call) {
  if (!library.emulated()) return call();
  nb::gil_scoped_release released;
  return call();
}

}  // namespace rtjit::python

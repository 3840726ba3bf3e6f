// A launch that was decided ahead: what a call checks and computes each time is done once.
#pragma once

#include "arguments.h"

namespace rtjit::python {

class Frozen {
 public:
  // `arguments`, `named`: what the launch was frozen with, kept alive. `workspace`: the caller's object, or
  // none.
  Frozen(std::shared_ptr<Kernel> kernel, std::shared_ptr<Weights> packed, const nb::args& positional,
         const nb::kwargs& named);
  ~Frozen();
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

  const std::shared_ptr<Kernel>& kernel() const { return kernel_; }

  // Without tensors: those that it was frozen with. With tensors: all of them, of the same types, shapes and
  // strides. The written argument, for chaining.
  nb::object launch(const nb::args& positional, const nb::kwargs& named);

 private:
  const CApi& api() const { return kernel_->library()->api(); }
  void* address_in(const ArgumentReader& given, const rtjit_tensor& frozen) const;

  std::shared_ptr<Kernel> kernel_;
  std::shared_ptr<Weights> packed_;
  nb::object positional_, named_;  // the tensors' owners
  ArgumentReader reader_;
  void* stream_;
  rtjit_frozen* frozen_ = nullptr;
};

}  // namespace rtjit::python

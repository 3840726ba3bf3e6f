#include "c_api.h"

#include <dlfcn.h>
#include <nanobind/nanobind.h>

#include <stdexcept>

namespace nb = nanobind;

namespace rtjit::python {
namespace {

[[noreturn]] void raise(int status, const char* message) {
  nb::object type = nb::module_::import_("rtjit.errors").attr("class_for")(status);
  PyErr_SetString(type.ptr(), message);
  throw nb::python_error();
}

}  // namespace

std::shared_ptr<const CApi> CApi::load(const std::string& file) {
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) throw std::runtime_error(std::string("librtjit cannot be opened: ") + dlerror());
  auto api = std::make_shared<CApi>();
  api->file = file;
  auto bind = [&](const char* name, auto& function) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(handle, name));
    if (function != nullptr) return;
    throw std::runtime_error(file + ": has no " + name +
                             "; the Python package and the library must be of one version");
  };
#define RTJIT_PYTHON_BIND(name) bind("rtjit_" #name, api->name);
  RTJIT_PYTHON_FUNCTIONS(RTJIT_PYTHON_BIND)
#undef RTJIT_PYTHON_BIND
  return api;
}

void check(const CApi& api, rtjit_status status) {
  if (status != RTJIT_OK) raise(static_cast<int>(status), api.last_error());
}

void raise_invalid_argument(const std::string& message) { raise(RTJIT_INVALID_ARGUMENT, message.c_str()); }

}  // namespace rtjit::python

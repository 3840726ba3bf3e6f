// rtjit._rtjit: the classes behind the Python package. rtjit/__init__.py has the functions that users call.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "frozen.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace rtjit::python;

namespace {

std::shared_ptr<Kernel> open_kernel(const std::shared_ptr<Library>& library, const std::string& template_name,
                                    const std::string& problem, int miss_policy, int64_t max_bucket,
                                    const std::vector<std::string>& configs) {
  std::vector<const char*> overrides;
  for (const std::string& config : configs) overrides.push_back(config.c_str());
  overrides.push_back(nullptr);
  rtjit_open_options options{};
  options.struct_size = sizeof options;
  options.miss_policy = static_cast<rtjit_miss_policy>(miss_policy);
  options.max_bucket = max_bucket;
  options.configs = overrides.data();
  return std::make_shared<Kernel>(library, template_name, problem, options);
}

nb::dict describe(const Kernel::Argument& argument) {
  std::vector<std::string> dtypes;
  for (int i = 0; i < 32; ++i) {
    if ((argument.info.dtypes >> i & 1) != 0) dtypes.emplace_back(dtype_name(i));
  }
  nb::dict result;
  result["name"] = argument.info.name;
  result["doc"] = argument.info.doc;
  result["packed"] = argument.info.packed != 0;
  result["written"] = argument.info.written != 0;
  result["optional"] = argument.info.optional != 0;
  result["rank"] = argument.info.rank;
  result["dtypes"] = dtypes;
  return result;
}

// Any object with the buffer protocol, contiguous.
class Buffer {
 public:
  Buffer(nb::handle object, int flags) {
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw nb::python_error();
  }
  ~Buffer() { PyBuffer_Release(&view_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  void* data() const { return view_.buf; }
  size_t bytes() const { return static_cast<size_t>(view_.len); }

 private:
  Py_buffer view_;
};

TypedTensor typed_tensor(nb::object source, const std::string& dtype) {
  int number = dtype_from_name(dtype);
  if (number < 0) raise_invalid_argument("dtype: " + dtype + ", allowed are " + dtype_names());
  return {std::move(source), number};
}

}  // namespace

NB_MODULE(_rtjit, m) {
  // What PyTorch keeps until the process ends (compiled code, operators) is no leak, and users should not
  // read that it is.
  nb::set_leak_warnings(false);

  nb::class_<CApi>(m, "Api")
      .def_prop_ro("file", [](const CApi& api) { return api.file; })
      .def_prop_ro("version", [](const CApi& api) { return std::string(api.version()); })
      .def("status_name", [](const CApi& api, int status) {
        return std::string(api.status_name(static_cast<rtjit_status>(status)));
      });
  m.def(
      "load", [](const std::string& file) { return std::const_pointer_cast<CApi>(CApi::load(file)); },
      "file"_a);

  nb::class_<TypedTensor>(m, "TypedTensor");
  m.def("tensor", &typed_tensor, "source"_a, "dtype"_a);

  nb::class_<Library>(m, "Library", nb::is_weak_referenceable())
      .def(
          "__init__",
          [](Library* self, std::shared_ptr<CApi> api, int device, const std::string& database,
             const std::vector<std::string>& read_only, const std::vector<std::string>& template_paths,
             const std::string& trusted_keys, nb::object log) {
            new (self)
                Library(std::move(api), {database, read_only, template_paths, trusted_keys, device, log});
          },
          "api"_a, "device"_a, "database"_a, "read_only"_a, "template_paths"_a, "trusted_keys"_a,
          "log"_a.none())
      .def_prop_ro("device_name", [](const Library& l) { return std::string(l.device().name); })
      .def_prop_ro("target", [](const Library& l) { return std::string(l.device().target); })
      .def_prop_ro("ordinal", [](const Library& l) { return l.device().ordinal; })
      .def_prop_ro("sm_count", [](const Library& l) { return l.device().sm_count; })
      .def_prop_ro("total_memory", [](const Library& l) { return l.device().total_memory; })
      .def_prop_ro("emulated", &Library::emulated)
      .def_prop_ro("file", [](const Library& l) { return l.api().file; })
      .def("_open", &open_kernel, "template"_a, "problem"_a, "miss_policy"_a, "max_bucket"_a, "configs"_a);

  nb::class_<Memory>(m, "Memory")
      .def(nb::init<std::shared_ptr<Library>, size_t>(), "library"_a, "nbytes"_a)
      .def_prop_ro("nbytes", &Memory::bytes)
      .def_prop_ro("ptr", [](const Memory& memory) { return reinterpret_cast<uintptr_t>(memory.data()); })
      .def(
          "write",
          [](Memory& memory, nb::object data, size_t offset) {
            Buffer buffer(data, PyBUF_SIMPLE);
            memory.write(buffer.data(), buffer.bytes(), offset);
          },
          "data"_a, "offset"_a = 0)
      .def("read",
           [](const Memory& memory) {
             std::string bytes(memory.bytes(), '\0');
             memory.read(bytes.data(), bytes.size(), 0);
             return nb::bytes(bytes.data(), bytes.size());
           })
      .def_prop_ro("__cuda_array_interface__", [](const Memory& memory) {
        if (memory.library().emulated()) throw nb::attribute_error("memory of an emulated device");
        nb::dict result;
        result["shape"] = nb::make_tuple(memory.bytes());
        result["typestr"] = "|u1";
        result["data"] = nb::make_tuple(reinterpret_cast<uintptr_t>(memory.data()), false);
        result["version"] = 3;
        return result;
      });

  nb::class_<Weights>(m, "Weights")
      .def_prop_ro("kernel", &Weights::kernel)
      .def_prop_ro("memory", &Weights::memory)
      .def_prop_ro("layout", [](const Weights& weights) { return weights.kernel()->layout(); })
      .def("__call__", [](const Weights& self, const nb::args& tensors,
                          const nb::kwargs& named) { return self.kernel()->launch(tensors, named, &self); })
      .def("freeze", [](std::shared_ptr<Weights> self, const nb::args& tensors, const nb::kwargs& named) {
        const std::shared_ptr<Kernel> kernel = self->kernel();
        return std::make_shared<Frozen>(kernel, std::move(self), tensors, named);
      });

  nb::class_<Frozen>(m, "Frozen", nb::is_weak_referenceable())
      .def("__call__", &Frozen::launch)
      .def_prop_ro("kernel", &Frozen::kernel);

  nb::class_<Kernel>(m, "Kernel", nb::is_weak_referenceable())
      .def("__call__", [](Kernel& self, const nb::args& tensors,
                          const nb::kwargs& named) { return self.launch(tensors, named, nullptr); })
      .def("freeze",
           [](const std::shared_ptr<Kernel>& self, const nb::args& tensors, const nb::kwargs& named) {
             return std::make_shared<Frozen>(self, nullptr, tensors, named);
           })
      .def("pack_weights", &Kernel::pack_weights)
      .def("adopt_weights", &Kernel::adopt_weights, "layout"_a, "packed"_a)
      .def("workspace_size", &Kernel::workspace_size, "bucket_value"_a)
      .def("reserve", &Kernel::reserve, "bucket_value"_a, "stream"_a = nb::none())
      .def("provenance", &Kernel::provenance, "bucket_value"_a)
      .def("refresh", &Kernel::refresh)
      .def_prop_ro("packed_size", &Kernel::packed_size)
      .def_prop_ro("layout", &Kernel::layout)
      .def_prop_ro("problem", &Kernel::problem)
      .def_prop_ro("library", &Kernel::library)
      .def_prop_ro("arguments", [](const Kernel& kernel) {
        nb::list result;
        for (const Kernel::Argument& argument : kernel.arguments()) result.append(describe(argument));
        return result;
      });
}

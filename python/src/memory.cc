#include "memory.h"

namespace rtjit::python {
namespace {

std::vector<const char*> pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> result;
  for (const std::string& text : texts) result.push_back(text.c_str());
  result.push_back(nullptr);
  return result;
}

const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }

// The library logs from threads of its own as well. What the callback raises has nowhere to go but to
// Python's hook.
void log_to_python(void* user, int32_t level, const char* message) {
  if (!Py_IsInitialized()) return;
  nb::gil_scoped_acquire gil;
  try {
    nb::handle(static_cast<PyObject*>(user))(level, message);
  } catch (nb::python_error& error) {
    error.discard_as_unraisable("rtjit's log function");
  }
}

}  // namespace

Library::Library(std::shared_ptr<const CApi> api, Options options)
    : api_(std::move(api)), log_(std::move(options.log)) {
  std::vector<const char*> read_only = pointers(options.read_only), paths = pointers(options.template_paths);
  rtjit_library_options given{};
  given.struct_size = sizeof given;
  given.database = or_null(options.database);
  given.read_only = read_only.data();
  given.template_paths = paths.data();
  given.trusted_keys = or_null(options.trusted_keys);
  given.device = options.device;
  if (log_.is_valid() && !log_.is_none()) {
    given.log = log_to_python;
    given.log_user = log_.ptr();
  }
  rtjit_status status;
  {
    nb::gil_scoped_release released;
    status = api_->library_open(&given, &library_);
  }
  check(*api_, status);
  device_.struct_size = sizeof device_;
  check(*api_, api_->library_device(library_, &device_));
}

Library::~Library() {
  nb::gil_scoped_release released;  // a thread of the library may be logging
  api_->library_close(library_);
}

Memory::Memory(std::shared_ptr<Library> library, size_t bytes) : library_(std::move(library)), bytes_(bytes) {
  check(library_->api(), library_->api().memory_allocate(library_->get(), bytes, &data_));
}

Memory::~Memory() { library_->api().memory_free(library_->get(), data_); }

void Memory::check_span(size_t bytes, size_t offset) const {
  if (offset <= bytes_ && bytes <= bytes_ - offset) return;
  raise_invalid_argument(std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of memory of " +
                         std::to_string(bytes_) + " bytes");
}

void Memory::write(const void* host, size_t bytes, size_t offset) {
  check_span(bytes, offset);
  const CApi& api = library_->api();
  check(api, api.memory_write(library_->get(), static_cast<char*>(data_) + offset, host, bytes));
}

void Memory::read(void* host, size_t bytes, size_t offset) const {
  check_span(bytes, offset);
  const CApi& api = library_->api();
  check(api, api.memory_read(library_->get(), host, static_cast<char*>(data_) + offset, bytes));
}

}  // namespace rtjit::python

#include "compiler/nvrtc.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/dylib.h"
#include "base/text.h"
#include "compiler/nvrtc_search.h"

namespace rtjit {
namespace {

// NVRTC's C interface, as far as it is used. Declared here because its header may be absent when this is
// built.
using Program = struct ProgramTag*;
using Code = int;
constexpr Code kSuccess = 0;
constexpr Code kOutOfMemory = 1;
constexpr Code kCompilation = 6;

constexpr const char* kHowToGet =
    "NVRTC 12.8 or newer is needed: install a CUDA toolkit, or `pip install nvidia-cuda-nvrtc` (CUDA 13) or "
    "`pip install nvidia-cuda-nvrtc-cu12` (CUDA 12), or set RTJIT_NVRTC to the file libnvrtc.so.*";

// NVRTC opens this library of builtins by its bare name, which the loader finds for a toolkit, but not in
// NVIDIA's wheels, nor beside a copy of NVRTC elsewhere. Once it is loaded, its name is enough.
std::string companion_of(const std::string& nvrtc, int major, int minor) {
  std::string name = fmt::format("libnvrtc-builtins.so.{}.{}", major, minor);
  return (std::filesystem::path(nvrtc).parent_path() / name).string();
}

}  // namespace

struct Nvrtc::Functions {
  Dylib library;
  Code (*version)(int*, int*) = nullptr;
  const char* (*error_string)(Code) = nullptr;
  Code (*number_of_archs)(int*) = nullptr;
  Code (*archs)(int*) = nullptr;
  Code (*create)(Program*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  Code (*destroy)(Program*) = nullptr;
  Code (*compile)(Program, int, const char* const*) = nullptr;
  Code (*log_size)(Program, size_t*) = nullptr;
  Code (*log)(Program, char*) = nullptr;
  Code (*ptx_size)(Program, size_t*) = nullptr;
  Code (*ptx)(Program, char*) = nullptr;
  Code (*cubin_size)(Program, size_t*) = nullptr;
  Code (*cubin)(Program, char*) = nullptr;
  Code (*add_name)(Program, const char*) = nullptr;
  Code (*lowered_name)(Program, const char*, const char**) = nullptr;
  // Newer versions only: asked during a compile whether to go on.
  Code (*set_flow_callback)(Program, int (*)(void*, void*), void*) = nullptr;

  bool bind() {
    library.bind("nvrtcSetFlowCallback", set_flow_callback);
    return library.bind("nvrtcVersion", version) && library.bind("nvrtcGetErrorString", error_string) &&
           library.bind("nvrtcGetNumSupportedArchs", number_of_archs) &&
           library.bind("nvrtcGetSupportedArchs", archs) && library.bind("nvrtcCreateProgram", create) &&
           library.bind("nvrtcDestroyProgram", destroy) && library.bind("nvrtcCompileProgram", compile) &&
           library.bind("nvrtcGetProgramLogSize", log_size) && library.bind("nvrtcGetProgramLog", log) &&
           library.bind("nvrtcGetPTXSize", ptx_size) && library.bind("nvrtcGetPTX", ptx) &&
           library.bind("nvrtcGetCUBINSize", cubin_size) && library.bind("nvrtcGetCUBIN", cubin) &&
           library.bind("nvrtcAddNameExpression", add_name) &&
           library.bind("nvrtcGetLoweredName", lowered_name);
  }

  Error failure(const char* doing, Code code) const {
    return make_error(code == kOutOfMemory ? ErrorCode::out_of_memory : ErrorCode::internal, "{}: {}", doing,
                      error_string(code));
  }

  // A text or binary result: its size, then its bytes. Empty when there is none.
  std::string fetch(Program program, Code (*size_of)(Program, size_t*), Code (*get)(Program, char*)) const {
    size_t size = 0;
    if (size_of(program, &size) != kSuccess || size == 0) return "";
    std::string bytes(size, '\0');
    return get(program, bytes.data()) == kSuccess ? bytes : "";
  }

  // The same for a C string: without its terminating zero.
  std::string fetch_text(Program program, Code (*size_of)(Program, size_t*),
                         Code (*get)(Program, char*)) const {
    std::string text = fetch(program, size_of, get);
    while (!text.empty() && text.back() == '\0') text.pop_back();
    return text;
  }
};

Result<std::shared_ptr<Nvrtc>> Nvrtc::load(const std::string& file) {
  Result<Dylib> library = Dylib::open(file, Dylib::Lifetime::stays);
  if (!library) return library.error();
  auto functions = std::make_unique<Functions>();
  functions->library = *std::move(library);
  std::shared_ptr<Nvrtc> loaded(new Nvrtc);
  loaded->path_ = functions->library.file();
  if (loaded->path_.empty()) loaded->path_ = file;
  if (!functions->bind() || functions->version(&loaded->major_, &loaded->minor_) != kSuccess)
    return make_error(ErrorCode::unavailable, "{}: not NVRTC, or one without cubin output", loaded->path_);
  if (std::pair(loaded->major_, loaded->minor_) < std::pair(12, 8)) {
    return make_error(ErrorCode::compiler_too_old, "{}: version {}.{} is too old, 12.8 or later is needed",
                      loaded->path_, loaded->major_, loaded->minor_);
  }
  loaded->functions_ = std::move(functions);
  // Where it does not lie beside NVRTC, NVRTC finds it by itself, or says that it does not.
  const std::string companion = companion_of(loaded->path_, loaded->major_, loaded->minor_);
  std::error_code error;
  if (std::filesystem::exists(companion, error)) {
    Result<Dylib> opened = Dylib::open(companion, Dylib::Lifetime::stays);
    if (!opened) return opened.error();
  }
  return loaded;
}

Result<std::shared_ptr<const Nvrtc>> Nvrtc::open() {
  NvrtcSearch search = search_nvrtc();
  std::vector<std::string> refused;
  bool too_old = false;
  for (const std::string& candidate : search.candidates) {
    Result<std::shared_ptr<Nvrtc>> loaded = load(candidate);
    if (loaded) return std::shared_ptr<const Nvrtc>(*std::move(loaded));
    bool file = candidate.find('/') != candidate.npos;
    bool opened = loaded.error().message.starts_with("/");
    too_old = too_old || loaded.error().code == ErrorCode::compiler_too_old;
    // That the loader finds no file by a bare name says nothing; anything else is worth telling.
    if (file || opened) refused.push_back(loaded.error().message);
  }
  std::string message = fmt::format("NVRTC {}. Looked at:\n  {}", too_old ? "is too old" : "was not found",
                                    join(search.places, "\n  "));
  if (!refused.empty()) message += "\nFound but not usable:\n  " + join(refused, "\n  ");
  return make_error(too_old ? ErrorCode::compiler_too_old : ErrorCode::no_compiler, "{}\n{}", message,
                    kHowToGet);
}

Result<std::shared_ptr<const Nvrtc>> Nvrtc::fresh_copy() const {
  namespace fs = std::filesystem;
  // The companion must be there: load() finds none beside the copy.
  Result<Dylib> companion = Dylib::open(companion_of(path_, major_, minor_), Dylib::Lifetime::stays);
  if (!companion) return companion.error();
  std::error_code error;
  std::string file = (fs::temp_directory_path(error) / "rtjit-nvrtc-XXXXXX").string();
  int descriptor = mkstemp(file.data());
  if (descriptor < 0) return make_error(ErrorCode::io, "{}: cannot be created", file);
  close(descriptor);
  fs::copy_file(path_, file, fs::copy_options::overwrite_existing, error);
  Result<std::shared_ptr<Nvrtc>> loaded =
      error ? make_error(ErrorCode::io, "copying {} to {}: {}", path_, file, error.message()) : load(file);
  fs::remove(file, error);
  if (!loaded) return loaded.error();
  (*loaded)->path_ = path_;
  return std::shared_ptr<const Nvrtc>(*std::move(loaded));
}

Nvrtc::~Nvrtc() = default;

std::string Nvrtc::version() const { return fmt::format("nvrtc {}.{}", major_, minor_); }

std::vector<int> Nvrtc::supported_archs() const {
  int count = 0;
  if (functions_->number_of_archs(&count) != kSuccess || count <= 0) return {};
  std::vector<int> archs(count);
  return functions_->archs(archs.data()) == kSuccess ? archs : std::vector<int>();
}

Result<NvrtcOutput> Nvrtc::compile(const NvrtcInput& input) const {
  const Functions& nvrtc = *functions_;
  std::vector<const char*> names, contents, options;
  for (const auto& [name, content] : input.headers) {
    names.push_back(name.c_str());
    contents.push_back(content.c_str());
  }
  for (const std::string& option : input.options) options.push_back(option.c_str());

  Program raw = nullptr;
  Code code = nvrtc.create(&raw, input.source.c_str(), input.name.c_str(), static_cast<int>(names.size()),
                           contents.data(), names.data());
  if (code != kSuccess) return nvrtc.failure("creating an NVRTC program", code);
  auto destroy = [&nvrtc](Program program) { nvrtc.destroy(&program); };
  std::unique_ptr<std::remove_pointer_t<Program>, decltype(destroy)> program(raw, destroy);

  for (const std::string& name : input.name_expressions) {
    code = nvrtc.add_name(raw, name.c_str());
    if (code != kSuccess) return nvrtc.failure("naming a kernel to NVRTC", code);
  }
  if (input.cancelled && nvrtc.set_flow_callback) {
    auto ask = [](void* payload, void*) -> int {
      return (*static_cast<const std::function<bool()>*>(payload))();
    };
    nvrtc.set_flow_callback(raw, ask, const_cast<std::function<bool()>*>(&input.cancelled));
  }

  code = nvrtc.compile(raw, static_cast<int>(options.size()), options.data());
  NvrtcOutput output;
  output.log = nvrtc.fetch_text(raw, nvrtc.log_size, nvrtc.log);
  if (code != kSuccess) {
    output.cancelled = input.cancelled && input.cancelled();
    if (code == kCompilation || output.cancelled) return output;
    // A wrong option, an internal error and the like: the program's or the caller's fault, with words in the
    // log.
    if (code == kOutOfMemory) return nvrtc.failure("compiling with NVRTC", code);
    output.log = fmt::format("{}\n{}", nvrtc.error_string(code), output.log);
    return output;
  }
  output.ok = true;
  output.ptx = nvrtc.fetch_text(raw, nvrtc.ptx_size, nvrtc.ptx);
  output.cubin = nvrtc.fetch(raw, nvrtc.cubin_size, nvrtc.cubin);
  for (const std::string& name : input.name_expressions) {
    const char* lowered = nullptr;
    code = nvrtc.lowered_name(raw, name.c_str(), &lowered);
    if (code != kSuccess || !lowered) return nvrtc.failure("asking NVRTC for a kernel's symbol", code);
    output.lowered_names.emplace_back(lowered);
  }
  return output;
}

}  // namespace rtjit

#include "compiler/specialize.h"

#include <filesystem>

#include "base/hash.h"
#include "base/text.h"
#include "templates/includes.h"

namespace rtjit {

Result<std::vector<std::string>> request_sources(const CompileRequest& request) {
  return reachable_sources(request.tmpl->sources, {request.source});
}

std::vector<std::string> compile_options(const Target& target, Artifact artifact) {
  std::string architecture = target.name().substr(3);
  std::string kind = artifact == Artifact::ptx ? "compute_" : "sm_";
  return {"--gpu-architecture=" + kind + architecture, "--std=c++20", "--device-as-default-execution-space",
          "--ptxas-options=-v"};
}

std::string specialized_source(const CompileRequest& request) {
  std::string text;
  for (const std::string& expression : request.name_expressions) text += "// " + expression + "\n";
  text += fmt::format("#define RTJIT_SMEM_BYTES {}\n#include \"{}\"\n", request.smem_bytes, request.source);
  return text;
}

std::string binary_key(const CompileRequest& request, std::string_view compiler) {
  return binary_key(request, compiler, request_sources(request));
}

std::string binary_key(const CompileRequest& request, std::string_view compiler,
                       const Result<std::vector<std::string>>& reachable) {
  ContentHash hash;
  hash.add("rtjit binary 1").add(compiler);
  for (const std::string& option : compile_options(request.target, Artifact::cubin)) hash.add(option);
  hash.add(request.smem_bytes).add(specialized_source(request));
  hash.add(static_cast<int64_t>(request.name_expressions.size()));
  for (const std::string& expression : request.name_expressions) hash.add(expression);
  // A request with a missing include has no binary; its key still tells its sources apart from others.
  if (!reachable) hash.add(reachable.error().message);
  for (const auto& [path, content] : request.tmpl->sources) {
    bool used = !reachable || std::find(reachable->begin(), reachable->end(), path) != reachable->end();
    if (used) hash.add(path).add(content);
  }
  return hash.hex();
}

NvrtcInput make_input(const Nvrtc& nvrtc, const CompileRequest& request,
                      const std::vector<std::string>& reachable, Artifact artifact) {
  NvrtcInput input;
  input.name = request.tmpl->name + ".cu";
  input.source = specialized_source(request);
  for (const std::string& path : reachable) input.headers.emplace_back(path, request.tmpl->sources.at(path));
  input.options = compile_options(request.target, artifact);
  input.name_expressions = request.name_expressions;
  // The toolkit's own headers (<cuda_bf16.h>) lie beside the library; which ones is part of its version.
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path include = fs::path(nvrtc.path()).parent_path().parent_path() / "include";
  if (fs::exists(include / "cuda_bf16.h", error))
    input.options.push_back("--include-path=" + include.string());
  return input;
}

}  // namespace rtjit

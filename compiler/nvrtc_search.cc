#include "compiler/nvrtc_search.h"

#include <glob.h>

#include <algorithm>
#include <filesystem>

#include "base/environment.h"
#include "base/text.h"

namespace rtjit {
namespace {

// ".../libnvrtc.so.12.8.93" -> {12, 8, 93}, for "newest first".
std::vector<int64_t> version_in_name(const std::string& path) {
  std::vector<int64_t> version;
  size_t suffix = path.rfind(".so.");
  if (suffix == path.npos) return version;
  for (const std::string& part : split(path.substr(suffix + 4), '.'))
    version.push_back(parse_int(part).value_or(0));
  return version;
}

class Search {
 public:
  void name(const std::string& bare) { found_.candidates.push_back(bare); }
  void place(const std::string& words) { found_.places.push_back(words); }

  // Every libnvrtc.so.<version> that `folder` (a glob pattern) holds.
  void folder(const std::string& pattern) {
    found_.places.push_back(pattern);
    glob_t matches{};
    std::vector<std::string> files;
    if (glob((pattern + "/libnvrtc.so.[0-9]*").c_str(), 0, nullptr, &matches) == 0)
      for (size_t i = 0; i < matches.gl_pathc; ++i) files.emplace_back(matches.gl_pathv[i]);
    globfree(&matches);
    std::stable_sort(files.begin(), files.end(), [](const std::string& a, const std::string& b) {
      return version_in_name(a) > version_in_name(b);
    });
    found_.candidates.insert(found_.candidates.end(), files.begin(), files.end());
  }

  // The wheels put it at nvidia/cu13/lib (CUDA 13) or nvidia/cuda_nvrtc/lib (CUDA 12).
  void packages(const std::string& pattern) { folder(pattern + "/nvidia/*/lib"); }

  void toolkit(const std::string& root) {
    folder(root + "/lib64");
    folder(root + "/targets/*/lib");
  }

  NvrtcSearch take() { return std::move(found_); }

 private:
  NvrtcSearch found_;
};

// The prefix of the python3 that PATH gives, as written and with links resolved (a virtual environment's is a
// link).
std::vector<std::string> python_prefixes() {
  namespace fs = std::filesystem;
  for (const std::string& folder : split(environment("PATH"), ':')) {
    fs::path python = fs::path(folder) / "python3";
    std::error_code error;
    if (folder.empty() || !fs::exists(python, error)) continue;
    std::vector<std::string> prefixes = {python.parent_path().parent_path().string()};
    fs::path resolved = fs::canonical(python, error);
    if (!error && resolved.parent_path().parent_path() != prefixes[0])
      prefixes.push_back(resolved.parent_path().parent_path().string());
    return prefixes;
  }
  return {};
}

}  // namespace

NvrtcSearch search_nvrtc() {
  Search search;
  if (std::string file = environment("RTJIT_NVRTC"); !file.empty()) {
    search.place("RTJIT_NVRTC=" + file);
    search.name(file);
    return search.take();
  }
  // Set by those who know better than this search, such as the Python package about the interpreter it runs in.
  for (const std::string& folder : split(environment("RTJIT_NVRTC_PATH"), ':'))
    if (!folder.empty()) search.folder(folder);
  search.place("the loader's path (LD_LIBRARY_PATH, ld.so.conf)");
  for (const char* bare : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"}) search.name(bare);
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (std::string root = environment(variable); !root.empty()) search.toolkit(root);
  search.toolkit("/usr/local/cuda");
  search.toolkit("/usr/local/cuda-*");
  if (std::string venv = environment("VIRTUAL_ENV"); !venv.empty())
    search.packages(venv + "/lib/python3*/site-packages");
  if (std::string conda = environment("CONDA_PREFIX"); !conda.empty()) {
    search.folder(conda + "/lib");
    search.packages(conda + "/lib/python3*/site-packages");
  }
  if (std::string home = environment("HOME"); !home.empty())
    search.packages(home + "/.local/lib/python3*/site-packages");
  for (const std::string& prefix : python_prefixes()) {
    search.packages(prefix + "/lib/python3*/site-packages");
    search.packages(prefix + "/lib/python3*/dist-packages");
  }
  search.packages("/usr/local/lib/python3*/*-packages");
  search.packages("/usr/lib/python3*/*-packages");
  return search.take();
}

}  // namespace rtjit

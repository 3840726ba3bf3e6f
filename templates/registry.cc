#include "templates/registry.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>

#include "base/text.h"
#include "templates/embedded.h"
#include "templates/preset.h"
#include "templates/toml_tree.h"

namespace rtjit {
namespace {

namespace fs = std::filesystem;

using Sources = std::map<std::string, std::string>;

constexpr std::string_view kManifest = "template.toml";

// A file that a manifest may name: kernels, and parts of the manifest itself.
bool is_source(std::string_view path) {
  return path.ends_with(".cuh") || (path.ends_with(".toml") && path != kManifest);
}

Result<std::string> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) return make_error(ErrorCode::io, "{}: cannot be read", path.string());
  return text;
}

// Adds the .cuh files and the parts of manifests below `folder` as "<prefix>/<path within the folder>". A
// folder that is not there adds none.
Status add_sources(const fs::path& folder, const std::string& prefix, Sources& sources) {
  std::error_code error;
  fs::recursive_directory_iterator files(folder, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  for (; !error && files != fs::recursive_directory_iterator(); files.increment(error)) {
    if (!is_source(files->path().filename().string())) continue;
    auto text = read_file(files->path());
    if (!text) return text.error();
    sources[prefix + "/" + files->path().lexically_relative(folder).generic_string()] = std::move(*text);
  }
  if (error) return make_error(ErrorCode::io, "{}: {}", folder.string(), error.message());
  return {};
}

// "a/b/c.cuh" below "a/b/" -> "c.cuh".
std::string_view below(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) ? path.substr(folder.size()) : std::string_view();
}

// Under another name than its folder's a template's own files are not found, and whoever reads that looks for
// them in vain: the name is what is wrong then.
Status check_name(const std::string& name, std::string_view manifest, const std::string& file_name) {
  auto tree = parse_toml(manifest, file_name);
  const std::string given = tree ? tree->text_of("name") : std::string();
  if (given.empty() || given == name) return {};
  return make_error(ErrorCode::invalid_argument,
                    "{}: name = '{}', but its folder is called '{}'; includes need the two to be the same",
                    file_name, given, name);
}

Result<std::shared_ptr<const Template>> parse(const std::string& name, std::string_view manifest,
                                              const std::string& file_name, Sources sources) {
  auto parsed = parse_manifest(manifest, file_name, std::move(sources));
  if (!parsed || parsed->name != name) {
    if (Status status = check_name(name, manifest, file_name); !status) return status.error();
  }
  if (!parsed) return parsed.error();
  return std::make_shared<const Template>(std::move(*parsed));
}

// The built-in headers that any template may include.
Sources built_in_headers() {
  Sources headers;
  for (const EmbeddedFile& file : embedded_files()) {
    std::string_view header = below(file.path, "templates/device/");
    if (!header.empty()) headers["device/" + std::string(header)] = file.content;
  }
  return headers;
}

Result<std::shared_ptr<const Template>> parse_built_in(const std::string& name,
                                                       const EmbeddedFile& manifest) {
  std::string_view folder = manifest.path.substr(0, manifest.path.size() - kManifest.size());
  Sources sources = built_in_headers();
  for (const EmbeddedFile& file : embedded_files()) {
    std::string_view source = below(file.path, folder);
    if (is_source(source)) sources[fmt::format("{}/{}", name, source)] = file.content;
  }
  return parse(name, manifest.content, std::string(manifest.path), std::move(sources));
}

}  // namespace

// A template that was read from a folder, or a built-in one, read when it is first asked for. A broken
// built-in one must not take the others with it: its error waits for whoever asks for it.
class TemplateRegistry::Entry {
 public:
  explicit Entry(std::shared_ptr<const Template> read) : read_(std::move(read)) {}
  Entry(std::string name, const EmbeddedFile& manifest) : name_(std::move(name)), manifest_(&manifest) {}

  const Result<std::shared_ptr<const Template>>& get() {
    std::call_once(once_, [this] {
      if (manifest_ != nullptr) read_ = parse_built_in(name_, *manifest_);
    });
    return read_;
  }

 private:
  std::string name_;
  const EmbeddedFile* manifest_ = nullptr;
  std::once_flag once_;
  Result<std::shared_ptr<const Template>> read_ = std::shared_ptr<const Template>();
};

TemplateRegistry::TemplateRegistry() = default;
TemplateRegistry::~TemplateRegistry() = default;

// Fills a TemplateRegistry.
class RegistryLoader {
 public:
  RegistryLoader() : registry_(new TemplateRegistry) {}

  Result<std::shared_ptr<const TemplateRegistry>> load(const std::vector<std::string>& folders) {
    for (const EmbeddedFile& file : embedded_files()) {
      if (file.path.starts_with("templates/") && file.path.ends_with("/template.toml")) {
        std::string name(below(file.path.substr(0, file.path.size() - kManifest.size() - 1), "templates/"));
        registry_->templates_[name] = std::make_unique<TemplateRegistry::Entry>(name, file);
      }
      if (!file.path.starts_with("presets/")) continue;
      auto preset = parse_preset(file.content, std::string(file.path));
      if (!preset) return preset.error();
      registry_->presets_.push_back(std::move(*preset));
    }
    std::sort(registry_->presets_.begin(), registry_->presets_.end(),
              [](const Preset& a, const Preset& b) { return a.name < b.name; });
    for (const std::string& folder : folders) {
      if (Status status = add_folder(folder); !status) return status.error();
    }
    return std::shared_ptr<const TemplateRegistry>(std::move(registry_));
  }

 private:
  Status add_folder(const fs::path& folder) {
    std::error_code error;
    if (fs::exists(folder / kManifest, error)) return add_from_disk(folder, {folder / "device"});
    std::vector<fs::path> found;
    fs::directory_iterator entries(folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      std::error_code ignored;
      if (fs::exists(entries->path() / kManifest, ignored)) found.push_back(entries->path());
    }
    if (error) return make_error(ErrorCode::io, "template folder {}: {}", folder.string(), error.message());
    if (found.empty()) {
      return make_error(ErrorCode::not_found,
                        "template folder {}: it holds neither {} nor a sub-folder with one", folder.string(),
                        kManifest);
    }
    std::sort(found.begin(), found.end());
    for (const fs::path& path : found) {
      Status status = add_from_disk(path, {folder / "device", path / "device"});
      if (!status) return status;
    }
    return {};
  }

  Status add_from_disk(const fs::path& folder, const std::vector<fs::path>& device_folders) {
    std::error_code error;
    std::string name = fs::canonical(folder, error).filename().string();
    if (error) return make_error(ErrorCode::io, "{}: {}", folder.string(), error.message());
    fs::path manifest = folder / kManifest;
    auto text = read_file(manifest);
    if (!text) return text.error();
    Sources sources = built_in_headers();
    for (const fs::path& device : device_folders) {
      if (Status status = add_sources(device, "device", sources); !status) return status;
    }
    if (Status status = add_sources(folder, name, sources); !status) return status;
    auto parsed = parse(name, *text, manifest.string(), std::move(sources));
    if (!parsed) return parsed.error();
    registry_->templates_[name] = std::make_unique<TemplateRegistry::Entry>(std::move(*parsed));
    return {};
  }

  std::shared_ptr<TemplateRegistry> registry_;
};

Result<std::shared_ptr<const TemplateRegistry>> TemplateRegistry::create(
    const std::vector<std::string>& folders) {
  try {
    return RegistryLoader().load(folders);
  } catch (const std::exception& error) {  // std::filesystem throws where it has no error code to set
    return make_error(ErrorCode::io, "reading templates: {}", error.what());
  }
}

Result<std::shared_ptr<const Template>> TemplateRegistry::find(std::string_view name) const {
  auto found = templates_.find(name);
  if (found != templates_.end()) return found->second->get();
  std::string near = nearest_name(name, names());
  return make_error(
      ErrorCode::not_found, "there is no template '{}'; {}", name,
      near.empty() ? "templates are " + join(names(), ", ") : fmt::format("did you mean '{}'?", near));
}

std::vector<std::string> TemplateRegistry::names() const {
  std::vector<std::string> out;
  for (const auto& [name, entry] : templates_) {
    if (entry->get().ok()) out.push_back(name);
  }
  return out;
}

Result<Preset> TemplateRegistry::find_preset(std::string_view name) const {
  std::vector<std::string> known;
  for (const Preset& preset : presets_) {
    if (preset.name == name) return preset;
    known.push_back(preset.name);
  }
  std::string near = nearest_name(name, known);
  return make_error(
      ErrorCode::not_found, "there is no preset '{}'; {}", name,
      near.empty() ? "presets are " + join(known, ", ") : fmt::format("did you mean '{}'?", near));
}

Result<Problem> TemplateRegistry::problem(const Template& tmpl, const KeyValues& given) const {
  KeyValues values;
  for (const auto& [key, value] : given) {
    if (key != "preset") continue;
    auto preset = find_preset(value);
    if (!preset) return preset.error();
    auto problem = preset->problems.find(tmpl.name);
    if (problem == preset->problems.end()) {
      std::vector<std::string> has;
      for (const auto& [name, keys] : preset->problems) has.push_back(name);
      return make_error(ErrorCode::invalid_argument,
                        "preset '{}' has no problem for template '{}'; it has one for {}", value, tmpl.name,
                        join(has, ", "));
    }
    values = problem->second;
  }
  for (const auto& pair : given) {
    if (pair.first == "preset") continue;
    auto known = std::find_if(values.begin(), values.end(),
                              [&](const auto& other) { return other.first == pair.first; });
    if (known == values.end()) {
      values.push_back(pair);
    } else {
      known->second = pair.second;
    }
  }
  auto problem = make_problem(tmpl, values);
  if (problem || !values.empty()) return problem;
  // Nothing was said about the problem at all.
  std::vector<std::string> presets;
  for (const Preset& preset : presets_) {
    if (preset.problems.count(tmpl.name) != 0) presets.push_back(preset.name);
  }
  if (presets.empty()) return problem;
  return make_error(problem.error().code, "{}; name a preset ({}) or give values", problem.error().message,
                    join(presets, ", "));
}

}  // namespace rtjit

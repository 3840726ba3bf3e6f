// Which templates exist: the built-in ones (embedded at build time) and folders that users point at.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "templates/manifest.h"

namespace rtjit {

// Immutable after construction; safe to share between threads.
class TemplateRegistry {
 public:
  // The built-in templates and presets. A folder in `folders` holds either template.toml itself or one
  // sub-folder per template; it adds to, and by equal name overrides, the built-in ones. Folders may include
  // "device/..." headers.
  static Result<std::shared_ptr<const TemplateRegistry>> create(const std::vector<std::string>& folders = {});

  // Unknown: an error that lists the known ones. A built-in template whose manifest is broken: what is wrong with it.
  Result<std::shared_ptr<const Template>> find(std::string_view name) const;
  std::vector<std::string> names() const;  // ascending

  Result<Preset> find_preset(std::string_view name) const;
  const std::vector<Preset>& presets() const { return presets_; }

  // The problem that "preset=NAME", "key=value,..." or both (keys win) denote for a template.
  Result<Problem> problem(const Template& tmpl, const KeyValues& given) const;

 private:
  friend class RegistryLoader;
  std::map<std::string, std::shared_ptr<const Template>, std::less<>> templates_;
  std::map<std::string, Error, std::less<>> broken_;
  std::vector<Preset> presets_;
};

}  // namespace rtjit

// Which templates exist: the built-in ones (embedded at build time) and folders that users point at.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "templates/manifest.h"

namespace rtjit {

// The same for every thread at any time; safe to share between threads. A built-in template is read when it
// is first asked for: a program that opens one kernel does not wait for the manifests of the others.
class TemplateRegistry {
 public:
  ~TemplateRegistry();

  // The built-in templates and presets. A folder in `folders` holds either template.toml itself or one
  // sub-folder per template; it adds to, and by equal name overrides, the built-in ones. Folders may include
  // "device/..." headers.
  static Result<std::shared_ptr<const TemplateRegistry>> create(const std::vector<std::string>& folders = {});

  // Unknown: an error that lists the known ones. A built-in template whose manifest is broken: what is wrong
  // with it.
  Result<std::shared_ptr<const Template>> find(std::string_view name) const;
  std::vector<std::string> names() const;  // of those that are not broken, ascending

  Result<Preset> find_preset(std::string_view name) const;
  const std::vector<Preset>& presets() const { return presets_; }

  // The problem that "preset=NAME", "key=value,..." or both (keys win) denote for a template.
  Result<Problem> problem(const Template& tmpl, const KeyValues& given) const;

 private:
  friend class RegistryLoader;
  class Entry;
  TemplateRegistry();
  std::map<std::string, std::unique_ptr<Entry>, std::less<>> templates_;
  std::vector<Preset> presets_;
};

}  // namespace rtjit

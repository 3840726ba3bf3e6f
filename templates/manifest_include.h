// Parts of a manifest in files of their own: include = ["wgmma.toml"].
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "templates/toml_tree.h"

namespace rtjit {

// The files that a manifest was read from. The lines of a tree count on from file to file, so that one number
// says both where and in which file.
class ManifestFiles {
 public:
  // Returns what is added to the file's own line numbers.
  int add(std::string name, int lines);
  std::string place(int line) const;  // "template.toml:12"

 private:
  struct File {
    std::string name;
    int before;  // lines of the files before it
  };
  std::vector<File> files_;
  int lines_ = 0;
};

struct ManifestTree {
  TomlNode root;
  ManifestFiles files;
  std::vector<std::string> included;  // keys of `sources`, in the order of `include`
};

// The manifest with the variants of the files that it includes, which are keys of `sources` below the
// template's folder: in the order of `include`, before the stage's own. Errors have the file and the line.
Result<ManifestTree> read_manifest_files(std::string_view toml_text, const std::string& file_name,
                                         const std::map<std::string, std::string>& sources);

}  // namespace rtjit

// Reading tables of a manifest: typed fields, and an error with file and line for everything that is not
// expected.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "templates/manifest_include.h"
#include "templates/toml_tree.h"

namespace rtjit {

// Collects what is wrong, so that one run shows all of it.
class ManifestErrors {
 public:
  explicit ManifestErrors(ManifestFiles files) : files_(std::move(files)) {}
  explicit ManifestErrors(const std::string& file_name) { files_.add(file_name, 0); }  // of one file

  template <typename... Args>
  void add(int line, fmt::format_string<Args...> format, Args&&... args) {
    if (messages_.size() < kMaxMessages) {
      messages_.push_back(
          fmt::format("{}: {}", files_.place(line), fmt::format(format, std::forward<Args>(args)...)));
    }
  }
  bool empty() const { return messages_.empty(); }
  Error error() const;

 private:
  static constexpr size_t kMaxMessages = 20;
  ManifestFiles files_;
  std::vector<std::string> messages_;
};

// One table. Every key that is read counts as known; when the reader goes, the unknown ones are reported.
class TableReader {
 public:
  // `what` names the table in messages: "[[stage.variant]] mma".
  TableReader(const TomlNode& table, std::string what, ManifestErrors& errors);
  ~TableReader();
  TableReader(const TableReader&) = delete;
  TableReader& operator=(const TableReader&) = delete;

  const std::string& what() const { return what_; }
  int line() const { return table_.line; }
  int line_of(std::string_view key) const;  // of the key, or of the table
  bool has(std::string_view key) const { return table_.find(key) != nullptr; }

  std::string text(std::string_view key, std::string_view fallback = "");
  std::string required_text(std::string_view key);
  // A formula may also be written as a TOML integer.
  std::string formula_text(std::string_view key, std::string_view fallback = "");
  bool boolean(std::string_view key, bool fallback);
  int64_t integer(std::string_view key, int64_t fallback);
  double real(std::string_view key, double fallback);
  std::vector<std::string> texts(std::string_view key);          // a list of texts
  std::vector<std::string> formula_texts(std::string_view key);  // a list of texts or integers
  std::vector<int64_t> integers(std::string_view key);
  const TomlNode* list(std::string_view key);                 // null when absent
  const TomlNode* table(std::string_view key);                // null when absent
  std::vector<const TomlNode*> tables(std::string_view key);  // [[key]]
  const TomlNode* any(std::string_view key);                  // of any kind, null when absent

  // All keys not read yet with their values: for tables whose keys are names. They count as known.
  std::vector<std::pair<std::string, const TomlNode*>> rest();

 private:
  const TomlNode* take(std::string_view key, TomlNode::Kind kind);
  std::vector<std::string> scalars(std::string_view key, bool integers_too);

  const TomlNode& table_;
  std::string what_;
  ManifestErrors& errors_;
  std::set<std::string, std::less<>> known_;
};

// "[a-zA-Z_][a-zA-Z0-9_]*"
bool is_identifier(std::string_view text);

}  // namespace rtjit

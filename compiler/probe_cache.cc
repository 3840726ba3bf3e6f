#include "compiler/probe_cache.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/hash.h"
#include "base/text.h"
#include "compiler/features.h"

namespace rtjit {
namespace {

// The first line: what the answer depends on.
std::string header(std::string_view compiler) {
  ContentHash probes;
  for (const Feature& feature : all_features()) probes.add(feature.name).add(probe_source(feature));
  return fmt::format("rtjit-features\t1\t{}\t{}\n", compiler, probes.hex());
}

}  // namespace

std::optional<std::vector<std::string>> read_probe_cache(const std::string& path, std::string_view compiler) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::stringstream buffer;
  buffer << file.rdbuf();
  std::string text = buffer.str();

  // "<header><target>\t<cells>\n...<hash of all before>\n"
  std::string expected = header(compiler);
  constexpr size_t kSeal = 65;
  if (text.size() < expected.size() + kSeal || !text.starts_with(expected)) return std::nullopt;
  std::string body = text.substr(0, text.size() - kSeal);
  if (text.substr(body.size()) != sha256_hex(body) + "\n") return std::nullopt;

  std::vector<std::string> columns;
  std::istringstream lines(body.substr(expected.size()));
  for (const Target& target : Target::all()) {
    std::string line;
    if (!std::getline(lines, line) || !line.starts_with(target.name() + "\t")) return std::nullopt;
    columns.push_back(line.substr(target.name().size() + 1));
    const std::string& cells = columns.back();
    bool whole = cells.empty() || cells.size() == all_features().size();
    if (!whole || cells.find_first_not_of("x.") != cells.npos) return std::nullopt;
  }
  return columns;
}

void write_probe_cache(const std::string& path, std::string_view compiler,
                       const std::vector<std::string>& columns) {
  namespace fs = std::filesystem;
  std::string body = header(compiler);
  for (size_t i = 0; i < columns.size(); ++i) body += Target::all()[i].name() + "\t" + columns[i] + "\n";
  std::error_code error;
  if (fs::path(path).has_parent_path()) fs::create_directories(fs::path(path).parent_path(), error);
  std::string temporary = fmt::format("{}.{}", path, getpid());
  std::ofstream file(temporary, std::ios::binary);
  file << body << sha256_hex(body) << "\n";
  file.close();
  if (file) fs::rename(temporary, path, error);
  if (!file || error) fs::remove(temporary, error);
}

}  // namespace rtjit

#include "templates/includes.h"

#include <set>

#include "base/text.h"

namespace rtjit {
namespace {

// Blanks out comments, keeping line ends so that line numbers stay right, and texts, where /* means nothing.
std::string without_comments(std::string_view source) {
  std::string code(source);
  for (size_t at = 0; at < code.size();) {
    const char next = code[at] == '/' && at + 1 < code.size() ? code[at + 1] : '\0';
    if (next == '/') {
      while (at < code.size() && code[at] != '\n') code[at++] = ' ';
    } else if (next == '*') {
      size_t end = code.find("*/", at + 2);
      end = end == std::string::npos ? code.size() : end + 2;
      for (; at < end; ++at) {
        if (code[at] != '\n') code[at] = ' ';
      }
    } else if (code[at] == '"') {
      ++at;
      while (at < code.size() && code[at] != '"' && code[at] != '\n') at += code[at] == '\\' ? 2 : 1;
      ++at;
    } else {
      ++at;
    }
  }
  return code;
}

// The path of `#include "path"`, or "".
std::string_view included_path(std::string_view line) {
  line = trim(line);
  if (!line.starts_with('#')) return {};
  line = trim(line.substr(1));
  constexpr std::string_view kInclude = "include";
  if (!line.starts_with(kInclude)) return {};
  line = trim(line.substr(kInclude.size()));
  if (!line.starts_with('"')) return {};
  size_t end = line.find('"', 1);
  return end == std::string_view::npos ? std::string_view() : line.substr(1, end - 1);
}

}  // namespace

std::vector<IncludeLine> scan_includes(std::string_view source) {
  std::vector<IncludeLine> includes;
  std::string code = without_comments(source);
  int number = 0;
  for (size_t start = 0; start < code.size();) {
    size_t end = std::min(code.find('\n', start), code.size());
    ++number;
    std::string_view path = included_path(std::string_view(code).substr(start, end - start));
    if (!path.empty()) includes.push_back({std::string(path), number});
    start = end + 1;
  }
  return includes;
}

Result<std::vector<std::string>> reachable_sources(const std::map<std::string, std::string>& sources,
                                                   const std::vector<std::string>& roots) {
  std::set<std::string> reached;
  std::vector<std::string> pending;
  auto visit = [&](const std::string& path, const std::string& from) -> Status {
    if (!sources.contains(path)) {
      std::vector<std::string> known;
      for (const auto& [name, content] : sources) known.push_back(name);
      std::string near = nearest_name(path, known);
      return make_error(
          ErrorCode::not_found, "{}: there is no source '{}'; {}", from, path,
          near.empty() ? "there are " + join(known, ", ") : fmt::format("did you mean '{}'?", near));
    }
    if (reached.insert(path).second) pending.push_back(path);
    return {};
  };
  for (const std::string& root : roots) {
    if (Status status = visit(root, "the manifest"); !status) return status.error();
  }
  while (!pending.empty()) {
    std::string path = std::move(pending.back());
    pending.pop_back();
    for (const IncludeLine& include : scan_includes(sources.at(path))) {
      Status status = visit(include.path, fmt::format("{}:{}", path, include.line));
      if (!status) return status.error();
    }
  }
  return std::vector<std::string>(reached.begin(), reached.end());
}

}  // namespace rtjit

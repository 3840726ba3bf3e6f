// Manifests for tests: the one of scale_add, and texts written in place.
#pragma once

#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "templates/manifest.h"

namespace rtjit::testing {

inline std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::string data_path(const std::string& relative) {
  return RTJIT_SOURCE_DIR "/tests/data/" + relative;
}

inline std::string scale_add_manifest() { return read_file(data_path("templates/scale_add/template.toml")); }

inline std::map<std::string, std::string> scale_add_sources() {
  return {{"scale_add/scale_add.cuh", read_file(data_path("templates/scale_add/scale_add.cuh"))}};
}

inline Result<Template> parse_scale_add() {
  return parse_manifest(scale_add_manifest(), "template.toml", scale_add_sources());
}

// The text with the first `from` replaced; "" when it is not there, which no test can take for success.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  if (at == std::string::npos) return "";
  return text.replace(at, from.size(), to);
}

}  // namespace rtjit::testing

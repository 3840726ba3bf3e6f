// The gemm_fp8_block template read from the source tree.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "compiler/target.h"
#include "templates/manifest.h"

namespace rtjit::testing {

inline std::string read_source(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

inline Template fp8_template() {
  const std::filesystem::path root = RTJIT_SOURCE_DIR "/templates";
  std::map<std::string, std::string> sources;
  for (const char* folder : {"gemm_fp8_block", "device"}) {
    for (const auto& entry : std::filesystem::directory_iterator(root / folder)) {
      if (entry.path().extension() != ".cuh") continue;
      sources[std::string(folder) + "/" + entry.path().filename().string()] = read_source(entry.path());
    }
  }
  Result<Template> parsed =
      parse_manifest(read_source(root / "gemm_fp8_block/template.toml"), "template.toml", std::move(sources));
  EXPECT_TRUE(parsed.ok()) << parsed.error().message;
  return parsed.ok() ? *std::move(parsed) : Template();
}

inline Problem fp8_problem(const Template& tmpl, const std::string& keys) {
  Result<Problem> problem = make_problem(tmpl, *parse_key_values(keys));
  EXPECT_TRUE(problem.ok()) << problem.error().message;
  return problem.ok() ? *std::move(problem) : Problem();
}

}  // namespace rtjit::testing

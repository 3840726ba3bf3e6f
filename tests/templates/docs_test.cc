// docs/adding-a-template.md shows tests/data/templates/scale_add/ word by word.
#include <gtest/gtest.h>

#include <vector>

#include "base/text.h"
#include "tests/templates/test_templates.h"

namespace rtjit {
namespace {

using testing::data_path;
using testing::read_file;

// The lines of all ```language blocks, without blank ones.
std::vector<std::string> code_lines(const std::string& markdown, const std::string& language) {
  std::vector<std::string> lines;
  bool inside = false;
  for (const std::string& line : split(markdown, '\n')) {
    if (line.starts_with("```")) {
      inside = !inside && line == "```" + language;
    } else if (inside && !line.empty()) {
      lines.push_back(line);
    }
  }
  return lines;
}

std::vector<std::string> file_lines(const std::string& path) {
  std::vector<std::string> lines = split(read_file(path), '\n');
  std::erase(lines, "");
  return lines;
}

TEST(AddingATemplate, ShowsTheManifestWordByWord) {
  std::string page = read_file(RTJIT_SOURCE_DIR "/docs/adding-a-template.md");
  EXPECT_GT(code_lines(page, "toml").size(), 50u);
  EXPECT_EQ(code_lines(page, "toml"), file_lines(data_path("templates/scale_add/template.toml")));
}

TEST(AddingATemplate, ShowsTheKernelsWordByWord) {
  std::string page = read_file(RTJIT_SOURCE_DIR "/docs/adding-a-template.md");
  EXPECT_EQ(code_lines(page, "cuda"), file_lines(data_path("templates/scale_add/scale_add.cuh")));
}

}  // namespace
}  // namespace rtjit

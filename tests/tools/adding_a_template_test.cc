// Follows docs/adding-a-template.md: writes the files that it shows and calls what it calls, word by word.
#include <fstream>
#include <sstream>

#include "base/text.h"
#include "tests/tools/command_fixture.h"

namespace rtjit {
namespace {

class AddingATemplate : public CommandTest {
 protected:
  AddingATemplate() {
    std::ifstream file(RTJIT_SOURCE_DIR "/docs/adding-a-template.md");
    std::stringstream text;
    text << file.rdbuf();
    page_ = split(text.str(), '\n');
  }

  // The lines of all ```language blocks.
  std::vector<std::string> lines_of(const std::string& language) const {
    std::vector<std::string> lines;
    bool inside = false;
    for (const std::string& line : page_) {
      if (line.starts_with("```")) {
        inside = !inside && line == "```" + language;
      } else if (inside) {
        lines.push_back(line);
      }
    }
    return lines;
  }

  // One line of a shell block, with the command in the PATH as after an installation.
  ProcessOutcome type(const std::string& line) {
    ProcessOptions options;
    options.arguments = {"/bin/sh", "-c", "cd '" + folder_ + "' && " + line};
    const std::string bin = std::filesystem::path(RTJIT_COMMAND).parent_path();
    options.environment = {{"RTJIT_CACHE", folder_ + "/cache.db"},
                           {"PATH", bin + ":" + std::string(std::getenv("PATH"))}};
    auto outcome = run_process(options, Milliseconds(300'000));
    EXPECT_TRUE(outcome.ok()) << (outcome.ok() ? "" : outcome.error().message);
    return outcome.ok() ? *outcome : ProcessOutcome{};
  }

  std::vector<std::string> page_;
};

TEST_F(AddingATemplate, EveryStepOfThePageWorks) {
  const std::string own = folder_ + "/path/to/scale_add";
  std::filesystem::create_directories(own);
  std::ofstream(own + "/template.toml") << join(lines_of("toml"), "\n");
  std::ofstream(own + "/scale_add.cuh") << join(lines_of("cuda"), "\n");

  const std::vector<std::string> calls = lines_of("sh");
  ASSERT_EQ(calls.size(), 3u);
  std::vector<std::string> said;
  for (const std::string& call : calls) {
    const ProcessOutcome outcome = type(call);
    EXPECT_TRUE(outcome.exit.ok()) << call << "\n" << outcome.error_output;
    said.push_back(outcome.output);
  }
  EXPECT_NE(said[0].find("out = a * x + y over vectors of f32"), std::string::npos) << said[0];
  EXPECT_NE(said[1].find("a block of more than 2,048 elements leaves SMs idle"), std::string::npos)
      << said[1];
  EXPECT_NE(said[2].find("4,194,304  unrolled block="), std::string::npos) << said[2];
  EXPECT_NE(said[2].find("verified on emulator"), std::string::npos) << said[2];
}

}  // namespace
}  // namespace rtjit

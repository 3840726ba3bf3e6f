// Every command that README, docs/ and the help texts show is one that rtjit understands: they are parsed,
// not run.
#include "tests/tools/documented_commands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tools/rtjit/command.h"

namespace rtjit {
namespace {

using Words = std::vector<std::string>;

std::vector<std::string> pages() {
  std::vector<std::string> result = {RTJIT_SOURCE_DIR "/README.md", RTJIT_SOURCE_DIR "/python/README.md"};
  for (const auto& file : std::filesystem::directory_iterator(RTJIT_SOURCE_DIR "/docs"))
    if (file.path().extension() == ".md") result.push_back(file.path());
  return result;
}

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// The words after `rtjit`, of any of the ways to call it; nothing for other programs.
bool is_rtjit(Words* words) {
  const std::string program = words->front();
  const bool by_script = program == "./run" && words->size() > 1;
  if (by_script && (*words)[1] == "rtjit") {
    words->erase(words->begin(), words->begin() + 2);
  } else if ((by_script && (*words)[1] == "tune") || program == "rtjit" || program.ends_with("/bin/rtjit")) {
    words->erase(words->begin());
  } else {
    return false;
  }
  return true;
}

// Empty when the command line is understood.
std::string wrong_with(Words words) {
  CLI::App app;
  Action action;
  describe_command(app, &action);
  std::reverse(words.begin(), words.end());  // as CLI11 takes a vector
  try {
    app.parse(std::move(words));
  } catch (const CLI::Success&) {  // --help, --version
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  // What a verb takes to complain of it when it is run.
  const Words rest = app.remaining(/*recurse=*/true);
  return rest.empty() ? "" : "not understood: " + rest.front();
}

// As in a sentence: what must be given may be missing, "..." may stand for it. Empty when verbs and options
// exist.
std::string unknown_name(const Words& words) {
  CLI::App app;
  Action action;
  describe_command(app, &action);
  const CLI::App* verb = &app;
  for (const std::string& word : words) {
    if (!verb->get_subcommands({}).empty() && !word.starts_with('-')) {
      const auto next = verb->get_subcommands([&](const CLI::App* sub) { return sub->get_name() == word; });
      if (next.empty()) return "there is no verb " + word;
      verb = next.front();
    } else if (word.starts_with("--") && verb->get_option_no_throw(word) == nullptr) {
      return verb->get_name() + " has no option " + word;
    }
  }
  return "";
}

TEST(DocumentedCommands, InBlocksAreUnderstood) {
  int checked = 0;
  for (const std::string& page : pages()) {
    for (DocumentedCommand& command : block_commands(text_of(page))) {
      if (!is_rtjit(&command.words)) continue;
      EXPECT_EQ(wrong_with(command.words), "") << page << ":" << command.line;
      ++checked;
    }
  }
  EXPECT_GT(checked, 40);
}

TEST(DocumentedCommands, InSentencesHaveVerbsAndOptionsThatExist) {
  int checked = 0;
  for (const std::string& page : pages()) {
    for (DocumentedCommand& command : inline_commands(text_of(page))) {
      if (!is_rtjit(&command.words)) continue;
      EXPECT_EQ(unknown_name(command.words), "") << page << ":" << command.line;
      ++checked;
    }
  }
  EXPECT_GT(checked, 40);
}

TEST(DocumentedCommands, InHelpTextsAreUnderstood) {
  CLI::App app;
  Action action;
  describe_command(app, &action);
  std::vector<std::string> helps = {app.get_footer(), text_of(RTJIT_SOURCE_DIR "/run")};
  for (const CLI::App* verb : app.get_subcommands({})) helps.push_back(verb->get_footer());
  int checked = 0;
  for (const std::string& help : helps) {
    for (DocumentedCommand& command : help_commands(help)) {
      if (!is_rtjit(&command.words)) continue;
      // What `./run` says of its own arguments.
      const auto is_pattern = [](const std::string& word) { return word == "TEMPLATE" || word == "ARGS..."; };
      if (std::any_of(command.words.begin(), command.words.end(), is_pattern)) continue;
      EXPECT_EQ(wrong_with(command.words), "") << help;
      ++checked;
    }
  }
  EXPECT_GT(checked, 10);
}

// `./run VERB`: the script's own.
TEST(DocumentedCommands, OfTheScriptExist) {
  const std::string script = text_of(RTJIT_SOURCE_DIR "/run");
  for (const std::string& page : pages()) {
    const std::string text = text_of(page);
    for (auto read : {block_commands, inline_commands}) {
      for (const DocumentedCommand& command : read(text)) {
        if (command.words.front() != "./run" || command.words.size() < 2) continue;
        EXPECT_NE(script.find("\n  " + command.words[1] + ")"), std::string::npos)
            << page << ":" << command.line << ": ./run " << command.words[1];
      }
    }
  }
}

TEST(DocumentedCommands, AreReadAsAShellReadsThem) {
  EXPECT_EQ(shell_commands("RTJIT_CACHE=/x rtjit query a --tokens 64 > out.txt  # the winner"),
            (std::vector<Words>{{"rtjit", "query", "a", "--tokens", "64"}}));
  EXPECT_EQ(shell_commands("rtjit tune 'a b' --shard \"$I/16\" --json 2>&1 | cat && rtjit doctor"),
            (std::vector<Words>{
                {"rtjit", "tune", "a b", "--shard", "$I/16", "--json"}, {"cat"}, {"rtjit", "doctor"}}));
  const std::string page =
      "Type `rtjit doctor`.\n"
      "- a list\n"
      "    that is no code: rtjit nothing\n"
      "\n"
      "    rtjit cache info\n"
      "    rtjit cache \\\n"
      "      gc\n"
      "```sh\n"
      "rtjit templates\n"
      "```\n"
      "```\n"
      "rtjit prints this\n"
      "```\n";
  std::vector<Words> blocks;
  for (const DocumentedCommand& command : block_commands(page)) blocks.push_back(command.words);
  EXPECT_EQ(blocks, (std::vector<Words>{
                        {"rtjit", "cache", "info"}, {"rtjit", "cache", "gc"}, {"rtjit", "templates"}}));
  ASSERT_EQ(inline_commands(page).size(), 1u);
  EXPECT_EQ(inline_commands(page).front().words, (Words{"rtjit", "doctor"}));
}

TEST(DocumentedCommands, ThatAreWrongAreFound) {
  EXPECT_NE(wrong_with({"cache", "inf"}), "");
  EXPECT_NE(wrong_with({"query", "moe_mxfp4", "--tokns", "64"}), "");
  EXPECT_NE(wrong_with({"pack", "--target"}), "");
  EXPECT_EQ(unknown_name({"cache", "inf"}), "there is no verb inf");
  EXPECT_EQ(unknown_name({"query", "--tokns"}), "query has no option --tokns");
  EXPECT_EQ(unknown_name({"query", "--tokens"}), "");
}

}  // namespace
}  // namespace rtjit

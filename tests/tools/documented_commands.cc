#include "tests/tools/documented_commands.h"

#include <sstream>
#include <utility>

#include "base/text.h"

namespace rtjit {
namespace {

// As they are: blanks at their beginning mean something here.
std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

bool sets_a_variable(const std::string& word) {
  const size_t end = word.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
  return end != std::string::npos && end > 0 && word[end] == '=';
}

// Reads one shell line, character by character.
class ShellLine {
 public:
  std::vector<std::vector<std::string>> read(std::string_view line) {
    for (size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      if (quote_ != 0) {
        if (c == quote_)
          quote_ = 0;
        else
          word_ += c;
      } else if (c == '\'' || c == '"') {
        quote_ = c;
        in_word_ = true;
      } else if (c == '#' && !in_word_) {
        break;
      } else if (c == '\\' && i + 1 < line.size()) {
        add(line[++i]);
      } else if (c == ' ' || c == '\t') {
        end_word();
      } else if (c == '<' || c == '>') {
        // 2>&1, >> file: neither the descriptor before it nor the file after it is a word of the command.
        if (word_.find_first_not_of("0123456789") == std::string::npos) in_word_ = false;
        end_word();
        skip_word_ = true;
        if (i + 1 < line.size() && (line[i + 1] == '&' || line[i + 1] == '>')) ++i;
      } else if (c == '|' || c == '&' || c == ';') {
        end_word();
        end_command();
      } else {
        add(c);
      }
    }
    end_word();
    end_command();
    return std::move(commands_);
  }

 private:
  void add(char c) {
    word_ += c;
    in_word_ = true;
  }
  void end_word() {
    if (!in_word_) {
      word_.clear();
      return;
    }
    if (!skip_word_ && !(command_.empty() && sets_a_variable(word_))) command_.push_back(word_);
    skip_word_ = in_word_ = false;
    word_.clear();
  }
  void end_command() {
    if (!command_.empty()) commands_.push_back(std::move(command_));
    command_.clear();
  }

  char quote_ = 0;
  bool in_word_ = false, skip_word_ = false;
  std::string word_;
  std::vector<std::string> command_;
  std::vector<std::vector<std::string>> commands_;
};

void append(std::vector<DocumentedCommand>* commands, int line, std::string_view text) {
  for (std::vector<std::string>& words : shell_commands(text)) commands->push_back({line, std::move(words)});
}

// Calls do_line(number, line, fence) for each line that is not a fence itself; `fence` is the language of the
// block around it, "none" where it has none, "" outside of blocks.
template <typename DoLine>
void for_each_line(const std::string& markdown, DoLine do_line) {
  std::string fence;
  int number = 0;
  for (const std::string& line : lines_of(markdown)) {
    ++number;
    if (line.starts_with("```"))
      fence = !fence.empty() ? "" : line.size() == 3 ? "none" : line.substr(3);
    else
      do_line(number, line, fence);
  }
}

}  // namespace

std::vector<std::vector<std::string>> shell_commands(std::string_view line) { return ShellLine().read(line); }

std::vector<DocumentedCommand> block_commands(const std::string& markdown) {
  std::vector<DocumentedCommand> commands;
  std::string joined;  // lines that end in a backslash go on in the next one
  bool was_blank = true, was_code = false;
  for_each_line(markdown, [&](int number, const std::string& line, const std::string& fence) {
    // In a list, indented lines go on with the sentence: only those after a blank line are code.
    const bool indented = fence.empty() && line.starts_with("    ") && (was_blank || was_code);
    was_blank = line.empty();
    was_code = indented;
    if (!indented && fence != "sh") return;
    joined += line;
    if (joined.ends_with('\\')) {
      joined.back() = ' ';
      return;
    }
    append(&commands, number, joined);
    joined.clear();
  });
  return commands;
}

std::vector<DocumentedCommand> inline_commands(const std::string& markdown) {
  std::vector<DocumentedCommand> commands;
  for_each_line(markdown, [&](int number, const std::string& line, const std::string& fence) {
    if (!fence.empty() || line.starts_with("    ")) return;
    const std::vector<std::string> parts = split(line, '`');
    for (size_t i = 1; i + 1 < parts.size(); i += 2) append(&commands, number, parts[i]);
  });
  return commands;
}

std::vector<DocumentedCommand> help_commands(const std::string& help) {
  constexpr std::string_view kExample = "Example: ";
  std::vector<DocumentedCommand> commands;
  std::string joined;
  int number = 0;
  for (std::string line : lines_of(help)) {
    ++number;
    if (line.starts_with(kExample)) line.replace(0, kExample.size(), "  ");
    const size_t begin = line.find_first_not_of(' ');
    if (!line.starts_with("  ") || begin == std::string::npos) continue;
    joined += line.substr(begin, line.find("  ", begin) - begin);  // an explanation stands apart
    if (joined.ends_with('\\')) {
      joined.back() = ' ';
      continue;
    }
    append(&commands, number, joined);
    joined.clear();
  }
  return commands;
}

}  // namespace rtjit

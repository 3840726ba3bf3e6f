// The commands that a text tells people to type.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rtjit {

struct DocumentedCommand {
  int line = 0;  // of the text, from 1
  std::vector<std::string> words;
};

// The commands of one shell line: quotes and `\` are taken away, comments, redirections and variables set
// ahead dropped.
std::vector<std::vector<std::string>> shell_commands(std::string_view line);

// What stands in ```sh blocks and indented blocks of a Markdown page.
std::vector<DocumentedCommand> block_commands(const std::string& markdown);

// What stands between single backquotes in its sentences.
std::vector<DocumentedCommand> inline_commands(const std::string& markdown);

// What stands in the indented lines of a help text, up to two or more blanks that begin an explanation, and
// after "Example: ".
std::vector<DocumentedCommand> help_commands(const std::string& help);

}  // namespace rtjit

// Files embedded at build time (cmake/RtjitEmbed.cmake): path from the source root -> content.
#pragma once

#include <span>
#include <string_view>

namespace rtjit {

struct EmbeddedFile {
  std::string_view path;  // "templates/moe_mxfp4/template.toml"
  std::string_view content;
};

std::span<const EmbeddedFile> embedded_files();

}  // namespace rtjit

// Bytes as text, for JSON lines between processes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace rtjit {

std::string base64_encode(std::string_view bytes);
// Nothing when the text is not base64 with padding.
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace rtjit

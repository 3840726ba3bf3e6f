// Points in time for people.
#pragma once

#include <cstdint>
#include <ctime>
#include <string>

namespace rtjit {

// "2026-05-01 13:45", UTC.
inline std::string date_text(int64_t unix_seconds) {
  const std::time_t time = unix_seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &parts);
  return text;
}

}  // namespace rtjit

// Ctrl-C and SIGTERM as a flag that work in progress looks at.
#pragma once

#include <atomic>

namespace rtjit {

// From now on SIGINT and SIGTERM set the flag; a second one ends the process at once with status
// 128 + signal. Called once, before other threads are started: a thread of its own waits for the signals, and
// every later thread inherits them blocked. A handler alone would not do, because NVRTC puts its own in its
// place while it compiles, and that one ends the process.
const std::atomic<bool>* stop_on_signals();

}  // namespace rtjit

// Child processes that can always be ended: own process group, killed with their parent, every wait has a
// limit.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace rtjit {

using Milliseconds = std::chrono::milliseconds;

struct ProcessOptions {
  std::vector<std::string> arguments;  // [0] is the program: a path, or a name looked up in PATH
  std::vector<std::pair<std::string, std::string>>
      environment;              // set on top of the parent's; the last of a name counts
  bool inherit_stderr = false;  // false: collected, see ChildProcess::error_output
};

// How a process ended.
struct ProcessExit {
  int code = -1;   // exit status, -1 when a signal ended it
  int signal = 0;  // the signal that ended it, 0 when it exited by itself
  bool ok() const { return code == 0; }
  std::string describe() const;  // "exit status 3", "signal 11 (Segmentation fault)"
};

// A child with pipes to its standard input and output. Not thread-safe: one owner at a time. The kernel kills
// the child when the THREAD that started it ends, so start long-lived children from a thread that lives as
// long. The child leads a process group of its own: a terminal's Ctrl-C does not reach it, kill() reaches its
// children too.
class ChildProcess {
 public:
  // A program that cannot be executed is an error here (ErrorCode::not_found or io), not an exit status
  // later.
  static Result<std::unique_ptr<ChildProcess>> start(const ProcessOptions& options);
  ~ChildProcess();  // kill() unless it has ended
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  int pid() const { return pid_; }

  // How long the child's first thread was ready to run and got no processor, since it started. 0 where the
  // kernel does not tell, and after it has ended.
  Milliseconds starved() const;

  // Writes everything, or ErrorCode::timeout, or ErrorCode::io when the child no longer reads.
  Status write(std::string_view bytes, Milliseconds limit);
  void close_input();

  // The next line of standard output without its '\n' (a last line without one counts). ErrorCode::timeout at
  // the limit (the line may still come later); ErrorCode::io when the output has ended.
  Result<std::string> read_line(Milliseconds limit);
  // The rest of standard output until its end.
  Result<std::string> read_all(Milliseconds limit);

  // The last 64 KiB of standard error that came while reading or waiting.
  const std::string& error_output() const { return error_output_; }

  // How it ended, or nothing when it still runs at the limit. May be called again after it has ended.
  std::optional<ProcessExit> wait(Milliseconds limit);
  // SIGKILL to the whole group, then waits for the child. No effect after it has ended.
  ProcessExit kill();

 private:
  ChildProcess() = default;
  // Waits until standard output, standard error (or neither) has something, and takes it in. False at the
  // deadline.
  bool pump(std::chrono::steady_clock::time_point deadline);

  int pid_ = -1;
  int input_ = -1, output_ = -1, error_ = -1;  // -1: closed
  std::string pending_;                        // output that was read and not yet returned
  std::string error_output_;
  std::optional<ProcessExit> exit_;
};

struct ProcessOutcome {
  ProcessExit exit;
  std::string output, error_output;
};

// Runs a program to its end. ErrorCode::timeout (the group is killed) when it takes longer than the limit.
Result<ProcessOutcome> run_process(const ProcessOptions& options, Milliseconds limit,
                                   std::string_view input = {});

}  // namespace rtjit

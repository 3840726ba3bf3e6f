#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <functional>
#include <map>
#include <thread>

extern char** environ;

namespace rtjit {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kErrorOutputLimit = 64 << 10;

void close_fd(int* fd) {
  if (*fd >= 0) ::close(*fd);
  *fd = -1;
}

int remaining_ms(Clock::time_point deadline) {
  auto left = std::chrono::duration_cast<Milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

Clock::time_point deadline_in(Milliseconds limit) {
  // Far limits must not overflow the clock.
  return Clock::now() + std::min(limit, Milliseconds(std::chrono::hours(24 * 365)));
}

// The two ends of every pipe of a child; what is not handed over is closed.
struct Pipes {
  int input[2] = {-1, -1}, output[2] = {-1, -1}, error[2] = {-1, -1}, status[2] = {-1, -1};
  ~Pipes() {
    for (int* pair : {input, output, error, status}) {
      close_fd(&pair[0]);
      close_fd(&pair[1]);
    }
  }
  bool open(bool with_error) {
    // A socket for standard input: send() can be told not to raise SIGPIPE, write() on a pipe cannot.
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input) != 0) return false;
    if (::pipe2(output, O_CLOEXEC) != 0 || ::pipe2(status, O_CLOEXEC) != 0) return false;
    return !with_error || ::pipe2(error, O_CLOEXEC) == 0;
  }
};

// Each name once, since readers take the first of several: the last of `options` wins, then the parent's.
std::vector<std::string> merged_environment(const ProcessOptions& options) {
  std::map<std::string, std::string, std::less<>> given;
  for (const auto& [name, value] : options.environment) given[name] = value;
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view text(*entry);
    if (!given.contains(text.substr(0, text.find('=')))) result.emplace_back(text);
  }
  for (const auto& [name, value] : given) result.push_back(name + "=" + value);
  return result;
}

std::vector<char*> c_strings(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Runs in the child after fork: only async-signal-safe calls. Reports a failing exec through the status pipe.
[[noreturn]] void become(const Pipes& pipes, pid_t parent, char* const* arguments, char* const* environment) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // the parent died before the request above
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::dup2(pipes.input[1], STDIN_FILENO);
  ::dup2(pipes.output[1], STDOUT_FILENO);
  if (pipes.error[1] >= 0) ::dup2(pipes.error[1], STDERR_FILENO);
    // Descriptors of drivers and databases that were opened without close-on-exec must not live on in the
    // child.
#ifdef SYS_close_range
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
#endif
  ::execvpe(arguments[0], arguments, environment);
  int reason = errno;
  [[maybe_unused]] ssize_t ignored = ::write(pipes.status[1], &reason, sizeof reason);
  ::_exit(127);
}

}  // namespace

std::string ProcessExit::describe() const {
  if (signal != 0) return fmt::format("signal {} ({})", signal, ::strsignal(signal));
  return fmt::format("exit status {}", code);
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::start(const ProcessOptions& options) {
  if (options.arguments.empty() || options.arguments[0].empty()) {
    return make_error(ErrorCode::invalid_argument, "starting a process: no program was given");
  }
  Pipes pipes;
  if (!pipes.open(!options.inherit_stderr)) {
    return make_error(ErrorCode::io, "starting {}: pipes: {}", options.arguments[0], ::strerror(errno));
  }
  std::vector<std::string> arguments = options.arguments, environment = merged_environment(options);
  std::vector<char*> argument_pointers = c_strings(arguments), environment_pointers = c_strings(environment);
  pid_t parent = ::getpid();
  pid_t pid = ::fork();
  if (pid < 0) return make_error(ErrorCode::io, "starting {}: fork: {}", arguments[0], ::strerror(errno));
  if (pid == 0) become(pipes, parent, argument_pointers.data(), environment_pointers.data());
  ::setpgid(pid, pid);  // also here: kill() may come before the child ran
  close_fd(&pipes.status[1]);
  int reason = 0;
  ssize_t got;
  do {
    got = ::read(pipes.status[0], &reason, sizeof reason);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof reason)) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    ErrorCode code = reason == ENOENT ? ErrorCode::not_found : ErrorCode::io;
    return make_error(code, "starting {}: {}", arguments[0], ::strerror(reason));
  }
  std::unique_ptr<ChildProcess> child(new ChildProcess);
  child->pid_ = pid;
  child->input_ = std::exchange(pipes.input[0], -1);
  child->output_ = std::exchange(pipes.output[0], -1);
  child->error_ = std::exchange(pipes.error[0], -1);
  ::fcntl(child->input_, F_SETFL, O_NONBLOCK);
  return child;
}

ChildProcess::~ChildProcess() {
  kill();
  close_fd(&input_);
  close_fd(&output_);
  close_fd(&error_);
}

void ChildProcess::close_input() { close_fd(&input_); }

Status ChildProcess::write(std::string_view bytes, Milliseconds limit) {
  auto deadline = deadline_in(limit);
  while (!bytes.empty()) {
    if (input_ < 0) return make_error(ErrorCode::io, "writing to process {}: its input is closed", pid_);
    ssize_t sent = ::send(input_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      // Its output is read too, or both sides could wait for each other.
      pollfd fds[3] = {{input_, POLLOUT, 0}, {output_, POLLIN, 0}, {error_, POLLIN, 0}};
      int ready = ::poll(fds, 3, remaining_ms(deadline));
      if (ready == 0) return make_error(ErrorCode::timeout, "writing to process {}: it does not read", pid_);
      if (fds[1].revents != 0 || fds[2].revents != 0) pump(Clock::now());
    } else if (errno != EINTR) {
      return make_error(ErrorCode::io, "writing to process {}: {}", pid_, ::strerror(errno));
    }
  }
  return {};
}

bool ChildProcess::pump(Clock::time_point deadline) {
  pollfd fds[2] = {{output_, POLLIN, 0}, {error_, POLLIN, 0}};  // poll ignores negative descriptors
  int ready = ::poll(fds, 2, remaining_ms(deadline));
  if (ready == 0) return false;
  if (ready < 0) return errno == EINTR && Clock::now() < deadline;
  char buffer[16384];
  if (fds[0].revents != 0) {
    ssize_t got = ::read(output_, buffer, sizeof buffer);
    if (got > 0) pending_.append(buffer, static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) close_fd(&output_);
  }
  if (fds[1].revents != 0) {
    ssize_t got = ::read(error_, buffer, sizeof buffer);
    if (got > 0) error_output_.append(buffer, static_cast<size_t>(got));
    if (got == 0 || (got < 0 && errno != EINTR)) close_fd(&error_);
    if (error_output_.size() > kErrorOutputLimit) {
      error_output_.erase(0, error_output_.size() - kErrorOutputLimit);
    }
  }
  return true;
}

Result<std::string> ChildProcess::read_line(Milliseconds limit) {
  auto deadline = deadline_in(limit);
  size_t searched = 0;
  while (true) {
    size_t end = pending_.find('\n', searched);
    if (end != std::string::npos) {
      std::string line = pending_.substr(0, end);
      pending_.erase(0, end + 1);
      return line;
    }
    searched = pending_.size();
    if (output_ < 0) {
      if (!pending_.empty()) return std::exchange(pending_, {});
      return make_error(ErrorCode::io, "reading from process {}: its output has ended", pid_);
    }
    if (!pump(deadline)) {
      return make_error(ErrorCode::timeout, "reading from process {}: no line within {} ms", pid_,
                        limit.count());
    }
  }
}

Result<std::string> ChildProcess::read_all(Milliseconds limit) {
  auto deadline = deadline_in(limit);
  while (output_ >= 0) {
    if (!pump(deadline)) {
      return make_error(ErrorCode::timeout, "reading from process {}: no end within {} ms", pid_,
                        limit.count());
    }
  }
  return std::exchange(pending_, {});
}

std::optional<ProcessExit> ChildProcess::wait(Milliseconds limit) {
  auto deadline = deadline_in(limit);
  auto pause = Milliseconds(1);
  while (!exit_) {
    int status = 0;
    pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == pid_) {
      exit_ = ProcessExit{};
      if (WIFEXITED(status)) exit_->code = WEXITSTATUS(status);
      if (WIFSIGNALED(status)) exit_->signal = WTERMSIG(status);
      while (error_ >= 0 && pump(Clock::now())) {  // its last words
      }
    } else if (ended < 0 && errno != EINTR) {
      exit_ = ProcessExit{};  // somebody else reaped it: how it ended is not known
    } else if (Clock::now() >= deadline) {
      return std::nullopt;
    } else if (output_ >= 0 || error_ >= 0) {
      pump(std::min(deadline, Clock::now() + pause));  // a child with full pipes would never end
    } else {
      std::this_thread::sleep_for(std::min(pause, Milliseconds(remaining_ms(deadline) + 1)));
    }
    pause = std::min(pause * 2, Milliseconds(20));
  }
  return exit_;
}

Milliseconds ChildProcess::starved() const {
  std::ifstream file(fmt::format("/proc/{}/schedstat", pid_));
  int64_t ran_ns = 0, waited_ns = 0;
  file >> ran_ns >> waited_ns;
  return std::chrono::duration_cast<Milliseconds>(std::chrono::nanoseconds(file ? waited_ns : 0));
}

ProcessExit ChildProcess::kill() {
  if (pid_ < 0) return {};
  if (!exit_) {
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);  // should it have left its group
  }
  // A process inside an uninterruptible driver call dies only when that returns; nobody waits longer for it.
  if (auto exit = wait(std::chrono::seconds(10))) return *exit;
  return ProcessExit{-1, SIGKILL};
}

Result<ProcessOutcome> run_process(const ProcessOptions& options, Milliseconds limit,
                                   std::string_view input) {
  auto deadline = deadline_in(limit);
  auto left = [&] { return Milliseconds(remaining_ms(deadline)); };
  auto child = ChildProcess::start(options);
  if (!child) return child.error();
  // A child that does not read its input is no failure: how it ended says what it thought of it.
  if (Status written = (*child)->write(input, left());
      !written && written.error().code == ErrorCode::timeout) {
    return written.error();
  }
  (*child)->close_input();
  ProcessOutcome outcome;
  auto output = (*child)->read_all(left());
  std::optional<ProcessExit> exit;
  if (output) exit = (*child)->wait(left());
  if (!exit) {
    (*child)->kill();
    return make_error(ErrorCode::timeout, "{} did not end within {} ms and was killed", options.arguments[0],
                      limit.count());
  }
  outcome.exit = *exit;
  outcome.output = std::move(*output);
  outcome.error_output = (*child)->error_output();
  return outcome;
}

}  // namespace rtjit

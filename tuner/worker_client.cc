#include "tuner/worker_client.h"

#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "tuner/inputs.h"
#include "tuner/session.h"
#include "tuner/worker_protocol.h"

namespace rtjit {

using nlohmann::json;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kSendLimit{30000};
constexpr milliseconds kHelloLimit{60000};
constexpr milliseconds kCancelPoll{200};
constexpr int kPatience = 9;  // times a limit, with a worker that gets no processor
constexpr milliseconds kProbeLimit{10000};
constexpr milliseconds kLoadLimit{8000};  // beyond the candidate's own: the driver copies code to the device
constexpr int kStarts = 3;                // of a worker, before the device counts as broken
constexpr int kMaxKilled = 5;  // workers killed by somebody, before it counts as the candidate's doing
constexpr milliseconds kStartPause{500};

json choices_json(const std::vector<StageChoice>& choices) {
  json list = json::array();
  for (const StageChoice& choice : choices) {
    list.push_back(
        {{"stage", choice.stage}, {"variant", choice.variant}, {"config", choice.config.canonical()}});
  }
  return list;
}

json keys_json(const std::vector<std::shared_ptr<const Binary>>& binaries) {
  json list = json::array();
  for (const auto& binary : binaries) list.push_back(binary->key);
  return list;
}

// Signals that no kernel and no driver raises.
bool is_from_outside(const ProcessExit& exit) {
  return exit.signal == SIGKILL || exit.signal == SIGTERM || exit.signal == SIGINT || exit.signal == SIGHUP;
}

}  // namespace

// What came of one request.
struct WorkerClient::Answer {
  // killed: by a signal from outside, which says nothing about the candidate
  enum class Kind { ok, refused, hang, died, killed, cancelled } kind = Kind::ok;
  json data;
  std::string code, message;
  Reached reached = Reached::nothing;  // what the steps before the answer said
  bool ok() const { return kind == Kind::ok; }
  bool killed() const { return kind == Kind::killed; }
  bool fault() const {
    return kind == Kind::died || kind == Kind::killed || (kind == Kind::refused && code == "device_fault");
  }
  // The verdict on a candidate that this answer is about.
  void judge(Verdict* verdict, std::string* reason) const {
    *verdict = kind == Kind::hang ? Verdict::hang : fault() ? Verdict::fault : Verdict::launch;
    *reason = fmt::format("{}: {}", to_string(*verdict), message);
  }
  Error error(std::string_view doing) const {
    ErrorCode kind_code = kind == Kind::hang        ? ErrorCode::timeout
                          : kind == Kind::cancelled ? ErrorCode::cancelled
                          : kind == Kind::killed    ? ErrorCode::unavailable
                                                    : ErrorCode::device_fault;
    return make_error(kind_code, "{}: {}", doing, message);
  }
};

Result<std::unique_ptr<WorkerClient>> WorkerClient::create(WorkerSetup setup) {
  std::unique_ptr<WorkerClient> client(new WorkerClient(std::move(setup)));
  Status status = client->start();
  // Once more, should somebody have killed it; what it cannot do it will not be able to do then either.
  if (!status && status.error().code == ErrorCode::unavailable) status = client->start();
  if (!status) return status.error();
  return client;
}

WorkerClient::~WorkerClient() { stop(); }

void WorkerClient::stop() {
  if (child_) child_->kill();
  child_.reset();
  sent_.clear();
  loaded_.clear();
}

// ErrorCode::timeout, cancelled, unavailable where somebody killed the worker, or how it ended. Time in which
// the worker was ready and other programs had all processors does not count, up to a point: a kernel must not
// be blamed for a busy host.
Result<std::string> WorkerClient::next_line(milliseconds limit) {
  const auto begin = std::chrono::steady_clock::now();
  const milliseconds starved_before = child_->starved();
  auto deadline = begin + limit;
  Result<std::string> line = make_error(ErrorCode::timeout, "");
  while (true) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    left = std::max(left, milliseconds(0));
    line = child_->read_line(std::min(left, kCancelPoll));
    if (line || line.error().code == ErrorCode::io) break;
    if (left.count() == 0) {
      const milliseconds starved = std::min(child_->starved() - starved_before, kPatience * limit);
      if (begin + limit + starved <= std::chrono::steady_clock::now()) return line;
      deadline = begin + limit + starved;
    }
    if (setup_.cancel && setup_.cancel->load()) return make_error(ErrorCode::cancelled, "stopped on request");
  }
  if (line) return line;
  auto exit = child_->wait(milliseconds(1000));
  std::string how = exit ? exit->describe() : "closed its output";
  std::string last(trim(child_->error_output()));
  if (size_t newline = last.rfind('\n'); newline != std::string::npos) last = last.substr(newline + 1);
  const bool killed = exit && is_from_outside(*exit);
  return make_error(killed ? ErrorCode::unavailable : ErrorCode::device_fault, "the worker ended with {}{}{}",
                    how, last.empty() ? "" : ": ", last);
}

WorkerClient::Answer WorkerClient::ask(const std::string& request, milliseconds limit,
                                       milliseconds kernel_limit) {
  Answer answer;
  auto broken = [&](Answer::Kind kind, std::string message) {
    answer.kind = kind;
    answer.message = std::move(message);
    stop();
    return answer;
  };
  if (!child_) return broken(Answer::Kind::died, "the worker is not running");
  // Quick answers never let the wait below look at it.
  if (setup_.cancel && setup_.cancel->load()) return broken(Answer::Kind::cancelled, "stopped on request");
  // A worker that no longer reads may have left a last answer; reading tells.
  (void)child_->write(request + "\n", kSendLimit);
  milliseconds current = limit;
  while (true) {
    Result<std::string> line = next_line(current);
    if (!line && line.error().code == ErrorCode::cancelled)
      return broken(Answer::Kind::cancelled, line.error().message);
    if (!line && line.error().code == ErrorCode::timeout) {
      return broken(Answer::Kind::hang,
                    fmt::format("no answer within {} ms", with_thousands(current.count())));
    }
    if (!line && line.error().code == ErrorCode::unavailable)
      return broken(Answer::Kind::killed, line.error().message);
    if (!line) return broken(Answer::Kind::died, line.error().message);
    answer.data = json::parse(*line, nullptr, false);
    if (!answer.data.is_object()) {  // perhaps the half of a line, because somebody killed it
      auto exit = child_->wait(kCancelPoll);
      return broken(exit && is_from_outside(*exit) ? Answer::Kind::killed : Answer::Kind::died,
                    "the worker answered what is not JSON");
    }
    if (!answer.data.contains("step")) break;
    const std::string step = answer.data.value("step", "");
    if (step == to_string(VerifyStep::ran)) answer.reached = std::max(answer.reached, Reached::launched);
    if (step == to_string(VerifyStep::right)) answer.reached = Reached::verified;
    current = step == to_string(VerifyStep::launching) ? kernel_limit : limit;
  }
  for (const auto& [phase, parts] : answer.data.value("spent", PhaseParts())) {
    for (const auto& [part, ms] : parts) parts_ms_[phase][part] += ms;
  }
  if (answer.data.value("ok", false)) return answer;
  answer.kind = Answer::Kind::refused;
  answer.code = answer.data.value("code", "internal");
  answer.message = answer.data.value("message", "no message");
  if (answer.fault()) stop();  // its context is lost
  return answer;
}

WorkerClient::Answer WorkerClient::send_binary(const Binary& binary) {
  if (sent_.count(binary.key)) return {};
  Answer answer = ask(binary_to_json(binary, /*with_ptx=*/true).dump(), setup_.setup_limit);
  if (answer.ok()) sent_.insert(binary.key);
  return answer;
}

std::string WorkerClient::pipeline_json(const char* operation, const PipelineSpec& spec, int id) const {
  return json{{"op", operation},
              {"id", id},
              {"choices", choices_json(spec.choices)},
              {"binaries", keys_json(spec.binaries)}}
      .dump();
}

Status WorkerClient::start() {
  stop();
  const auto begun = std::chrono::steady_clock::now();
  ProcessOptions options;
  options.arguments = setup_.command;
  auto child = ChildProcess::start(options);
  if (!child) return child.error().with_context("starting the measuring worker");
  child_ = std::move(*child);
  Answer answer = ask(json{{"op", "hello"}, {"device", setup_.device_ordinal}}.dump(), kHelloLimit);
  if (!answer.ok()) return answer.error("the measuring worker");
  // Before anything is blamed on a candidate: a kernel whose result is known.
  answer = send_binary(*setup_.probe);
  if (answer.ok()) answer = ask(json{{"op", "probe"}, {"binary", setup_.probe->key}}.dump(), kProbeLimit);
  if (!answer.ok()) return answer.error("the device cannot run a known kernel");
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
  parts_ms_[to_string(TunePhase::setup)]["start"] += took.count();
  if (setup_.pack_binary) {
    answer = send_binary(*setup_.pack_binary);
    if (!answer.ok()) return answer.error("the measuring worker");
  }
  json request = {{"op", "setup"},
                  {"folders", setup_.template_folders},
                  {"template", setup_.tmpl->name},
                  {"hash", setup_.tmpl->content_hash},
                  {"problem", setup_.problem.canonical()},
                  {"pack", setup_.pack_binary ? setup_.pack_binary->key : ""},
                  {"choices", choices_json(setup_.oracle.choices)}};
  answer = ask(request.dump(), setup_.setup_limit);
  if (!answer.ok()) return answer.error("setting up the problem on the device");
  return setup_.oracle.binaries.empty() ? Status() : send_oracle();
}

Status WorkerClient::send_oracle() {
  for (const auto& binary : setup_.oracle.binaries) {
    Answer answer = send_binary(*binary);
    if (!answer.ok()) return answer.error("the measuring worker");
  }
  Answer answer = ask(pipeline_json("oracle", setup_.oracle, /*id=*/0), setup_.setup_limit);
  return answer.ok() ? Status() : answer.error("setting up the oracle on the device");
}

Status WorkerClient::set_oracle(PipelineSpec oracle) {
  setup_.oracle = std::move(oracle);
  if (child_) {
    Status status = send_oracle();
    // Somebody may have killed the worker meanwhile: another one gets the oracle as it starts.
    if (status || status.error().code != ErrorCode::unavailable) return status;
  }
  return ensure_running();
}

// A worker that works: the running one, or a new one. Also the check that the device survived what ended the
// last one.
Status WorkerClient::ensure_running() {
  if (child_) return {};
  ++restarts_;
  for (int attempt = 1;; ++attempt) {
    Status status = start();
    if (status || status.error().code == ErrorCode::cancelled) return status;
    stop();
    if (attempt == kStarts) {
      return status.error().with_context(
          "the device does not work any more, so tuning stops; everything measured is kept, and the next "
          "call goes on from there once it works again (rtjit doctor looks at it)");
    }
    std::this_thread::sleep_for(kStartPause);
  }
}

WorkerClient::Answer WorkerClient::load(const PipelineSpec& spec, int id) {
  if (loaded_.count(id)) return {};
  const auto begun = std::chrono::steady_clock::now();
  for (const auto& binary : spec.binaries) {
    Answer answer = send_binary(*binary);
    if (!answer.ok()) return answer;
  }
  Answer answer = ask(pipeline_json("load", spec, id), setup_.candidate_limit + kLoadLimit);
  if (answer.ok()) loaded_.insert(id);
  load_ms_ += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
  return answer;
}

// One group of candidates while it is sampled.
class WorkerClient::Group {
 public:
  Group(WorkerClient& client, const MeasureJob& job)
      : client_(client),
        job_(job),
        book_(job.candidates.size(), job.sampling, job.fastest_us),
        results_(job.candidates.size()),
        order_(static_cast<uint64_t>(job.bucket) * 1000 + static_cast<uint64_t>(job.stage) +
               job.turn * 1000003),
        phase_(to_string(job.settles ? TunePhase::settle : TunePhase::measure)) {
    for (size_t i = 0; i < job.candidates.size(); ++i) ids_.push_back(client.next_id_++);
  }

  Result<std::vector<Measurement>> run() {
    for (bool warm = false; !book_.done(); warm = true) {  // the first round warms up
      for (size_t i : shuffled()) {
        if (!book_.needs_more(i)) continue;
        if (Status status = sample(i, /*counts=*/warm); !status) return status.error();
      }
      if (!warm) continue;
      for (size_t i : book_.close_round()) finish(i);
    }
    return std::move(results_);
  }

 private:
  std::vector<size_t> shuffled() {
    std::vector<size_t> sequence(job_.candidates.size());
    for (size_t i = 0; i < sequence.size(); ++i) sequence[i] = i;
    for (size_t i = sequence.size(); i > 1; --i)
      std::swap(sequence[i - 1], sequence[static_cast<size_t>(order_.below(static_cast<int64_t>(i)))]);
    return sequence;
  }

  // A running worker whose timer is prepared.
  Status prepare() {
    if (!client_.child_) timer_ready_ = false;
    if (Status status = client_.ensure_running(); !status) return status;
    if (timer_ready_) return {};
    json request = {{"op", "time"},        {"phase", phase_},     {"bucket", job_.bucket},
                    {"stage", job_.stage}, {"bytes", job_.bytes}, {"l2_bytes", client_.setup_.l2_bytes}};
    Answer answer = client_.ask(request.dump(), client_.setup_.setup_limit);
    if (answer.killed() && ++killed_ < kMaxKilled) return prepare();
    if (!answer.ok()) return answer.error(fmt::format("preparing to measure bucket {}", job_.bucket));
    launches_ = answer.data.value("launches", 1);
    conditions_ = answer.data.value("conditions", "");
    timer_ready_ = true;
    return {};
  }

  Status sample(size_t i, bool counts) {
    if (Status status = prepare(); !status) return status;
    const PipelineSpec& spec = job_.candidates[i];
    Answer answer = client_.load(spec, ids_[i]);
    if (answer.ok()) {
      results_[i].reached = std::max(results_[i].reached, Reached::loaded);
      answer = client_.ask(json{{"op", "sample"}, {"phase", phase_}, {"id", ids_[i]}}.dump(),
                           client_.kernel_limit(spec.expected_us, launches_));
    }
    if (answer.kind == Answer::Kind::cancelled) return answer.error("measuring");
    if (answer.killed() && ++killed_ < kMaxKilled) return sample(i, counts);
    if (!answer.ok()) {
      answer.judge(&results_[i].verdict, &results_[i].reason);
      book_.reject(i);
      finish(i);
      return {};
    }
    results_[i].reached = Reached::launched;
    if (counts) {
      book_.add(i, {answer.data.value("us", 0.0), answer.data.value("sm_clock_mhz", 0),
                    answer.data.value("slowed", false)});
    }
    return {};
  }

  // Nothing more is asked of the candidate.
  void finish(size_t i) {
    Measurement& result = results_[i];
    if (result.verdict == Verdict::ok) {
      const Summary summary = book_.summary(i);
      result.time_us = summary.median_us;
      result.low_us = summary.low_us;
      result.high_us = summary.high_us;
      result.samples = summary.samples;
      result.conditions = conditions_;
      if (summary.sm_clock_mhz > 0)
        result.conditions += fmt::format("; SM clock {} MHz", with_thousands(summary.sm_clock_mhz));
      if (summary.dropped > 0)
        result.conditions += fmt::format("; {} disturbed samples dropped", summary.dropped);
    }
    if (job_.finished) job_.finished(i, result);
    if (client_.child_ && client_.loaded_.erase(ids_[i]) > 0)
      client_.ask(json{{"op", "unload"}, {"id", ids_[i]}}.dump(), kSendLimit);
  }

  WorkerClient& client_;
  const MeasureJob& job_;
  SampleBook book_;
  std::vector<Measurement> results_;
  std::vector<int> ids_;
  Random order_;
  const char* phase_;
  bool timer_ready_ = false;
  int killed_ = 0;  // workers, from outside
  int launches_ = 1;
  std::string conditions_;
};

milliseconds WorkerClient::kernel_limit(double expected_us, int launches) const {
  // Predictions are rough: a candidate that takes three times its own is slow, not stuck.
  return setup_.candidate_limit + milliseconds(static_cast<int64_t>(3 * expected_us * launches / 1000));
}

Result<std::vector<Measurement>> WorkerClient::measure(const MeasureJob& job) {
  return Group(*this, job).run();
}

Result<VerifyOutcome> WorkerClient::verify(const PipelineSpec& candidate, int64_t bucket) {
  for (int killed = 1;; ++killed) {
    bool by_somebody = false;
    auto outcome = verify_once(candidate, bucket, &by_somebody);
    if (!by_somebody || killed == kMaxKilled) return outcome;
  }
}

Result<VerifyOutcome> WorkerClient::verify_once(const PipelineSpec& candidate, int64_t bucket, bool* killed) {
  if (Status status = ensure_running(); !status) return status.error();
  int id = next_id_++;
  // The oracle first, and with more time: what fails here says nothing about the candidate.
  Answer answer = ask(json{{"op", "reference"}, {"bucket", bucket}}.dump(), setup_.oracle_limit);
  *killed = answer.killed();
  if (!answer.ok())
    return answer.error(fmt::format("the oracle fails in bucket {}, nothing can be verified", bucket));
  Reached before = Reached::compiled;
  answer = load(candidate, id);
  if (answer.ok()) {
    before = Reached::loaded;
    answer = ask(json{{"op", "verify"}, {"id", id}, {"bucket", bucket}}.dump(), setup_.compare_limit,
                 kernel_limit(candidate.expected_us, /*launches=*/1));
  }
  *killed = answer.killed();
  auto outcome = outcome_of(answer, before);
  if (answer.ok() && loaded_.erase(id) > 0) ask(json{{"op", "unload"}, {"id", id}}.dump(), kSendLimit);
  return outcome;
}

Result<VerifyOutcome> WorkerClient::verify_packing(const std::shared_ptr<const Binary>& binary) {
  for (int killed = 1;; ++killed) {
    bool by_somebody = false;
    auto outcome = repack_once(*binary, &by_somebody);
    if (!by_somebody || killed == kMaxKilled) return outcome;
  }
}

Result<VerifyOutcome> WorkerClient::repack_once(const Binary& binary, bool* killed) {
  if (Status status = ensure_running(); !status) return status.error();
  Answer answer = send_binary(binary);
  if (answer.ok()) {
    // The weights are drawn anew, which takes its time too.
    answer =
        ask(json{{"op", "repack"}, {"binary", binary.key}}.dump(), setup_.setup_limit, setup_.setup_limit);
  }
  *killed = answer.killed();
  return outcome_of(answer, Reached::compiled);
}

Result<VerifyOutcome> WorkerClient::outcome_of(const Answer& answer, Reached before) {
  if (answer.kind == Answer::Kind::cancelled) return answer.error("verifying");
  VerifyOutcome outcome;
  if (!answer.ok()) {
    if (answer.kind == Answer::Kind::refused && answer.code == "out_of_memory")
      return answer.error("verifying");
    answer.judge(&outcome.verdict, &outcome.reason);
    outcome.reached = std::max(before, answer.reached);
    return outcome;
  }
  outcome.verdict = parse_verdict(answer.data.value("verdict", "wrong")).value_or(Verdict::wrong);
  outcome.reason = answer.data.value("reason", "");
  outcome.rel_l2 = answer.data.value("rel_l2", 0.0);
  outcome.max_err = answer.data.value("max_err", 0.0);
  outcome.compared = answer.data.value("compared", int64_t{0});
  outcome.different = answer.data.value("different", int64_t{0});
  outcome.cases = answer.data.value("cases", 0);
  outcome.reached = parse_reached(answer.data.value("reached", "")).value_or(Reached::loaded);
  return outcome;
}

}  // namespace rtjit

#include "tuner/worker_client.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "tuner/inputs.h"
#include "tuner/worker_protocol.h"

namespace rtjit {

using nlohmann::json;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kSendLimit{30000};
constexpr milliseconds kHelloLimit{60000};
constexpr int kEliminateAfter = 3;         // samples, before a slow candidate is no longer looked at
constexpr double kEliminateFactor = 1.35;  // of the fastest median

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

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// Order statistics that bracket the median with about 95 % confidence; min and max for few samples.
void set_interval(std::vector<double> samples, Measurement* result) {
  std::sort(samples.begin(), samples.end());
  size_t n = samples.size();
  size_t reach = static_cast<size_t>(0.98 * std::sqrt(static_cast<double>(n)));
  size_t low = n / 2 > reach ? n / 2 - reach : 0, high = std::min(n - 1, n / 2 + reach);
  result->time_us = median(samples);
  result->low_us = samples[low];
  result->high_us = samples[high];
  result->samples = static_cast<int>(n);
}

}  // namespace

// What came of one request.
struct WorkerClient::Answer {
  enum class Kind { ok, refused, hang, died, cancelled } kind = Kind::ok;
  json data;
  std::string code, message;
  bool ok() const { return kind == Kind::ok; }
  bool fault() const { return kind == Kind::died || (kind == Kind::refused && code == "device_fault"); }
  // The verdict on a candidate that this answer is about.
  void judge(Verdict* verdict, std::string* reason) const {
    *verdict = kind == Kind::hang ? Verdict::hang : fault() ? Verdict::fault : Verdict::launch;
    *reason = fmt::format("{}: {}", to_string(*verdict), message);
  }
  Error error(std::string_view doing) const {
    ErrorCode kind_code = kind == Kind::hang        ? ErrorCode::timeout
                          : kind == Kind::cancelled ? ErrorCode::cancelled
                                                    : ErrorCode::device_fault;
    return make_error(kind_code, "{}: {}", doing, message);
  }
};

Result<std::unique_ptr<WorkerClient>> WorkerClient::create(WorkerSetup setup) {
  std::unique_ptr<WorkerClient> client(new WorkerClient(std::move(setup)));
  if (Status status = client->start(); !status) return status.error();
  return client;
}

WorkerClient::~WorkerClient() { stop(); }

void WorkerClient::stop() {
  if (child_) child_->kill();
  child_.reset();
  sent_.clear();
  loaded_.clear();
}

WorkerClient::Answer WorkerClient::ask(const std::string& request, milliseconds limit) {
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
  Status sent = child_->write(request + "\n", kSendLimit);
  // A worker that no longer reads may have left a last answer; reading tells.
  auto deadline = std::chrono::steady_clock::now() + limit;
  Result<std::string> line = make_error(ErrorCode::timeout, "");
  while (true) {
    auto left = std::chrono::duration_cast<milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() < 0) left = milliseconds(0);
    line = child_->read_line(std::min(left, milliseconds(200)));
    if (line || line.error().code != ErrorCode::timeout || left.count() == 0) break;
    if (setup_.cancel && setup_.cancel->load()) return broken(Answer::Kind::cancelled, "stopped on request");
  }
  if (!line && line.error().code == ErrorCode::timeout) {
    return broken(Answer::Kind::hang, fmt::format("no answer within {} ms", with_thousands(limit.count())));
  }
  if (!line) {
    auto exit = child_->wait(milliseconds(1000));
    std::string how = exit ? exit->describe() : "closed its output";
    std::string last(trim(child_->error_output()));
    if (size_t newline = last.rfind('\n'); newline != std::string::npos) last = last.substr(newline + 1);
    return broken(Answer::Kind::died,
                  fmt::format("the worker ended with {}{}{}", how, last.empty() ? "" : ": ", last));
  }
  (void)sent;
  answer.data = json::parse(*line, nullptr, false);
  if (!answer.data.is_object()) return broken(Answer::Kind::died, "the worker answered what is not JSON");
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
  ProcessOptions options;
  options.arguments = setup_.command;
  auto child = ChildProcess::start(options);
  if (!child) return child.error().with_context("starting the measuring worker");
  child_ = std::move(*child);
  Answer answer = ask(json{{"op", "hello"}, {"device", setup_.device_ordinal}}.dump(), kHelloLimit);
  if (!answer.ok()) return answer.error("the measuring worker");
  for (const auto& binary : setup_.oracle.binaries) {
    answer = send_binary(*binary);
    if (!answer.ok()) return answer.error("the measuring worker");
  }
  if (setup_.pack_binary) {
    answer = send_binary(*setup_.pack_binary);
    if (!answer.ok()) return answer.error("the measuring worker");
  }
  json request = {
      {"op", "setup"},
      {"folders", setup_.template_folders},
      {"template", setup_.tmpl->name},
      {"hash", setup_.tmpl->content_hash},
      {"problem", setup_.problem.canonical()},
      {"pack", setup_.pack_binary ? setup_.pack_binary->key : ""},
      {"oracle",
       {{"choices", choices_json(setup_.oracle.choices)}, {"binaries", keys_json(setup_.oracle.binaries)}}}};
  answer = ask(request.dump(), setup_.setup_limit);
  if (!answer.ok()) return answer.error("setting up the problem on the device");
  return {};
}

WorkerClient::Answer WorkerClient::load(const PipelineSpec& spec, int id) {
  if (loaded_.count(id)) return {};
  const auto begun = std::chrono::steady_clock::now();
  for (const auto& binary : spec.binaries) {
    Answer answer = send_binary(*binary);
    if (!answer.ok()) return answer;
  }
  Answer answer = ask(pipeline_json("load", spec, id), setup_.candidate_limit + milliseconds(8000));
  if (answer.ok()) loaded_.insert(id);
  load_ms_ += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count();
  return answer;
}

Result<std::vector<Measurement>> WorkerClient::measure(const MeasureJob& job) {
  const size_t count = job.candidates.size();
  std::vector<Measurement> results(count);
  std::vector<std::vector<double>> samples(count);
  std::vector<bool> active(count, true);
  std::vector<int> ids(count);
  for (int& id : ids) id = next_id_++;
  bool timer_ready = false;

  // A worker that works, with the timer prepared. After a fault this is also the check that the device still
  // works.
  auto prepare = [&]() -> Status {
    if (!child_) {
      timer_ready = false;
      ++restarts_;
      if (Status status = start(); !status) {
        return status.error().with_context("the device does not work any more; everything measured is kept");
      }
    }
    if (timer_ready) return {};
    json request = {{"op", "time"},
                    {"bucket", job.bucket},
                    {"stage", job.stage},
                    {"bytes", job.bytes},
                    {"l2_bytes", setup_.l2_bytes}};
    Answer answer = ask(request.dump(), setup_.setup_limit);
    if (!answer.ok()) return answer.error(fmt::format("preparing to measure bucket {}", job.bucket));
    timer_ready = true;
    return {};
  };

  Random order(static_cast<uint64_t>(job.bucket) * 1000 + static_cast<uint64_t>(job.stage));
  for (int round = 0; round <= job.rounds; ++round) {  // round 0 warms up
    std::vector<size_t> sequence(count);
    for (size_t i = 0; i < count; ++i) sequence[i] = i;
    for (size_t i = count; i > 1; --i)
      std::swap(sequence[i - 1], sequence[static_cast<size_t>(order.below(static_cast<int64_t>(i)))]);
    for (size_t i : sequence) {
      if (!active[i]) continue;
      if (Status status = prepare(); !status) return status.error();
      Answer answer = load(job.candidates[i], ids[i]);
      if (answer.ok()) {
        auto expected = milliseconds(static_cast<int64_t>(job.candidates[i].expected_us * 0.2));
        answer = ask(json{{"op", "sample"}, {"id", ids[i]}}.dump(), setup_.candidate_limit + expected);
      }
      if (answer.kind == Answer::Kind::cancelled) return answer.error("measuring");
      if (!answer.ok()) {
        answer.judge(&results[i].verdict, &results[i].reason);
        active[i] = false;
        continue;
      }
      if (round > 0) samples[i].push_back(answer.data.value("us", 0.0));
    }
    if (round < kEliminateAfter) continue;
    double fastest = 0;
    for (size_t i = 0; i < count; ++i) {
      if (!active[i]) continue;
      double time = median(samples[i]);
      fastest = fastest == 0 ? time : std::min(fastest, time);
    }
    for (size_t i = 0; i < count; ++i) {
      if (active[i] && median(samples[i]) > kEliminateFactor * fastest) active[i] = false;
    }
  }
  for (size_t i = 0; i < count; ++i) {
    if (!samples[i].empty() && results[i].verdict == Verdict::ok) set_interval(samples[i], &results[i]);
    if (child_ && loaded_.erase(ids[i]) > 0) ask(json{{"op", "unload"}, {"id", ids[i]}}.dump(), kSendLimit);
  }
  return results;
}

Result<VerifyOutcome> WorkerClient::verify(const PipelineSpec& candidate, int64_t bucket) {
  if (!child_) {
    ++restarts_;
    if (Status status = start(); !status) {
      return status.error().with_context("the device does not work any more; everything measured is kept");
    }
  }
  int id = next_id_++;
  VerifyOutcome outcome;
  // The oracle first, and with more time: what fails here says nothing about the candidate.
  Answer answer = ask(json{{"op", "reference"}, {"bucket", bucket}}.dump(), setup_.oracle_limit);
  if (!answer.ok())
    return answer.error(fmt::format("the oracle fails in bucket {}, nothing can be verified", bucket));
  answer = load(candidate, id);
  if (answer.ok()) {
    answer = ask(json{{"op", "verify"}, {"id", id}, {"bucket", bucket}}.dump(),
                 setup_.candidate_limit + setup_.compare_limit);
  }
  if (answer.kind == Answer::Kind::cancelled) return answer.error("verifying");
  if (!answer.ok()) {
    if (answer.kind == Answer::Kind::refused && answer.code == "out_of_memory")
      return answer.error("verifying");
    answer.judge(&outcome.verdict, &outcome.reason);
    return outcome;
  }
  outcome.verdict = parse_verdict(answer.data.value("verdict", "wrong")).value_or(Verdict::wrong);
  outcome.reason = answer.data.value("reason", "");
  outcome.rel_l2 = answer.data.value("rel_l2", 0.0);
  outcome.max_err = answer.data.value("max_err", 0.0);
  outcome.cases = answer.data.value("cases", 0);
  if (loaded_.erase(id) > 0) ask(json{{"op", "unload"}, {"id", id}}.dump(), kSendLimit);
  return outcome;
}

}  // namespace rtjit

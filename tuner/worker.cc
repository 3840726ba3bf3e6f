#include "tuner/worker.h"

#include <unistd.h>

#include <cerrno>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/base64.h"
#include "runtime/cuda_device.h"
#include "runtime/probe_kernel.h"
#include "templates/registry.h"
#include "tuner/session.h"
#include "tuner/timing.h"
#include "tuner/verify.h"
#include "tuner/worker_protocol.h"

namespace rtjit {
namespace {

using nlohmann::json;

constexpr int kVerifyRepeats = 3;
constexpr int kDeviceLost = 3;

class Worker {
 public:
  using Say = std::function<void(const json&)>;
  Worker(DeviceOpener open_device, Say say) : open_device_(std::move(open_device)), say_(std::move(say)) {}

  json serve(const json& request);
  bool device_lost() const { return device_lost_; }

 private:
  Result<json> dispatch(const json& request);
  Result<json> hello(const json& request);
  Result<json> binary(const json& request);
  Result<json> probe(const json& request);
  Result<json> setup(const json& request);
  Result<json> oracle(const json& request);
  Result<json> load(const json& request);
  Result<json> reference(const json& request);
  Result<json> verify(const json& request);
  Result<json> repack(const json& request);
  Result<json> time(const json& request);
  Result<json> sample(const json& request);
  ClockReader clock_reader() const;
  std::string conditions() const;
  Result<std::unique_ptr<Pipeline>> make_pipeline(const json& request);
  Result<std::vector<StageChoice>> read_choices(const json& list) const;
  Result<std::shared_ptr<const Binary>> find_binary(const std::string& key) const;
  Result<const Pipeline*> find_pipeline(const json& request) const;

  DeviceOpener open_device_;
  Say say_;  // a line before the answer
  bool device_lost_ = false;
  std::shared_ptr<const NvmlDevice> nvml_;  // null: not there
  // Members below go in reverse order: pipelines before the bench, the bench before the device.
  std::unique_ptr<Device> device_;
  std::shared_ptr<const Template> tmpl_;
  std::map<std::string, std::shared_ptr<const Binary>> binaries_;
  std::unique_ptr<Workbench> bench_;
  std::unique_ptr<Pipeline> oracle_;
  std::unique_ptr<Verifier> verifier_;
  std::unique_ptr<StageTimer> timer_;
  std::map<int, std::unique_ptr<Pipeline>> pipelines_;
};

json outcome_json(const VerifyOutcome& outcome) {
  return {{"verdict", to_string(outcome.verdict)},
          {"reason", outcome.reason},
          {"rel_l2", outcome.rel_l2},
          {"max_err", outcome.max_err},
          {"compared", outcome.compared},
          {"different", outcome.different},
          {"cases", outcome.cases},
          {"reached", to_string(outcome.reached)}};
}

Error not_ready(const char* missing) {
  return make_error(ErrorCode::invalid_argument, "the worker has no {} yet", missing);
}

Result<json> Worker::hello(const json& request) {
  auto device = open_device_(request.at("device").get<int>());
  if (!device) return device.error();
  device_ = std::move(*device);
  if (Status s = device_->make_current(); !s) return s.error();
  const DeviceInfo& info = device_->info();
  if (auto nvml = NvmlDevice::open(info.pci_bus_id)) nvml_ = std::move(*nvml);
  return json{{"name", info.name}, {"target", info.target.name()}, {"emulated", info.emulated}};
}

Result<json> Worker::probe(const json& request) {
  if (!device_) return not_ready("device");
  auto binary = find_binary(request.at("binary").get<std::string>());
  if (!binary) return binary.error();
  if (Status s = run_probe(*device_, **binary); !s) return s.error();
  return json::object();
}

Result<json> Worker::binary(const json& request) {
  auto binary = binary_from_json(request);
  if (!binary) return binary.error();
  auto shared = std::make_shared<const Binary>(std::move(*binary));
  binaries_[shared->key] = shared;
  return json::object();
}

Result<std::shared_ptr<const Binary>> Worker::find_binary(const std::string& key) const {
  auto found = binaries_.find(key);
  if (found == binaries_.end())
    return make_error(ErrorCode::not_found, "the worker was not sent the binary {}", key);
  return found->second;
}

Result<std::vector<StageChoice>> Worker::read_choices(const json& list) const {
  std::vector<StageChoice> choices;
  for (const json& entry : list) {
    std::string stage = entry.at("stage"), variant = entry.at("variant"), config = entry.at("config");
    const Variant* found = tmpl_->find_variant(stage, variant);
    if (!found)
      return make_error(ErrorCode::not_found, "{} has no variant {} of stage {}", tmpl_->name, variant,
                        stage);
    auto given = parse_key_values(config);
    if (!given) return given.error();
    auto values = make_config(*found, *given);
    if (!values) return values.error();
    choices.push_back({stage, variant, std::move(*values)});
  }
  return choices;
}

Result<std::unique_ptr<Pipeline>> Worker::make_pipeline(const json& request) {
  auto choices = read_choices(request.at("choices"));
  if (!choices) return choices.error();
  std::vector<std::shared_ptr<const Binary>> binaries;
  for (const json& key : request.at("binaries")) {
    auto binary = find_binary(key.get<std::string>());
    if (!binary) return binary.error();
    binaries.push_back(*binary);
  }
  return bench_->pipeline(*choices, binaries);
}

Result<json> Worker::setup(const json& request) {
  if (!device_) return not_ready("device");
  auto registry = TemplateRegistry::create(request.at("folders").get<std::vector<std::string>>());
  if (!registry) return registry.error();
  auto tmpl = (*registry)->find(request.at("template").get<std::string>());
  if (!tmpl) return tmpl.error();
  tmpl_ = std::move(*tmpl);
  if (tmpl_->content_hash != request.at("hash").get<std::string>()) {
    return make_error(ErrorCode::invalid_argument, "template {} changed while tuning; start again",
                      tmpl_->name);
  }
  auto given = parse_key_values(request.at("problem").get<std::string>());
  if (!given) return given.error();
  auto problem = make_problem(*tmpl_, *given);
  if (!problem) return problem.error();
  std::shared_ptr<const Binary> pack;
  if (std::string key = request.at("pack"); !key.empty()) {
    auto found = find_binary(key);
    if (!found) return found.error();
    pack = *found;
  }
  auto choices = read_choices(request.at("choices"));
  if (!choices) return choices.error();
  auto bench =
      Workbench::create(*device_, tmpl_, *problem, device_->info().facts(), std::move(pack), *choices);
  if (!bench) return bench.error();
  bench_ = std::move(*bench);
  return json::object();
}

Result<json> Worker::oracle(const json& request) {
  if (!bench_) return not_ready("problem");
  auto oracle = make_pipeline(request);
  if (!oracle) return oracle.error().with_context("the oracle");
  oracle_ = std::move(*oracle);
  verifier_ = std::make_unique<Verifier>(*bench_, *oracle_);
  verifier_->watch([this](VerifyStep step) { say_({{"step", to_string(step)}}); });
  return json::object();
}

Result<json> Worker::load(const json& request) {
  if (!bench_) return not_ready("problem");
  auto pipeline = make_pipeline(request);
  if (!pipeline) return pipeline.error();
  pipelines_[request.at("id").get<int>()] = std::move(*pipeline);
  return json::object();
}

Result<const Pipeline*> Worker::find_pipeline(const json& request) const {
  auto found = pipelines_.find(request.at("id").get<int>());
  if (found == pipelines_.end()) return not_ready("such pipeline");
  return found->second.get();
}

Result<json> Worker::reference(const json& request) {
  if (!verifier_) return not_ready("oracle");
  std::vector<InputCase> cases = device_cases(*tmpl_, request.at("bucket").get<int64_t>());
  if (Status s = verifier_->prepare(cases); !s) return s.error();
  return json::object();
}

Result<json> Worker::verify(const json& request) {
  auto pipeline = find_pipeline(request);
  if (!pipeline) return pipeline.error();
  std::vector<InputCase> cases = device_cases(*tmpl_, request.at("bucket").get<int64_t>());
  auto outcome = verifier_->verify(**pipeline, cases, kVerifyRepeats);
  if (!outcome) return outcome.error();
  return outcome_json(*outcome);
}

Result<json> Worker::repack(const json& request) {
  if (!verifier_) return not_ready("problem");
  auto binary = find_binary(request.at("binary").get<std::string>());
  if (!binary) return binary.error();
  auto outcome = verifier_->verify_packing(*binary);
  if (!outcome) return outcome.error();
  return outcome_json(*outcome);
}

Result<json> Worker::time(const json& request) {
  if (!oracle_) return not_ready("oracle");
  timer_.reset();
  auto timer = StageTimer::create(*bench_, oracle_->plan(), request.at("bucket").get<int64_t>(),
                                  request.at("stage").get<int>(), request.at("bytes").get<double>(),
                                  request.at("l2_bytes").get<int64_t>(), clock_reader());
  if (!timer) return timer.error();
  timer_ = std::move(*timer);
  return json{{"launches", timer_->launches()}, {"conditions", conditions()}};
}

// What this GPU's own clocks are, where NVML is there to be asked.
ClockReader Worker::clock_reader() const {
  if (!nvml_) return {};
  return [nvml = nvml_] { return nvml->clocks(); };
}

std::string Worker::conditions() const {
  std::string text = timer_->conditions();
  if (!nvml_) return text + "; clocks not watched";
  const int watts = nvml_->power_limit_watts();
  return watts > 0 ? fmt::format("{}; power limit {} W", text, watts) : text;
}

Result<json> Worker::sample(const json& request) {
  auto pipeline = find_pipeline(request);
  if (!pipeline) return pipeline.error();
  if (!timer_) return not_ready("timer");
  auto us = timer_->sample(**pipeline);
  if (!us) return us.error();
  return json{{"us", us->us}, {"sm_clock_mhz", us->sm_clock_mhz}, {"slowed", us->slowed}};
}

Result<json> Worker::dispatch(const json& request) {
  std::string operation = request.at("op");
  if (operation == "hello") return hello(request);
  if (operation == "binary") return binary(request);
  if (operation == "probe") return probe(request);
  if (operation == "setup") return setup(request);
  if (operation == "oracle") return oracle(request);
  if (operation == "load") return load(request);
  if (operation == "reference") return reference(request);
  if (operation == "verify") return verify(request);
  if (operation == "repack") return repack(request);
  if (operation == "time") return time(request);
  if (operation == "sample") return sample(request);
  if (operation == "unload") {
    pipelines_.erase(request.at("id").get<int>());
    return json::object();
  }
  return make_error(ErrorCode::invalid_argument, "unknown operation '{}'", operation);
}

// The phase of a tuning run that a request is part of, as `rtjit tune --timings` names it.
std::string phase_of(const json& request) {
  const std::string operation = request.at("op");
  const bool sets_up = operation == "setup" || operation == "oracle";
  const bool verifies = operation == "reference" || operation == "verify" || operation == "repack";
  if (sets_up || verifies) return to_string(sets_up ? TunePhase::setup : TunePhase::verify);
  return request.value("phase", to_string(TunePhase::measure));
}

json Worker::serve(const json& request) {
  Result<json> answer = json::object();
  json spent;
  try {
    answer = dispatch(request);
    if (bench_) spent[phase_of(request)] = bench_->times().take();
  } catch (const std::exception& error) {  // a malformed request: json's accessors throw
    answer = make_error(ErrorCode::invalid_argument, "malformed request: {}", error.what());
  }
  if (answer) {
    (*answer)["ok"] = true;
    if (bench_) (*answer)["spent"] = std::move(spent);
    return *answer;
  }
  device_lost_ = answer.error().code == ErrorCode::device_fault;
  return json{{"ok", false}, {"code", to_string(answer.error().code)}, {"message", answer.error().message}};
}

// Reads up to the next '\n'. False at the end of the input.
bool read_line(int fd, std::string* pending, std::string* line) {
  size_t scanned = 0;
  while (true) {
    size_t end = pending->find('\n', scanned);
    if (end != std::string::npos) {
      *line = pending->substr(0, end);
      pending->erase(0, end + 1);
      return true;
    }
    scanned = pending->size();
    char buffer[65536];
    ssize_t count = read(fd, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    pending->append(buffer, static_cast<size_t>(count));
  }
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t count = write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

}  // namespace

int run_worker(int in_fd, int out_fd, DeviceOpener open_device) {
  if (!open_device) open_device = [](int ordinal) { return open_cuda_device(ordinal); };
  // Answers go to a descriptor of their own: a kernel's printf must not end up between them.
  int answers = dup(out_fd);
  if (answers < 0) return 1;
  if (out_fd == STDOUT_FILENO) dup2(STDERR_FILENO, STDOUT_FILENO);
  int exit_code = 0;
  {
    bool heard = true;
    auto say = [&](const json& message) {
      std::string text = message.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
      heard = heard && write_all(answers, text);
    };
    Worker worker(std::move(open_device), say);
    std::string pending, line;
    while (read_line(in_fd, &pending, &line)) {
      json request = json::parse(line, nullptr, /*allow_exceptions=*/false);
      say(worker.serve(request));
      if (!heard) break;
      if (worker.device_lost()) {
        exit_code = kDeviceLost;
        break;
      }
    }
    // Freeing memory of a lost context can block or fail; the kernel cleans up after the process.
    if (exit_code != 0) _exit(exit_code);
  }
  close(answers);
  return exit_code;
}

}  // namespace rtjit

#include "tests/tuner/tune_once.h"

#include "base/stop_signals.h"
#include "tests/tuner/scale_add.h"

namespace rtjit::test {

TuneRequest fake_device_request(std::shared_ptr<const Template> tmpl, const std::string& misbehaviour,
                                const std::string& strategy, int passes) {
  TuneRequest request;
  request.problem = *make_problem(*tmpl, {{"a", "1.5"}});
  request.tmpl = std::move(tmpl);
  request.target = *Target::parse("sm_90a");
  request.device = fake_device_info("sm_90a");
  request.buckets = {1024, 16384};
  request.worker_command = {"/proc/self/exe", "worker", misbehaviour};
  request.template_folders = {scale_add_folder()};
  request.search.name = strategy;
  request.search.configs = 10;
  request.search.samples = 4;
  request.search.passes = passes;
  request.limits.candidate_limit = std::chrono::milliseconds(400);
  return request;
}

int tune_once(const std::string& database, const std::string& misbehaviour, const std::string& strategy,
              int passes) {
  const std::atomic<bool>* stop = stop_on_signals();
  auto registry = scale_add_registry();
  auto store = open_store(database);
  int opened = 0;
  TuneRequest request = fake_device_request(*registry->find("scale_add"), misbehaviour, strategy, passes);
  request.store = store.get();
  request.compiler = counting_compiler(&opened);
  request.cancel = stop;
  auto report = tune(request);
  if (!report) {
    fmt::print(stderr, "{}\n", report.error().message);
    return 1;
  }
  return report->cancelled ? 130 : 0;
}

}  // namespace rtjit::test

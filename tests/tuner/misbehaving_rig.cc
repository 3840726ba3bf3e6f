#include "tests/tuner/misbehaving_rig.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "compiler/nvrtc.h"
#include "emulator/emulated_device.h"
#include "runtime/cuda_device.h"
#include "templates/registry.h"
#include "tests/tuner/exiting_device.h"
#include "tuner/worker.h"

namespace rtjit::test {
namespace {

constexpr int64_t kBucket = 1000;

std::string template_folder() {
  const char* data = std::getenv("RTJIT_TEST_DATA");
  return std::string(data == nullptr ? RTJIT_SOURCE_DIR "/tests/data" : data) + "/templates/misbehaving";
}

Result<std::unique_ptr<Device>> open_device(const std::string& target, int ordinal) {
  auto device = [&]() -> Result<std::unique_ptr<Device>> {
    if (target.empty()) return open_cuda_device(ordinal);
    auto parsed = Target::parse(target);
    if (!parsed) return parsed.error();
    return make_emulated_device(*parsed);
  }();
  if (!device) return device;
  return std::unique_ptr<Device>(std::make_unique<ExitingDevice>(std::move(*device), "How::exit"));
}

}  // namespace

const std::vector<Misdeed>& misdeeds() {
  static const std::vector<Misdeed> all = {
      {"none", Verdict::ok, "", Reached::verified},
      {"illegal_address", Verdict::fault, "illegal memory access|out-of-bounds|invalid", Reached::loaded},
      {"misaligned", Verdict::fault, "misaligned|MISALIGNED", Reached::loaded},
      {"loop", Verdict::hang, "no answer within", Reached::loaded},
      {"barrier_loop", Verdict::hang, "no answer within", Reached::loaded},
      {"nan", Verdict::wrong, "is nan, must be", Reached::launched},
      {"last_tile", Verdict::wrong, "out has", Reached::launched},
      {"third_run", Verdict::wrong, "gave other bits|out has", Reached::launched},
      {"past_end", Verdict::fault, "wrote 4 B past the end of out|out-of-bounds", Reached::launched},
      {"before_start", Verdict::fault, "wrote 4 B before the start of out|out-of-bounds", Reached::launched},
      {"resources", Verdict::launch,
       "compiled for at most 64|INVALID_VALUE|OUT_OF_RESOURCES|invalid argument", Reached::loaded},
      {"endless_compile", Verdict::timeout, "compiling took longer than", Reached::nothing},
      {"exit", Verdict::fault, "exit status 7", Reached::loaded},
  };
  return all;
}

MisbehavingRig::MisbehavingRig(TuneRequest request, SearchContext context)
    : request_(std::move(request)),
      context_(std::move(context)),
      binaries_(nullptr, [this] { return open_compiler(); }),
      ledger_(nullptr, context_, request_.device->sku_fingerprint(), nullptr),
      judge_(request_, context_, binaries_, spaces_, [](const std::string& text) { ADD_FAILURE() << text; }) {
}

Result<std::shared_ptr<CompilePool>> MisbehavingRig::open_compiler() {
  auto nvrtc = Nvrtc::open();
  if (!nvrtc) return nvrtc.error();
  return std::make_shared<CompilePool>(*nvrtc);
}

Result<std::unique_ptr<MisbehavingRig>> MisbehavingRig::create(const DeviceInfo& device,
                                                               std::vector<std::string> worker,
                                                               TuneLimits limits) {
  auto registry = TemplateRegistry::create({template_folder()});
  if (!registry) return registry.error();
  TuneRequest request;
  auto tmpl = (*registry)->find("misbehaving");
  if (!tmpl) return tmpl.error();
  request.tmpl = *tmpl;
  auto problem = make_problem(**tmpl, {});
  if (!problem) return problem.error();
  request.problem = *problem;
  request.target = device.target;
  request.device = device;
  request.worker_command = std::move(worker);
  request.template_folders = {template_folder()};
  request.limits = limits;
  SearchContext context{request.tmpl, request.problem, request.target, device.facts(),
                        gpu_facts(request.target, device)};
  std::unique_ptr<MisbehavingRig> rig(new MisbehavingRig(std::move(request), std::move(context)));
  rig->registry_ = *registry;
  auto space = make_stage_space(rig->context_, (*tmpl)->stages.front(), {kBucket});
  if (!space) return space.error();
  rig->spaces_.push_back(std::move(*space));
  std::vector<Candidate*> all;
  for (Candidate& candidate : rig->spaces_.front().candidates) all.push_back(&candidate);
  CompileGateRun run{rig->context_, rig->binaries_, rig->ledger_, rig->request_.limits,
                     false,         nullptr,        {},           {}};
  CompileQueue compiles(run);
  if (Status status = compiles.finish(all); !status) return status.error();
  return rig;
}

Result<Outcome> MisbehavingRig::run(const std::string& how) {
  const int index = spaces_.front().find("bad", "how=" + how);
  if (index < 0) return make_error(ErrorCode::not_found, "the template knows no how={}", how);
  const Candidate& candidate = spaces_.front().candidates[static_cast<size_t>(index)];
  Outcome outcome;
  if (!candidate.gate.ok()) {
    outcome.verdict = candidate.gate.verdict;
    outcome.reason = candidate.gate.reason;
    return outcome;
  }
  auto measurer = judge_.measurer();
  if (!measurer) return measurer.error();
  auto spec = judge_.pipeline_spec({index});
  if (!spec) return spec.error();
  MeasureJob job;
  job.bucket = kBucket;
  job.sampling.rounds = job.sampling.max_rounds = 3;
  job.candidates = {*spec};
  auto measured = (*measurer)->measure(job);
  if (!measured) return measured.error();
  outcome = {measured->front().verdict, measured->front().reason, measured->front().reached};
  if (outcome.verdict != Verdict::ok) return outcome;
  auto verified = (*measurer)->verify(*spec, kBucket);
  if (!verified) return verified.error();
  return Outcome{verified->verdict, verified->reason, verified->reached};
}

void expect_every_misdeed_to_cost_itself_only(MisbehavingRig& rig) {
  for (const Misdeed& misdeed : misdeeds()) {
    SCOPED_TRACE(misdeed.how);
    auto outcome = rig.run(misdeed.how);
    ASSERT_TRUE(outcome.ok()) << outcome.error().message;
    EXPECT_STREQ(to_string(outcome->verdict), to_string(misdeed.verdict)) << outcome->reason;
    // The emulator faults at the access itself; on a GPU the guard zones tell afterwards.
    const bool at_once = outcome->reason.find("out-of-bounds") != std::string::npos;
    EXPECT_STREQ(to_string(outcome->reached), to_string(at_once ? Reached::loaded : misdeed.reached))
        << outcome->reason;
    const std::vector<std::string> parts = split(misdeed.reason, '|');
    EXPECT_TRUE(parts.empty() || std::any_of(parts.begin(), parts.end(),
                                             [&](const std::string& part) {
                                               return outcome->reason.find(part) != std::string::npos;
                                             }))
        << outcome->reason;
    auto next = rig.run("none");
    ASSERT_TRUE(next.ok()) << next.error().message;
    EXPECT_EQ(next->verdict, Verdict::ok) << next->reason;
  }
}

bool is_misbehaving_worker(int argc, char** argv, int* exit_code) {
  if (argc < 3 || std::strcmp(argv[1], "worker") != 0) return false;
  std::string target;
  if (std::strcmp(argv[2], "--emulate") == 0 && argc == 4) {
    target = argv[3];
  } else if (std::strcmp(argv[2], "--cuda") != 0) {
    return false;
  }
  *exit_code =
      run_worker(STDIN_FILENO, STDOUT_FILENO, [&](int ordinal) { return open_device(target, ordinal); });
  return true;
}

}  // namespace rtjit::test

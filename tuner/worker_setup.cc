#include "tuner/worker_setup.h"

#include "runtime/probe_kernel.h"
#include "tuner/choices.h"

namespace rtjit {

Result<WorkerSetup> make_worker_setup(const SearchContext& context, BinarySource& binaries,
                                      const WorkerRun& run) {
  WorkerSetup setup;
  setup.command = run.command;
  setup.template_folders = run.template_folders;
  setup.tmpl = context.tmpl;
  setup.problem = context.problem;
  setup.device_ordinal = run.device.ordinal;
  setup.l2_bytes = run.device.l2_bytes;
  setup.candidate_limit = run.limits.candidate_limit;
  setup.cancel = run.cancel;
  auto choices = oracle_choices(context, context.tmpl->buckets.front());
  if (!choices) return choices.error();
  setup.oracle.choices = std::move(*choices);
  auto pack = packing_binary(context, binaries, run.limits, run.compiler);
  if (!pack) return pack.error();
  setup.pack_binary = std::move(*pack);
  auto probe = binaries.get(probe_request(context.target, run.limits.compile_limit), run.compiler);
  if (!probe) return probe.error();
  if (!probe->binary)
    return make_error(ErrorCode::compile_failed, "the probe kernel: {}", probe->reject.reason);
  setup.probe = probe->binary;
  return setup;
}

}  // namespace rtjit

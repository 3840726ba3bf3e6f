#include "emulator/report.h"

namespace rtjit::emu {

const char* to_string(FaultKind kind) {
  switch (kind) {
    case FaultKind::out_of_bounds:
      return "out-of-bounds";
    case FaultKind::use_after_free:
      return "use-after-free";
    case FaultKind::misaligned:
      return "misaligned";
    case FaultKind::uninitialised:
      return "uninitialised";
    case FaultKind::race:
      return "race";
    case FaultKind::proxy_fence:
      return "missing-proxy-fence";
    case FaultKind::tensor_fence:
      return "missing-tensor-fence";
    case FaultKind::barrier:
      return "barrier";
    case FaultKind::deadlock:
      return "deadlock";
    case FaultKind::mbarrier:
      return "mbarrier";
    case FaultKind::async_early:
      return "async-too-early";
    case FaultKind::read_only:
      return "read-only";
    case FaultKind::resources:
      return "resources";
    case FaultKind::unsupported:
      return "unsupported";
    case FaultKind::trap:
      return "trap";
    case FaultKind::step_budget:
      return "step-budget";
    case FaultKind::invalid_address:
      return "invalid-address";
    case FaultKind::tensor_memory:
      return "tensor-memory";
  }
  return "unknown";
}

std::string Report::text() const {
  std::string out = fmt::format("kernel {}", kernel);
  if (ptx_line) out += fmt::format(", PTX line {} ({})", ptx_line, instruction);
  if (source_line) out += fmt::format(", CUDA line {}", source_line);
  if (has_thread) {
    out += fmt::format(", block ({},{},{}), thread ({},{},{})", block[0], block[1], block[2], thread[0],
                       thread[1], thread[2]);
  }
  if (has_address) out += fmt::format(", address {:#x}", address);
  return fmt::format("{}: {}: {}", out, to_string(kind), detail);
}

Error Report::error() const {
  ErrorCode code = ErrorCode::device_fault;
  if (kind == FaultKind::deadlock || kind == FaultKind::step_budget) code = ErrorCode::timeout;
  // As a driver does, which refuses the launch and goes on.
  if (kind == FaultKind::unsupported || kind == FaultKind::resources) code = ErrorCode::unsupported;
  return {code, text()};
}

}  // namespace rtjit::emu

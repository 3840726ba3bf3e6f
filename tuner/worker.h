// The process in which candidates are loaded, run, verified and timed: JSON lines in, JSON lines out.
//
// One request, one answer, in order; every answer has "ok", and once there is a problem "spent": milliseconds
// by part of the work, by phase of the run. A refusal carries "code" (of ErrorCode) and "message". `verify`
// says what it is doing before it answers, in lines with "step" (launching, ran, right), so that the time a
// kernel takes can be limited apart from the time that comparing takes. Requests ("op") with their keys, and
// what the answer holds:
//
// - hello {device}: name, target, emulated
// - probe {binary}: runs the probe kernel (runtime/probe_kernel.h)
// - binary {key, compiler, cubin, ptx, kernels}: cubin and ptx are base64
// - setup {folders, template, hash, problem, oracle, pack}: oracle is a pipeline, pack a binary's key or ""
// - load {id, choices, binaries}: a pipeline; choices are {stage, variant, config}, binaries are keys
// - reference {bucket}: runs the oracle for the bucket's cases
// - verify {id, bucket}: verdict, reason, rel_l2, max_err, compared, different, cases, reached
// - repack {binary}: verdict and so on, of other kernels that pack weights than setup's
// (Verifier::verify_packing)
// - time {bucket, stage, bytes, l2_bytes}: prepares what `sample` uses; launches, conditions
// - sample {id}: us
// - unload {id}
//
// After ErrorCode::device_fault the process ends: its context is lost.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "runtime/device.h"

namespace rtjit {

using DeviceOpener = std::function<Result<std::unique_ptr<Device>>(int ordinal)>;

// Serves until the input ends (0), or the device is lost (3). What kernels print goes to standard error when
// out_fd is standard output. `open_device` defaults to the CUDA driver.
int run_worker(int in_fd, int out_fd, DeviceOpener open_device = nullptr);

}  // namespace rtjit

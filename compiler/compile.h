// One config of one variant -> cubin + PTX + facts, or a typed verdict that says why not.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/cubin.h"
#include "compiler/ptx_scan.h"
#include "compiler/target.h"
#include "templates/manifest.h"

namespace rtjit {

class Nvrtc;

// What is to be compiled: any number of kernels that share one source file.
struct CompileRequest {
  std::shared_ptr<const Template> tmpl;
  std::string source;                         // path within Template::sources, "moe_mxfp4/mma.cuh"
  std::vector<std::string> name_expressions;  // the instantiations
  int64_t smem_bytes = 0;                     // RTJIT_SMEM_BYTES, checked by the kernel's static_assert
  Target target;
  std::vector<std::string> declared_features;   // what the manifest says it needs; empty: nothing is checked
  std::chrono::milliseconds time_limit{10000};  // of processor time, see compile_clock.h
};

struct Binary {
  std::string key;  // identity: every included source, options, target, NVRTC version, name expressions
  std::string cubin;
  std::string ptx;
  struct Kernel {
    std::string name_expression;
    std::string symbol;  // lowered name
    KernelResources resources;
  };
  std::vector<Kernel> kernels;
  std::vector<FeatureUse> features;  // scanned from the PTX
  // Scanned but not declared, when the request declares any: the manifest forgot them.
  std::vector<std::string> undeclared_features;
  std::string log;
  double compile_ms = 0;  // processor time
  std::string compiler;   // "nvrtc 13.0"
};

// The identity of the binary a request would give, without compiling. Needs the NVRTC version (pass the one a
// cached binary was made with to look it up without loading NVRTC).
std::string binary_key(const CompileRequest& request, std::string_view compiler);

// The few generated lines that include the source and instantiate the kernels.
std::string specialized_source(const CompileRequest& request);

// Why a config was rejected, the number and the words. `kind` is the verdict name of docs/verdicts.md:
// "feature", "registers", "smem", "compile", "timeout".
struct CompileReject {
  std::string kind;
  std::string reason;
  std::string log;
};

struct CompileOutcome {
  std::shared_ptr<const Binary> binary;  // null when rejected
  CompileReject reject;
};

// Declared features and shared memory are checked before anything is compiled, the features that the PTX
// really uses afterwards, whether the assembler took it or not; what the compiler or the assembler refuses is
// a reject with its log. A compile that exceeds its limit stops when NVRTC can be interrupted; CompilePool
// does not wait for it in any case. Errors (rather than rejects) are those of the environment: no memory, a
// target that this NVRTC does not know, a source that is not there.
Result<CompileOutcome> compile(const Nvrtc& nvrtc, const CompileRequest& request);

}  // namespace rtjit

// How a request becomes an NVRTC program.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/compile.h"
#include "compiler/nvrtc.h"

namespace rtjit {

// The keys of Template::sources that the request's source needs, ascending. An unknown source or include is
// an error.
Result<std::vector<std::string>> request_sources(const CompileRequest& request);

// binary_key() for whoever has these already: reading sources for their includes takes longer than hashing
// them.
std::string binary_key(const CompileRequest& request, std::string_view compiler,
                       const Result<std::vector<std::string>>& reachable);

enum class Artifact {
  ptx,    // the front end alone
  cubin,  // PTX and the assembled code
};

// The options that decide the result; part of the binary's identity.
std::vector<std::string> compile_options(const Target& target, Artifact artifact);

NvrtcInput make_input(const Nvrtc& nvrtc, const CompileRequest& request,
                      const std::vector<std::string>& reachable, Artifact artifact);

}  // namespace rtjit

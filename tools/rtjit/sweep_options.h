// What the verbs that read stored measurements are about. No GPU is looked for.
#pragma once

#include <memory>

#include "base/result.h"
#include "templates/registry.h"
#include "tools/rtjit/scope_options.h"
#include "tuner/sweep.h"

namespace rtjit {

struct SweepScope {
  std::shared_ptr<const TemplateRegistry> registry;
  std::shared_ptr<const Template> tmpl;
  SweepFilter filter;
};

// Template, problem or preset (else every problem that is stored), target (else every one), tokens.
Result<SweepScope> open_sweeps(const ScopeOptions& options);

}  // namespace rtjit

#include "tools/rtjit/sweep_options.h"

namespace rtjit {

Result<SweepScope> open_sweeps(const ScopeOptions& options) {
  const ScopeRequest& request = options.request;
  SweepScope scope;
  auto registry = TemplateRegistry::create(options.template_folders);
  if (!registry) return registry.error();
  scope.registry = *registry;
  auto tmpl = scope.registry->find(request.template_name);
  if (!tmpl) return tmpl.error();
  scope.tmpl = *tmpl;
  if (!request.target.empty()) {
    auto target = Target::parse(request.target);
    if (!target) return target.error().with_context("--target");
    scope.filter.target = target->name();
  }
  if (!request.preset.empty() || !request.problem.empty()) {
    auto problem = resolve_problem(*scope.registry, *scope.tmpl, request);
    if (!problem) return problem.error();
    scope.filter.problem = problem->canonical();
  }
  if (!request.tokens.empty()) {
    auto buckets = resolve_buckets(*scope.tmpl, request.tokens);
    if (!buckets) return buckets.error();
    scope.filter.buckets = *buckets;
  }
  return scope;
}

}  // namespace rtjit

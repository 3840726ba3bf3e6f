#include "runtime/handle.h"

#include <algorithm>
#include <map>

#include "base/text.h"

namespace rtjit {
namespace {

// Workspace is asked for every value up to this one; beyond, at as many evenly spaced ones. Sizes are nearly
// always monotone in the scalar, but a formula that splits work into chunks need not be.
constexpr int64_t kExactSizes = 1 << 17;

std::string choices_key(const ResolvedBucket& bucket) {
  std::string key;
  for (const ResolvedStage& stage : bucket.stages) {
    key += fmt::format("{}|{}|{};", stage.choice.variant, stage.choice.config.canonical(), stage.binary->key);
  }
  return key;
}

// The binary of each launch of a plan.
Result<std::vector<std::shared_ptr<const Binary>>> binaries_of(const LaunchPlan& plan,
                                                               const ResolvedBucket& bucket) {
  std::vector<std::shared_ptr<const Binary>> result;
  for (const PlanLaunch& launch : plan.launches()) {
    if (launch.stage < 0 || static_cast<size_t>(launch.stage) >= bucket.stages.size()) {
      return make_error(ErrorCode::internal, "{}: a launch of no stage", launch.kernel);
    }
    result.push_back(bucket.stages[static_cast<size_t>(launch.stage)].binary);
  }
  return result;
}

}  // namespace

Result<std::unique_ptr<KernelHandle>> KernelHandle::open(std::shared_ptr<Context> context,
                                                         const std::string& template_name,
                                                         const std::string& problem,
                                                         const OpenOptions& options) {
  std::unique_ptr<KernelHandle> handle(new KernelHandle);
  auto tmpl = context->registry().find(template_name);
  if (!tmpl) return tmpl.error();
  auto given = parse_key_values(problem);
  if (!given) return given.error().with_context("problem");
  auto made = context->registry().problem(**tmpl, *given);
  if (!made) return made.error();
  handle->context_ = std::move(context);
  handle->tmpl_ = std::move(*tmpl);
  handle->problem_ = std::move(*made);
  handle->options_ = options;
  for (const std::string& text : options.configs) {
    auto parsed = parse_stage_override(*handle->tmpl_, text);
    if (!parsed) return parsed.error();
    handle->overrides_.push_back(std::move(*parsed));
  }
  if (options.max_bucket < 0) {
    return make_error(ErrorCode::invalid_argument, "max_bucket: {}, allowed is 0 (no limit) or more",
                      options.max_bucket);
  }
  const std::vector<int64_t>& all = handle->tmpl_->buckets;
  int64_t last = all.empty()               ? 0
                 : options.max_bucket == 0 ? all.back()
                                           : bucket_for(*handle->tmpl_, options.max_bucket);
  for (int64_t bucket : all) {
    if (bucket <= last) handle->buckets_.push_back(bucket);
  }
  if (handle->buckets_.empty()) handle->buckets_.push_back(0);  // a template without buckets has one choice
  handle->binaries_ = std::make_unique<BinaryProvider>(*handle->context_, handle->tmpl_, handle->problem_);
  auto table = handle->make_table();
  if (!table) return table.error();
  handle->table_ = table->get();
  handle->tables_.push_back(std::move(*table));
  if (Status status = handle->make_packing(); !status) return status.error();
  if (options.miss_policy == MissPolicy::background) handle->tune_in_background(*handle->table_);
  return handle;
}

Result<std::unique_ptr<KernelHandle::Table>> KernelHandle::make_table() {
  ResolveRequest request{tmpl_, &problem_, buckets_, options_.miss_policy, overrides_};
  std::vector<std::shared_ptr<Module>> loaded;  // until the pipelines hold them
  auto resolved = resolve(*context_, request, binaries_.get(), &modules_, &loaded);
  if (!resolved) return resolved.error();
  auto table = std::make_unique<Table>();
  std::map<std::string, std::shared_ptr<const Pipeline>> pipelines;
  TargetFacts facts = context_->device().info().facts();
  for (const ResolvedBucket& bucket : *resolved) {
    std::shared_ptr<const Pipeline>& pipeline = pipelines[choices_key(bucket)];
    if (pipeline == nullptr) {
      std::vector<StageChoice> choices;
      for (const ResolvedStage& stage : bucket.stages) choices.push_back(stage.choice);
      auto plan = LaunchPlan::create(tmpl_, problem_, choices, facts);
      if (!plan) return plan.error();
      auto binaries = binaries_of(*plan, bucket);
      if (!binaries) return binaries.error();
      auto created = Pipeline::create(context_->device(), std::move(*plan), std::move(*binaries), &modules_);
      if (!created) return created.error();
      pipeline = std::move(*created);
    }
    std::vector<ServingStage> stages(bucket.stages.begin(), bucket.stages.end());
    table->entries.push_back({bucket.bucket, pipeline, bucket.provenance(), std::move(stages), bucket.missed});
  }
  return table;
}

// What does not depend on the choices: packing, its identity, the packed size, where the bucket scalar is
// read from.
Status KernelHandle::make_packing() {
  const LaunchPlan& plan = table_.load()->entries[0].pipeline->plan();
  auto bytes = plan.total_bytes(BufferSpec::Kind::packed, 0);
  if (!bytes) return bytes.error();
  packed_bytes_ = *bytes;
  int slot = plan.scalar_slot(tmpl_->bucket_scalar);
  for (size_t a = 0; a < tmpl_->arguments.size(); ++a) {
    if (slot < 0 || tmpl_->arguments[a].role != ArgumentSpec::Role::launch) continue;
    const std::vector<int>& binds = plan.argument_shapes()[a].shape_binds;
    for (size_t d = 0; d < binds.size(); ++d) {
      if (binds[d] == slot) bucket_sources_.emplace_back(static_cast<int>(a), static_cast<int>(d));
    }
  }
  if (tmpl_->pack.empty()) return {};
  auto packing = LaunchPlan::create(tmpl_, problem_, {}, context_->device().info().facts(), /*packing=*/true);
  if (!packing) return packing.error();
  layout_ = tmpl_->layout;
  for (const auto& [key, value] : packing->packing_keys()) {
    layout_ += fmt::format("{}{}={}", layout_.size() == tmpl_->layout.size() ? ' ' : ',', key, value);
  }
  std::vector<std::string> names;
  for (const PlanLaunch& launch : packing->launches()) {
    if (std::find(names.begin(), names.end(), launch.kernel) == names.end()) names.push_back(launch.kernel);
  }
  auto binary = binaries_->get_packing(names);
  if (!binary) return binary.error();
  std::vector<std::shared_ptr<const Binary>> binaries(packing->launches().size(), *binary);
  auto created = Pipeline::create(context_->device(), std::move(*packing), std::move(binaries), &modules_);
  if (!created) return created.error();
  packing_ = std::move(*created);
  return {};
}

const KernelHandle::Entry& KernelHandle::entry_for(int64_t value) const {
  const auto& entries = table_.load(std::memory_order_acquire)->entries;
  size_t index = 0;
  while (index + 1 < entries.size() && entries[index].bucket < value) ++index;
  return entries[index];
}

const std::string& KernelHandle::provenance(int64_t value) const { return entry_for(value).provenance; }

Result<int64_t> KernelHandle::workspace_bytes(int64_t value) const {
  if (value < 0) {
    return make_error(ErrorCode::invalid_argument, "{}: {}, allowed is 0 or more", tmpl_->bucket_scalar,
                      value);
  }
  int64_t step = std::max<int64_t>(1, value / kExactSizes), best = 0;
  BoundArguments scratch;
  std::array<int64_t, kMaxPlanPointers> offsets;
  for (int64_t v = value; v >= 0; v = v == 0 ? -1 : std::max<int64_t>(v - step, 0)) {
    const LaunchPlan& plan = pipeline(v).plan();
    std::span<int64_t> values(scratch.values.data(), plan.base_values().size());
    std::copy(plan.base_values().begin(), plan.base_values().end(), values.begin());
    if (int slot = plan.scalar_slot(tmpl_->bucket_scalar); slot >= 0) values[static_cast<size_t>(slot)] = v;
    int64_t total = 0;
    if (!plan.offsets(BufferSpec::Kind::workspace, values, {offsets.data(), plan.buffers().size()}, &total)) {
      return make_error(ErrorCode::unsupported, "{}: the workspace for {} = {} has no size", tmpl_->name,
                        tmpl_->bucket_scalar, v);
    }
    best = std::max(best, total);
  }
  return best;
}

Status KernelHandle::check_addresses(std::span<const TensorArg> arguments, DevicePtr packed,
                                     DevicePtr workspace) const {
  const Device& device = context_->device();
  const auto check = [&](std::string_view name, DevicePtr address) -> Status {
    if (address == 0) return {};
    Status status = device.check_address(address);
    if (status) return status;
    return status.error().with_context(name);
  };
  for (const TensorArg& argument : arguments) {
    if (Status status = check(argument.name, argument.data); !status) return status;
  }
  if (Status status = check("packed weights", packed); !status) return status;
  return check("workspace", workspace);
}

Status KernelHandle::pack(std::span<const TensorArg> inputs, DevicePtr packed, int64_t packed_bytes,
                          StreamHandle stream) const {
  if (packing_ == nullptr) {
    return make_error(ErrorCode::invalid_argument, "{} packs no weights", tmpl_->name);
  }
  BoundArguments bound;
  Status status = bind_arguments(packing_->plan(), ArgumentSpec::Role::pack, inputs, &bound);
  if (status) status = check_addresses(inputs, packed, 0);
  if (!status) return status;
  return packing_->launch(bound, 0, 0, packed, packed_bytes, stream);
}

bool KernelHandle::bucket_value(std::span<const TensorArg> arguments, int64_t* value) const {
  for (auto [argument, dimension] : bucket_sources_) {
    const std::string& name = tmpl_->arguments[static_cast<size_t>(argument)].name;
    for (const TensorArg& tensor : arguments) {
      if (tensor.name != name || tensor.rank <= dimension || tensor.rank > 4) continue;
      *value = tensor.shape[static_cast<size_t>(dimension)];
      return true;
    }
  }
  return false;
}

Result<const Pipeline*> KernelHandle::pipeline_for(std::span<const TensorArg> arguments,
                                                   std::shared_ptr<const Pipeline>* owner) const {
  int64_t value = 0;
  bucket_value(arguments, &value);  // unknown: binding says what is missing
  const Entry& entry = entry_for(value);
  if (options_.max_bucket > 0 && value > buckets_.back() && value > options_.max_bucket) {
    return make_error(ErrorCode::invalid_argument, "{} = {}: this kernel was opened for at most {}",
                      tmpl_->bucket_scalar, value, options_.max_bucket);
  }
  if (owner != nullptr) *owner = entry.pipeline;
  return entry.pipeline.get();
}

Status KernelHandle::launch(std::span<const TensorArg> arguments, DevicePtr packed, int64_t packed_bytes,
                            DevicePtr workspace, int64_t workspace_bytes, StreamHandle stream) const {
  auto pipeline = pipeline_for(arguments);
  if (!pipeline) return pipeline.error();
  BoundArguments bound;
  Status status = bind_arguments((*pipeline)->plan(), ArgumentSpec::Role::launch, arguments, &bound);
  if (status && unchecked_launches_.load(std::memory_order_relaxed) > 0) {
    unchecked_launches_.fetch_sub(1, std::memory_order_relaxed);
    status = check_addresses(arguments, packed, workspace);
  }
  if (!status) return status;
  return (*pipeline)->launch(bound, workspace, workspace_bytes, packed, packed_bytes, stream);
}

Result<std::unique_ptr<FrozenLaunch>> KernelHandle::freeze(std::span<const TensorArg> arguments,
                                                           DevicePtr packed, int64_t packed_bytes,
                                                           DevicePtr workspace, int64_t workspace_bytes,
                                                           StreamHandle stream) {
  if (background_ != nullptr && !context_->device().is_capturing(stream) && background_->take_news()) {
    if (Status status = refresh(); !status) {
      context_->log(LogLevel::warning,
                    fmt::format("{}: what was tuned in the background cannot be taken over: {}", tmpl_->name,
                                status.error().message));
    }
  }
  std::shared_ptr<const Pipeline> owner;
  auto pipeline = pipeline_for(arguments, &owner);
  if (!pipeline) return pipeline.error();
  BoundArguments bound;
  Status status = bind_arguments((*pipeline)->plan(), ArgumentSpec::Role::launch, arguments, &bound);
  if (status) status = check_addresses(arguments, packed, workspace);
  if (!status) return status.error();
  auto parts = (*pipeline)->freeze(bound, workspace, workspace_bytes, packed, packed_bytes);
  if (!parts) return parts.error();
  std::vector<FrozenLaunch::Input> inputs;
  for (const TensorArg& argument : arguments) {
    const auto& specs = tmpl_->arguments;
    auto spec =
        std::find_if(specs.begin(), specs.end(), [&](const auto& s) { return s.name == argument.name; });
    inputs.push_back({spec->name, static_cast<int>(spec - specs.begin()), spec->align, argument.data});
  }
  return std::make_unique<FrozenLaunch>(context_, std::move(owner), context_->device(), std::move(*parts),
                                        std::move(inputs));
}

void KernelHandle::tune_in_background(const Table& table) {
  std::vector<int64_t> missed;
  for (const Entry& entry : table.entries) {
    if (entry.missed) missed.push_back(entry.bucket);
  }
  if (missed.empty()) return;
  background_ = std::make_unique<BackgroundTune>(context_, tmpl_, problem_, std::move(missed));
}

Status KernelHandle::refresh() {
  const std::lock_guard lock(refresh_mutex_);
  // Rows that were read when the kernel was opened are out of date now.
  binaries_ = std::make_unique<BinaryProvider>(*context_, tmpl_, problem_);
  auto table = make_table();
  if (!table) return table.error();
  tables_.push_back(std::move(*table));
  table_.store(tables_.back().get(), std::memory_order_release);
  return {};
}

}  // namespace rtjit

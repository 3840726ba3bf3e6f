// A launch plan: everything between "tokens = 7" and driver calls, resolved when a kernel is opened.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "templates/formula.h"
#include "templates/manifest.h"

namespace rtjit {

// The facts of a target that formulas may read; filled from compiler/target.h or from a device.
struct TargetFacts {
  int cc = 0;     // 90 for sm_90a
  int major = 0;  // 9
  int64_t smem_per_block = 0, smem_per_sm = 0;
  int64_t sm_count = 0;  // 0 when unknown
  int64_t threads_per_sm = 0, registers_per_sm = 65536;
  bool has_griddepcontrol = false;
};

// Some of a template's stages, by index.
class StageSet {
 public:
  static StageSet all() { return StageSet(); }
  static StageSet none() {
    StageSet set;
    set.all_ = false;
    return set;
  }
  void add(int stage) { stages_ |= uint64_t{1} << stage; }
  bool has(int stage) const { return all_ || (stages_ >> stage & 1) != 0; }

 private:
  bool all_ = true;
  uint64_t stages_ = 0;  // not looked at where all are meant: packing is no stage
};

// What is timed when configs of a stage are compared: it, and what its Stage::timed_with says for this
// problem.
StageSet timed_stages(const Template& tmpl, int stage, const Problem& problem);

// One argument of a kernel, where its value comes from.
struct PlanArgument {
  enum class Kind { pointer, i32, i64, f32, tensor_map };
  Kind kind = Kind::pointer;
  int source =
      -1;  // pointer: index into PlanLayout pointers (arguments, then buffers); tensor_map: index of the map
  Formula formula;  // i32, i64
  float real = 0;   // f32
};

struct PlanTensorMap {
  int base = -1;  // pointer index
  DType dtype = DType::bf16;
  std::string swizzle;
  std::vector<Formula> dims, strides, box;
  Formula when = Formula::constant(1);
};

struct PlanLaunch {
  int stage = -1;      // index into Template::stages; -1 for packing
  std::string kernel;  // the name expression, "rtjit::moe_mxfp4::gemm1_mma<64, 128, ...>"
  std::array<Formula, 3> grid, block, cluster;
  Formula smem, when = Formula::constant(1);
  bool pdl = false;
  std::vector<PlanArgument> arguments;
};

struct PlanBuffer {
  const BufferSpec* spec = nullptr;
  Formula bytes, when = Formula::constant(1);
};

// Where each symbol and pointer of a template lives; one per (template, problem). Pointers are numbered:
// launch arguments and pack arguments in the manifest's order, then buffers in the manifest's order.
class LaunchPlan {
 public:
  // Resolves the launches of `choices` (one per stage, in order) or, with `packing`, those of Template::pack.
  // Every formula error, unknown name or missing choice is reported here, never at launch.
  static Result<LaunchPlan> create(std::shared_ptr<const Template> tmpl, const Problem& problem,
                                   const std::vector<StageChoice>& choices, const TargetFacts& target,
                                   bool packing = false);

  const Template& source() const { return *template_; }
  const SymbolTable& symbols() const { return symbols_; }
  // Values of all symbols known when opening; launch scalars are 0. Copy, set the scalars, evaluate.
  const std::vector<int64_t>& base_values() const { return base_values_; }
  int scalar_slot(std::string_view scalar) const;  // -1 if there is none
  int item_bytes_slot(int argument) const { return item_bytes_slots_[argument]; }
  int given_slot(int argument) const { return given_slots_[argument]; }
  int pointer_index(std::string_view name) const;  // -1 if there is none
  int pointer_count() const {
    return static_cast<int>(template_->arguments.size() + template_->buffers.size());
  }

  const std::vector<PlanLaunch>& launches() const { return launches_; }
  const std::vector<PlanTensorMap>& tensor_maps() const { return tensor_maps_; }
  const std::vector<PlanBuffer>& buffers() const { return buffers_; }
  // Shape and stride formulas per argument (manifest order), parsed; a bare launch scalar keeps its slot for
  // binding.
  struct ArgumentShape {
    std::vector<Formula> shape, strides;         // strides: none = dense row-major
    std::vector<int> shape_binds, stride_binds;  // slot of the scalar that this entry binds, or -1
    Formula required = Formula::constant(1);
  };
  const std::vector<ArgumentShape>& argument_shapes() const { return argument_shapes_; }
  // With `packing`: all that the packed bytes depend on besides the weights, read off the formulas of
  // packing, of its arguments and of the packed buffers: problem keys and "target.*", in order, with their
  // values.
  const KeyValues& packing_keys() const { return packing_keys_; }

  // Bytes of all buffers of one kind (256-byte aligned parts) with the bucket scalar at `value`; and each
  // offset.
  Result<int64_t> total_bytes(BufferSpec::Kind kind, int64_t bucket_value) const;
  // Offsets into the block of that kind, by buffer index (-1 for absent or other kinds). Allocation-free:
  // `offsets` has one entry per buffer. False on a formula error.
  bool offsets(BufferSpec::Kind kind, std::span<const int64_t> values, std::span<int64_t> offsets,
               int64_t* total) const noexcept;

 private:
  friend class PlanBuilder;
  std::shared_ptr<const Template> template_;
  SymbolTable symbols_;
  std::vector<int64_t> base_values_;
  std::vector<int> item_bytes_slots_, given_slots_;
  std::vector<PlanLaunch> launches_;
  std::vector<PlanTensorMap> tensor_maps_;
  std::vector<PlanBuffer> buffers_;
  std::vector<ArgumentShape> argument_shapes_;
  KeyValues packing_keys_;
};

// The formulas of one variant under one config, evaluated: what gates, explain and the cost model read.
struct VariantFacts {
  int64_t threads = 0, smem = 0, predicted_registers = 0, min_blocks_per_sm = 1;
  std::vector<std::string> features;  // required under this config
  std::vector<std::string> violated;  // messages of violated constraints
  struct Kernel {
    std::string name_expression;  // what NVRTC is asked for
    std::string short_name;       // readable: "moe_mxfp4.gemm1.mma[block_m=64,...]"
  };
  std::vector<Kernel> kernels;  // one per distinct kernel its launches need
};
Result<VariantFacts> evaluate_variant(const Template& tmpl, const Stage& stage, const Variant& variant,
                                      const Config& config, const Problem& problem,
                                      const TargetFacts& target);

// The default config of a variant for a bucket: the first DefaultSpec that holds. Nothing: its default_when
// does not hold there, and the next variant is to be asked. A stage's last variant always answers.
Result<std::optional<Config>> default_config(const Template& tmpl, const Stage& stage, const Variant& variant,
                                             const Problem& problem, int64_t bucket,
                                             const TargetFacts& target);

struct CostInputs {
  double blocks = 0, dram_bytes = 0, l2_bytes = 0, flops = 0, alu_ops = 0, steps = 1, stages = 1;
  std::string rate;
};
Result<CostInputs> evaluate_cost(const Template& tmpl, const Stage& stage, const Variant& variant,
                                 const Config& config, const Problem& problem, int64_t bucket,
                                 const TargetFacts& target);

// Stage::work for a launch with the bucket scalar at `value`. ErrorCode::not_found where none is stated.
struct WorkAmount {
  double bytes = 0, flops = 0;
};
Result<WorkAmount> evaluate_work(const Template& tmpl, const Stage& stage, const Problem& problem,
                                 int64_t value, const TargetFacts& target);

}  // namespace rtjit

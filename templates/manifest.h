// A template as data: what template.toml says, checked. docs/manifest.md describes the file format.
//
// A template has STAGES that run one after another in one launch of the kernel (align, gemm1, gemm2,
// combine). A stage has VARIANTS that compute the same thing in different ways (mma, reference). A tuned
// stage is tuned on its own. A variant has parameters; a CONFIG gives each a value. Formulas see:
//   problem keys                 hidden, layout (enum: compare with 'name')
//   parameters of the own config block_m;   of another stage's config: gemm1.block_m
//   launch scalars               tokens, x_stride
//   per argument                 ids.item_bytes   (size of an element of the dtype that came), bias.given
//   (0/1) the target                   target.smem_per_block, target.smem_per_sm, target.sm_count,
//   target.major,
//                                target.cc (90 for sm_90a), target.threads_per_sm
//   the variant's own formulas   threads, smem   (in its launches)
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "templates/problem.h"

namespace rtjit {

enum class DType { u8, i8, i16, i32, i64, bf16, f16, f32, f64, e4m3, e8m0 };
const char* to_string(DType dtype);
int bytes_of(DType dtype);
std::optional<DType> parse_dtype(std::string_view text);

// How test and measurement inputs are drawn (tuner/inputs.h gives each its exact meaning).
struct FillSpec {
  std::string kind;  // "normal", "bytes", "range", "choice", "softmax", "zero"
  std::map<std::string, std::string> options;
};

// A tensor the caller passes. `role` says when: `launch` with every launch, `pack` once when weights are
// packed.
struct ArgumentSpec {
  enum class Role { launch, pack };
  enum class Access { read, write };
  std::string name, doc;
  Role role = Role::launch;
  Access access = Access::read;
  bool optional = false;      // may be absent or null
  std::string required_when;  // formula over the problem; "" = always required unless optional
  std::vector<DType> dtypes;  // accepted, best first
  std::string dtype_key;      // problem choice whose value names the one dtype accepted; "" = any of dtypes
  std::vector<std::string>
      shape;  // formulas; a bare launch scalar is bound by the first argument that has it
  std::vector<std::string> strides;  // in elements; "" entries or empty = dense row-major
  int align = 1;                     // bytes, of the pointer and of every row
  FillSpec fill;
};

// Memory that the plan itself needs: part of the workspace, or of the packed weights.
struct BufferSpec {
  enum class Kind { workspace, packed };
  std::string name, doc;
  Kind kind = Kind::workspace;
  std::string bytes;  // formula
  std::string when;   // formula; 0 = not there
};

// A tensor map (TMA descriptor) that the launcher encodes at each launch.
struct TensorMapSpec {
  std::string name;
  std::string base;  // an argument or buffer
  DType dtype = DType::bf16;
  std::vector<std::string> dims;     // innermost first, elements
  std::vector<std::string> strides;  // bytes, of dims 1..; one fewer than dims
  std::vector<std::string> box;      // elements
  std::string swizzle = "none";      // none 32 64 128
  std::string interleave = "none";
  std::string when;
};

// One kernel launch. `args` are "ptr NAME", "i32 FORMULA", "i64 FORMULA", "f32 KEY", "map NAME":
// a pointer to an argument or buffer (null when absent), an integer, a real-valued problem key, a tensor map.
struct LaunchSpec {
  std::string kernel;  // qualified C++ name of the __global__ function (template)
  std::vector<std::string>
      template_args;                      // formula -> integer literal; a choice's name -> its C++ enumerator
  std::string grid[3] = {"1", "1", "1"};  // formulas; any dimension 0: nothing to do, the launch is left out
  std::string block[3] = {"1", "1", "1"};
  std::string cluster[3] = {"1", "1", "1"};
  std::string smem = "0";  // dynamic shared memory, bytes
  bool pdl = false;        // programmatic dependent launch where the target has griddepcontrol
  std::string when;        // formula; 0 = left out
  std::vector<std::string> args;
};

// [let]: a name for a formula that others are written with. It is parsed where it is used
// (SymbolTable::define).
struct NamedFormula {
  std::string name, text;
};

struct FeatureSpec {
  std::string name;  // of compiler/features.h
  std::string when;  // formula over problem, config and target; "" = always
};

struct ConstraintSpec {
  std::string require;  // formula over problem, config and target; 0 = rejected
  std::string message;  // what is wrong and why
};

// The first entry whose `when` holds is the default config for that problem, bucket and target.
struct DefaultSpec {
  std::string when;    // formula over everything incl. the bucket's launch scalar; "" = always
  std::string config;  // "block_m=64,block_n=128,..."
};

// What the cost model is told about one launch of a tuned stage; all formulas, totals over the whole launch.
struct CostSpec {
  std::string blocks;        // thread blocks that do work
  std::string dram_bytes;    // bytes that must come from or go to device memory
  std::string l2_bytes;      // bytes that move between L2 and the SMs
  std::string flops;         // multiply-adds counted as 2, padding included
  std::string rate = "fma";  // which unit: "fma", "mma.bf16", "mma.fp8", "wgmma.bf16", ...
  std::string alu_ops;       // other integer or float instructions per thread-lane, e.g. dequantisation
  std::string steps;         // serial main-loop steps of one block
  std::string stages = "1";  // how many steps' loads are in flight
};

// What a stage has to move and compute whoever does it, for those who judge how near to the hardware a time
// is. Formulas over problem, target and the bucket's scalar.
struct WorkSpec {
  std::string bytes;  // that come from or go to device memory at least
  std::string flops;  // a multiply-add counts 2; without any padding
  bool stated() const { return !bytes.empty() || !flops.empty(); }
};

struct VariantFormulas;  // templates/variant_formulas.h

struct Variant {
  std::string name, doc;
  std::string source;              // key in Template::sources: "moe_mxfp4/mma_gemm1.cuh"
  std::string targets = "sm_75+";  // "sm_80+", or a list "sm_100a sm_103a"; see Target::matches
  bool oracle = false;        // the naive one: fallback that runs anywhere, and what others are compared with
  std::string oracle_config;  // its most exact config, used as the reference result
  std::vector<KeySpec> parameters;
  std::vector<NamedFormula>
      named_formulas;  // for this variant, beside those of its stage and of the template
  std::vector<FeatureSpec> features;
  std::vector<ConstraintSpec> constraints;
  std::string threads = "128";
  std::string smem = "0";       // of the block that uses most; checked against RTJIT_SMEM_BYTES by the kernel
  std::string registers = "0";  // predicted per thread; 0 = no prediction
  std::string min_blocks_per_sm = "1";
  std::vector<DefaultSpec> defaults;
  std::string default_when;  // formula as in DefaultSpec; 0 = passed over for the next variant; "" = never
  std::vector<TensorMapSpec> tensor_maps;
  std::vector<LaunchSpec> launches;
  CostSpec cost;
  // Names that other stages' formulas may read as <stage>.<name> although this variant has no such parameter.
  KeyValues provides;  // name -> formula over problem, config and target

  std::shared_ptr<const VariantFormulas> formulas;  // all of the above, parsed; filled by parse_manifest
};

// A stage that is timed together with a tuned one, because configs of that one decide what it has to do.
struct TimedWith {
  std::string stage;
  std::string when;  // formula over the problem; "" = always
};

struct Stage {
  std::string name, doc;
  bool tuned = false;
  std::vector<TimedWith> timed_with;
  std::vector<NamedFormula> named_formulas;  // for all formulas of its variants
  WorkSpec work;
  std::vector<Variant> variants;  // tried in this order when there is no better knowledge; of a tuned stage
                                  // the last is the oracle
};

// Limits on errors of some problems on some targets: those for which the formula `when` is not 0.
struct VerifyCase {
  std::string when;
  double max_rel_l2 = 0, max_err_per_rms = 0;
};

// How results are judged. Scaled-down problems keep the tails of the real ones. verify_spec()
// (tuner/verify.h) gives the limits of a problem on a target.
struct VerifySpec {
  std::vector<std::string> outputs;  // argument names
  double max_rel_l2 = 0;             // ||out-ref|| / ||ref||
  double max_err_per_rms = 0;        // max|out-ref| / rms(ref)
  bool deterministic = true;         // repeated runs give the same bits
  std::string deterministic_when;    // formula over the problem; 0 = they need not; "" = always
  std::vector<VerifyCase> cases;     // the first that holds replaces the limits
  KeyValues small;                   // problem key -> formula, for the emulator
};

struct LaunchScalar {
  std::string name, doc;
  int64_t min = 0, max = INT64_MAX;
  int64_t multiple_of = 1;
};

struct Template {
  std::string name, summary;
  std::vector<NamedFormula> named_formulas;  // for all formulas
  std::vector<KeySpec> problem;
  std::vector<LaunchScalar> scalars;
  std::vector<ConstraintSpec> problem_constraints;  // over problem keys; violated = `open` refuses
  std::string bucket_scalar;                        // "tokens"
  std::vector<int64_t> buckets;                     // ascending; bucket_for() is the one bucket function
  std::vector<ArgumentSpec> arguments;
  std::vector<BufferSpec> buffers;
  std::vector<LaunchSpec> pack;  // the launches that pack weights
  std::string pack_source;       // key in Template::sources; "" when nothing is packed
  std::string layout;            // identity of the packed layout, "moe_mxfp4/1/mma16x64"
  std::vector<Stage> stages;
  VerifySpec verify;

  // Path -> content: the template's own .cuh files ("moe_mxfp4/mma.cuh"), the included parts of its manifest
  // ("moe_mxfp4/mma.toml") and device headers ("device/dequant.cuh").
  std::map<std::string, std::string> sources;
  // Of the manifest (but for its [stage.work] tables), what it includes, and all sources it can reach.
  std::string content_hash;

  const Stage* find_stage(std::string_view stage) const;
  const Variant* find_variant(std::string_view stage, std::string_view variant) const;
};

// Reads and checks a manifest: unknown keys, unknown names in formulas, missing kernels' sources and repeated
// names are errors with the file, the line and what is allowed.
Result<Template> parse_manifest(std::string_view toml_text, const std::string& file_name,
                                std::map<std::string, std::string> sources);

// The dtypes of `argument.dtypes` that are accepted for this problem (see dtype_key), best first.
std::vector<DType> accepted_dtypes(const ArgumentSpec& argument, const Problem& problem);

// The bucket that serves `value`: the smallest bucket >= value, or the largest one. Used by tuning and by
// launching.
int64_t bucket_for(const Template& tmpl, int64_t value);

// The problem `given` denotes: defaults filled in, every value checked, problem_constraints hold.
Result<Problem> make_problem(const Template& tmpl, const KeyValues& given);

// A value for each parameter of a variant, in the manifest's order.
class Config {
 public:
  Config() = default;
  explicit Config(std::vector<std::pair<std::string, Value>> values) : values_(std::move(values)) {}
  const std::vector<std::pair<std::string, Value>>& values() const { return values_; }
  std::string canonical() const;  // "block_m=64,block_n=128,store=plain"; "" for a variant without parameters
  bool operator==(const Config& other) const { return canonical() == other.canonical(); }

 private:
  std::vector<std::pair<std::string, Value>> values_;
};

Result<Config> make_config(const Variant& variant, const KeyValues& given);

// A chosen implementation of one stage.
struct StageChoice {
  std::string stage, variant;
  Config config;
};

}  // namespace rtjit

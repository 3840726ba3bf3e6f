// A template of two stages that uses every part of the format. Its kernels are only names: nothing compiles
// them.
#pragma once

#include <map>
#include <string>

#include "templates/manifest.h"

namespace rtjit::testing {

inline constexpr const char* kPipelineManifest = R"toml(
name = "pipeline"
summary = "sort rows, then multiply"

[let]
area = "width * width"

[problem.width]
type = "integer"
min = 8
max = 4096
multiple_of = 8
[problem.layout]
type = "choice"
values = ["rows", "columns"]
cpp = "ns::Layout"
default = "rows"
[problem.bias]
type = "choice"
values = ["none", "bf16", "f32"]
default = "none"
[problem.alpha]
type = "real"
default = 1.5
[[problem_constraint]]
require = "layout != 'columns' || width >= 16"
message = "columns need a width of 16"

[launch]
bucket = "tokens"
buckets = [1, 64, 1024]
[launch.scalar.tokens]
max = 65536
[launch.scalar.x_stride]
multiple_of = 8

[[argument]]
name = "x"
dtypes = ["bf16", "f16"]
shape = ["tokens", "width"]
strides = ["x_stride", "1"]
align = 16
[[argument]]
name = "bias_row"
dtypes = ["bf16", "f32"]
dtype_key = "bias"
required_when = "bias != 'none'"
shape = ["width"]
[[argument]]
name = "mask"
dtypes = ["u8"]
optional = true
shape = ["tokens", 2, "width"]
strides = ["", "", 1]
fill = { kind = "choice", count = "width", first = 0 }
[[argument]]
name = "w"
role = "pack"
dtypes = ["u8"]
shape = ["width", "width"]
[[argument]]
name = "out"
access = "write"
dtypes = ["bf16"]
shape = ["tokens", "width"]

[[buffer]]
name = "sorted"
bytes = "align(tokens, mul.block_m) * 4"
[[buffer]]
name = "partial"
bytes = "tokens * width * 4"
when = "mul.split > 1"
[[buffer]]
name = "packed_w"
kind = "packed"
bytes = "area + 1"
[[buffer]]
name = "packed_s"
kind = "packed"
bytes = "width"

[pack]
source = "pack.cuh"
layout = "pipeline/1"
[[pack.launch]]
kernel = "ns::pack"
template_args = ["width", "layout"]
grid = ["cdiv(width, 256)"]
block = [256]
args = ["ptr w", "ptr packed_w", "ptr packed_s", "i32 w.item_bytes"]

[[stage]]
name = "sort"
[[stage.variant]]
name = "only"
source = "sort.cuh"
threads = 512
[[stage.variant.launch]]
kernel = "ns::sort"
grid = [1]
block = ["threads"]
args = ["ptr x", "ptr sorted", "i32 tokens", "i32 mul.block_m", "i32 x.item_bytes", "i32 mask.given"]

[[stage]]
name = "mul"
tuned = true
[stage.let]
row_tiles = "cdiv(tokens, tile_rows)"
[[stage.variant]]
name = "mma"
source = "pipeline/mma.cuh"
targets = "sm_80+"
let = { tile_rows = "block_m", multiplies = "tokens * area" }
threads = "warps * 32"
smem = "threads * 4 + block_m * (store == 'bulk' ? 64 : 32)"
registers = "block_m + 10"
min_blocks_per_sm = "smem * 2 <= target.smem_per_sm ? 2 : 1"
[stage.variant.parameter.block_m]
type = "integer"
values = [16, 64]
[stage.variant.parameter.warps]
type = "integer"
values = [2, 4]
default = 4
[stage.variant.parameter.store]
type = "choice"
values = ["plain", "bulk"]
cpp = "ns::Store"
default = "plain"
[stage.variant.parameter.split]
type = "integer"
values = [1, 2]
default = 1
[[stage.variant.feature]]
name = "cp.async"
[[stage.variant.feature]]
name = "tma.bulk"
when = "store == 'bulk'"
[[stage.variant.constraint]]
require = "block_m >= warps * 8"
message = "each warp needs 8 rows"
[[stage.variant.constraint]]
require = "store != 'bulk' || layout == 'rows'"
message = "bulk stores need rows"
[[stage.variant.default]]
when = "tokens <= 1"
config = "block_m=16,warps=2"
[[stage.variant.default]]
config = "block_m=64"
[[stage.variant.tensor_map]]
name = "x_map"
base = "x"
dtype = "bf16"
dims = ["width", "tokens"]
strides = ["x_stride * 2"]
box = ["8", "block_m"]
swizzle = "128"
when = "store == 'bulk'"
[[stage.variant.launch]]
kernel = "ns::mma"
template_args = ["block_m", "warps", "store", "layout", "split"]
grid = ["row_tiles", "split"]
block = ["threads"]
smem = "smem"
pdl = true
args = ["ptr x", "ptr bias_row", "ptr packed_w", "ptr partial", "f32 alpha", "i64 area", "i32 sort.threads"]
when = "store == 'plain'"
[[stage.variant.launch]]
kernel = "ns::mma_bulk"
template_args = ["block_m"]
grid = ["row_tiles"]
block = ["threads"]
args = ["map x_map", "ptr out"]
when = "store == 'bulk'"
[[stage.variant.launch]]
kernel = "ns::reduce"
grid = ["tokens"]
block = [128]
args = ["ptr partial", "ptr out"]
when = "split > 1"
[stage.variant.cost]
blocks = "row_tiles * split"
dram_bytes = "tokens * width * x.item_bytes + (bias_row.given ? width : 0)"
flops = "2 * multiplies"
rate = "mma.bf16"
steps = "cdiv(width, 32)"
stages = 3

[[stage.variant]]
name = "reference"
source = "reference.cuh"
oracle = true
[stage.variant.provides]
block_m = "1"
warps = "threads / 32"
split = 1
[[stage.variant.launch]]
kernel = "ns::reference"
grid = ["tokens"]
block = ["threads"]
args = ["ptr x", "ptr packed_w", "ptr out", "i32 mul.block_m"]

[verify]
outputs = ["out"]
max_rel_l2 = 6e-3
max_err_per_rms = 5e-2
[verify.small]
width = "min(width, 64)"
)toml";

inline std::map<std::string, std::string> pipeline_sources() {
  return {{"pipeline/pack.cuh", "__global__ void pack();"},
          {"pipeline/sort.cuh", "#include \"device/common.cuh\"\n__global__ void sort();"},
          {"pipeline/mma.cuh", "void mma();  void mma_bulk(); void reduce();"},
          {"pipeline/reference.cuh", "void reference();"},
          {"device/common.cuh", "#pragma once\n"}};
}

inline Result<Template> parse_pipeline() {
  return parse_manifest(kPipelineManifest, "pipeline.toml", pipeline_sources());
}

}  // namespace rtjit::testing

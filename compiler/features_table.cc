// Which target has which feature: what ptxas 13.0.88 (PTX ISA 9.0) assembles. `rtjit targets --probe` repeats
// it.
#include "compiler/features_table.h"

namespace rtjit {
namespace {

// clang-format off
// One column per target of Target::all(), x = assembles, one row per feature of all_features().
constexpr FeatureRow kFeatureRows[] = {
    // sm_                                   75   80   86   87   88   89   90  90a  100 100a 100f  103 103a 103f  110 110a 110f  120 120a 120f  121 121a 121f
    {"cp.async",                          ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"ldmatrix",                          "x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"ldmatrix.b8x16.b4x16_p64",          ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"mma.bf16",                          ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.fp8",                           ".    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.f8f6f4",                        ".    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    x    x    .    x    x"},
    {"mma.block_scale.mxf8f6f4",          ".    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    x    x    .    x    x"},
    {"mma.block_scale.mxf4",              ".    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    x    x    .    x    x"},
    {"mma.block_scale.mxf4nvf4",          ".    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    x    x    .    x    x"},
    {"cvt.e4m3x2.f16x2",                  ".    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"cvt.e2m1x2.f16x2",                  ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"cvt.f32.e2m1x2",                    ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"cvt.ue8m0x2.bf16x2",                ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"wgmma",                             ".    .    .    .    .    .    .    x    .    .    .    .    .    .    .    .    .    .    .    .    .    .    ."},
    {"setmaxnreg",                        ".    .    .    .    .    .    .    x    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"mbarrier.try_wait",                 ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"cp.async.bulk",                     ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tma.tile.load",                     ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tma.tile.store",                    ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tma.im2col",                        ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tma.multicast",                     ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tma.tile.gather4",                  ".    .    .    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tma.tile.scatter4",                 ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tma.reduce.add",                    ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"cluster",                           ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"st.async",                          ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"griddepcontrol",                    ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tcgen05.alloc",                     ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tcgen05.mma.f16",                   ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tcgen05.mma.mxf4",                  ".    .    .    .    .    .    .    .    .    x    .    .    x    .    .    x    .    .    .    .    .    .    ."},
    {"red.bf16x2",                        ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"red.v4.f32",                        ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"ld.global.v8",                      ".    .    .    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"stmatrix",                          ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"redux.f32",                         ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    .    .    .    .    .    .    .    ."},
    {"fma.f32x2",                         ".    .    .    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"ex2.bf16x2",                        ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tanh.bf16x2",                       ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"elect.sync",                        ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.sp.bf16",                       ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"add.bf16x2",                        ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"clusterlaunchcontrol",              ".    .    .    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"cp.reduce.async.bulk",              ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"createpolicy",                      ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"cvt.e2m1x2.bf16x2",                 ".    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    .    ."},
    {"cvt.e2m3x2.f16x2",                  ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"cvt.f32.bf16x2",                    ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"cvt.f32.e4m3x2",                    ".    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"cvt.f32.ue8m0x2",                   ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"fence.proxy.async",                 ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"fma.bf16x2",                        ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"ldmatrix.m16n16.b8",                ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"mbarrier",                          ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mbarrier.expect_tx",                ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.f16",                           ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.f16.k8",                        "x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.f64",                           ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.int8",                          ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.int8.k16",                      "x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"mma.tf32",                          ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"multimem",                          ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"redux.s32",                         ".    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"st.global.v8",                      ".    .    .    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"stmatrix.m16n8.b8",                 ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"tcgen05.mma.f8f6f4",                ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tcgen05.mma.i8",                    ".    .    .    .    .    .    .    .    .    x    .    .    .    .    .    x    .    .    .    .    .    .    ."},
    {"tcgen05.mma.mxf4.block32",          ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tcgen05.mma.mxf8f6f4",              ".    .    .    .    .    .    .    .    .    x    .    .    x    .    .    x    .    .    .    .    .    .    ."},
    {"tcgen05.mma.mxf8f6f4.block32",      ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tensormap.replace",                 ".    .    .    .    .    .    .    x    .    x    x    .    x    x    .    x    x    .    x    x    .    x    x"},
    {"tma.cta_group",                     ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tma.im2col.w",                      ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tma.prefetch",                      ".    .    .    .    .    .    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x    x"},
    {"tma.prefetch.gather4",              ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
    {"tma.tile.gather4.cluster",          ".    .    .    .    .    .    .    .    .    x    x    .    x    x    .    x    x    .    .    .    .    .    ."},
};
// clang-format on

}  // namespace

std::span<const FeatureRow> feature_rows() { return kFeatureRows; }

}  // namespace rtjit

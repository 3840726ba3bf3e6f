// Every named feature with its probe. docs/targets.md explains the naming.
#include "compiler/features.h"

namespace rtjit {

const std::vector<Feature>& all_features() {
  // Probes use the registers that probe_source() declares: p predicates, b 8, h 16, r 32 and d 64 bits, f
  // f32.
  static const std::vector<Feature> features = {
      {"cp.async", "asynchronous 16-byte copy to shared memory", "cp.async.cg.shared.global [r0], [d0], 16;"},
      {"ldmatrix", "8x8 matrices of 16-bit elements from shared memory",
       "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {r0,r1,r2,r3}, [r4];"},
      {"ldmatrix.b8x16.b4x16_p64", "ldmatrix that unpacks 4-bit elements to bytes",
       "ldmatrix.sync.aligned.m8n16.x1.shared.b8x16.b4x16_p64 {r0}, [r4];"},
      {"mma.bf16", "bf16 tensor cores",
       "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5}, "
       "{f0,f1,f2,f3};"},
      {"mma.fp8", "fp8 tensor cores",
       "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5}, "
       "{f0,f1,f2,f3};"},
      {"mma.f8f6f4", "unscaled fp8, fp6 and fp4 operands in any mix",
       "mma.sync.aligned.kind::f8f6f4.m16n8k32.row.col.f32.e2m1.e2m1.f32 {f0,f1,f2,f3}, {r0,r1,r2,r3}, "
       "{r4,r5}, {f0,f1,f2,f3};"},
      {"mma.block_scale.mxf8f6f4", "fp8, fp6 and fp4 operands with a UE8M0 scale per 32",
       "mma.sync.aligned.kind::mxf8f6f4.block_scale.scale_vec::1X.m16n8k32.row.col.f32.e2m1.e4m3.f32.ue8m0 "
       "{f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5}, {f0,f1,f2,f3}, r6, {h0,h1}, r7, {h2,h3};"},
      {"mma.block_scale.mxf4", "fp4 operands with a UE8M0 scale per 32",
       "mma.sync.aligned.kind::mxf4.block_scale.scale_vec::2X.m16n8k64.row.col.f32.e2m1.e2m1.f32.ue8m0 "
       "{f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5}, {f0,f1,f2,f3}, r6, {h0,h1}, r7, {h2,h3};"},
      {"mma.block_scale.mxf4nvf4", "fp4 operands with a UE4M3 scale per 16",
       "mma.sync.aligned.kind::mxf4nvf4.block_scale.scale_vec::4X.m16n8k64.row.col.f32.e2m1.e2m1.f32.ue4m3 "
       "{f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5}, {f0,f1,f2,f3}, r6, {h0,h1}, r7, {h2,h3};"},
      {"cvt.e4m3x2.f16x2", "fp8 pair (e4m3 or e5m2) to f16 pair", "cvt.rn.f16x2.e4m3x2 r0, h0;"},
      {"cvt.e2m1x2.f16x2", "fp4 pair to f16 pair", "cvt.rn.f16x2.e2m1x2 r0, b0;"},
      {"cvt.f32.e2m1x2", "two f32 to an fp4 pair", "cvt.rn.satfinite.e2m1x2.f32 b0, f0, f1;"},
      {"cvt.ue8m0x2.bf16x2", "UE8M0 pair to bf16 pair", "cvt.rn.bf16x2.ue8m0x2 r0, h0;"},
      {"wgmma", "warp-group tensor cores of Hopper",
       "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {f0,f1,f2,f3}, d0, d1, p0, 1, 1, 0, 0;"},
      {"setmaxnreg", "moving registers between warps at run time", "setmaxnreg.inc.sync.aligned.u32 128;"},
      {"mbarrier.try_wait", "suspended wait on an mbarrier", "mbarrier.try_wait.shared.b64 p0, [r0], d0;"},
      {"cp.async.bulk", "bulk copy of contiguous bytes",
       "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [r0], [d0], r1, [r2];"},
      {"tma.tile.load", "tensor-map tile to shared memory",
       "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [r0], [d0, "
       "{r1,r2}], [r3];"},
      {"tma.tile.store", "shared memory to a tensor-map tile",
       "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [d0, {r1,r2}], [r0];"},
      {"tma.im2col", "tensor-map load in im2col mode",
       "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [r0], [d0, "
       "{r1,r2,r3,r4}], [r5], {h0,h1};"},
      {"tma.multicast", "tensor-map load to several blocks of a cluster",
       "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
       "[r0], [d0, {r1,r2}], [r3], h0;"},
      {"tma.tile.gather4", "tensor-map load of four chosen rows",
       "cp.async.bulk.tensor.2d.shared::cta.global.tile::gather4.mbarrier::complete_tx::bytes [r0], [d0, "
       "{r1,r2,r3,r4,r5}], [r6];"},
      {"tma.tile.scatter4", "tensor-map store of four chosen rows",
       "cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group [d0, {r1,r2,r3,r4,r5}], [r0];"},
      {"tma.reduce.add", "tensor-map store that adds (or does another reduction)",
       "cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [d0, {r1,r2}], [r0];"},
      {"cluster", "clusters of thread blocks",
       "barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;"},
      {"st.async", "asynchronous store to another block of the cluster",
       "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.u32 [r0], r1, [r2];"},
      {"griddepcontrol", "programmatic dependent launch", "griddepcontrol.wait;"},
      {"tcgen05.alloc", "tensor memory: allocation, loads, stores, copies and waits",
       "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [r0], 32;"},
      {"tcgen05.mma.f16", "16-bit tensor cores of Blackwell",
       "tcgen05.mma.cta_group::1.kind::f16 [r0], d0, d1, r1, p0;"},
      {"tcgen05.mma.mxf4", "fp4 with a scale per 32 or 16 on tensor memory, .scale_vec form",
       "tcgen05.mma.cta_group::1.kind::mxf4.block_scale.scale_vec::2X [r0], d0, d1, r1, [r2], [r3], p0;"},
      {"red.bf16x2", "atomic add of bf16 or a bf16 pair", "red.global.add.noftz.bf16x2 [d0], r0;"},
      {"red.v4.f32", "atomic add of vectors of f32", "red.global.add.v4.f32 [d0], {f0,f1,f2,f3};"},
      {"ld.global.v8", "256-bit loads", "ld.global.v8.b32 {r0,r1,r2,r3,r4,r5,r6,r7}, [d0];"},
      {"stmatrix", "8x8 matrices of 16-bit elements to shared memory",
       "stmatrix.sync.aligned.m8n8.x4.shared.b16 [r4], {r0,r1,r2,r3};"},
      {"redux.f32", "f32 minimum or maximum over a warp", "redux.sync.max.f32 f0, f1, 0xffffffff;"},
      {"fma.f32x2", "two f32 fused multiply-adds in one instruction", "fma.rn.f32x2 d0, d1, d2, d3;"},
      {"ex2.bf16x2", "exponential of a bf16 pair", "ex2.approx.ftz.bf16x2 r0, r1;"},
      {"tanh.bf16x2", "hyperbolic tangent of a bf16 pair", "tanh.approx.bf16x2 r0, r1;"},
      {"elect.sync", "one chosen lane of a warp", "elect.sync r0|p0, 0xffffffff;"},
      {"mma.sp.bf16", "bf16 tensor cores with 2:4 sparse A",
       "mma.sp.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 {f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5,r6,r7}, "
       "{f0,f1,f2,f3}, r8, 0x0;"},
      {"add.bf16x2", "bf16 pair add, subtract and multiply", "add.rn.bf16x2 r0, r1, r2;"},
      {"clusterlaunchcontrol", "taking over blocks that have not started",
       "clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::complete_tx::bytes.b128 [r0], [r1];"},
      {"cp.reduce.async.bulk", "bulk reduction of contiguous elements",
       "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [d0], [r0], r1;"},
      {"createpolicy", "L2 cache policies", "createpolicy.fractional.L2::evict_first.b64 d0, 1.0;"},
      {"cvt.e2m1x2.bf16x2", "fp4 pair to bf16 pair", "cvt.rn.bf16x2.e2m1x2 r0, b0;"},
      {"cvt.e2m3x2.f16x2", "conversions from and to fp6 pairs (e2m3 or e3m2)", "cvt.rn.f16x2.e2m3x2 r0, h0;"},
      {"cvt.f32.bf16x2", "two f32 to a bf16 pair", "cvt.rn.bf16x2.f32 r0, f0, f1;"},
      {"cvt.f32.e4m3x2", "two f32, or an f16 pair, to an fp8 pair (e4m3 or e5m2)",
       "cvt.rn.satfinite.e4m3x2.f32 h0, f0, f1;"},
      {"cvt.f32.ue8m0x2", "two f32 to a UE8M0 pair", "cvt.rp.satfinite.ue8m0x2.f32 h0, f0, f1;"},
      {"fence.proxy.async", "order between ordinary and asynchronous accesses",
       "fence.proxy.async.shared::cta;"},
      {"fma.bf16x2", "bf16 fused multiply-add, minimum and maximum", "fma.rn.bf16x2 r0, r1, r2, r3;"},
      {"ldmatrix.m16n16.b8", "transposed 16x16 matrices of bytes from shared memory",
       "ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {r0,r1}, [r4];"},
      {"mbarrier", "barrier objects in shared memory", "mbarrier.init.shared.b64 [r0], 1;"},
      {"mbarrier.expect_tx", "mbarriers that count bytes",
       "mbarrier.arrive.expect_tx.shared.b64 d0, [r0], r1;"},
      {"mma.f16", "f16 tensor cores, depth 16",
       "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5}, "
       "{f0,f1,f2,f3};"},
      {"mma.f16.k8", "f16 tensor cores, depth 8",
       "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {f0,f1,f2,f3}, {r0,r1}, {r2}, {f0,f1,f2,f3};"},
      {"mma.f64", "f64 tensor cores",
       "mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {d0,d1}, {d2}, {d3}, {d0,d1};"},
      {"mma.int8", "8-bit integer tensor cores, depth 32",
       "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {r0,r1,r2,r3}, {r4,r5,r6,r7}, {r8,r9}, "
       "{r0,r1,r2,r3};"},
      {"mma.int8.k16", "8-bit integer tensor cores, depth 16",
       "mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {r0,r1}, {r4}, {r5}, {r0,r1};"},
      {"mma.tf32", "tf32 tensor cores",
       "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {f0,f1,f2,f3}, {r0,r1,r2,r3}, {r4,r5}, "
       "{f0,f1,f2,f3};"},
      {"multimem", "accesses to several GPUs' memory at one address",
       "multimem.ld_reduce.relaxed.sys.global.add.f32 f0, [d0];"},
      {"redux.s32", "integer reduction over a warp", "redux.sync.add.s32 r0, r1, 0xffffffff;"},
      {"st.global.v8", "256-bit stores", "st.global.v8.b32 [d0], {r0,r1,r2,r3,r4,r5,r6,r7};"},
      {"stmatrix.m16n8.b8", "16x8 matrices of bytes to shared memory",
       "stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [r4], {r0};"},
      {"tcgen05.mma.f8f6f4", "unscaled fp8, fp6 and fp4 on tensor memory",
       "tcgen05.mma.cta_group::1.kind::f8f6f4 [r0], d0, d1, r1, p0;"},
      {"tcgen05.mma.i8", "8-bit integers on tensor memory",
       "tcgen05.mma.cta_group::1.kind::i8 [r0], d0, d1, r1, p0;"},
      {"tcgen05.mma.mxf4.block32", "the same, .block32 and .block16 form",
       "tcgen05.mma.cta_group::1.kind::mxf4.block_scale.block32 [r0], d0, d1, r1, [r2], [r3], p0;"},
      {"tcgen05.mma.mxf8f6f4", "fp8, fp6 and fp4 with a UE8M0 scale per 32 on tensor memory, .scale_vec form",
       "tcgen05.mma.cta_group::1.kind::mxf8f6f4.block_scale.scale_vec::1X [r0], d0, d1, r1, [r2], [r3], p0;"},
      {"tcgen05.mma.mxf8f6f4.block32",
       "fp8, fp6 and fp4 with a UE8M0 scale per 32 on tensor memory, .block32 form",
       "tcgen05.mma.cta_group::1.kind::mxf8f6f4.block_scale.block32 [r0], d0, d1, r1, [r2], [r3], p0;"},
      {"tensormap.replace", "changing a tensor map on the device",
       "tensormap.replace.tile.global_address.shared::cta.b1024.b64 [r0], d1;"},
      {"tma.cta_group", "tensor-map load that signals a pair of blocks",
       "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.cta_group::2 [r0], "
       "[d0, {r1,r2}], [r3];"},
      {"tma.im2col.w", "tensor-map load in im2col::w mode",
       "cp.async.bulk.tensor.3d.shared::cluster.global.im2col::w.mbarrier::complete_tx::bytes [r0], [d0, "
       "{r1,r2,r3}], [r5], {h0,h1};"},
      {"tma.prefetch", "tensor-map tile to L2",
       "cp.async.bulk.prefetch.tensor.2d.L2.global.tile [d0, {r1,r2}];"},
      {"tma.prefetch.gather4", "four chosen rows of a tensor map to L2",
       "cp.async.bulk.prefetch.tensor.2d.L2.global.tile::gather4 [d0, {r1,r2,r3,r4,r5}];"},
      {"tma.tile.gather4.cluster", "gather4 to a cluster address",
       "cp.async.bulk.tensor.2d.shared::cluster.global.tile::gather4.mbarrier::complete_tx::bytes [r0], [d0, "
       "{r1,r2,r3,r4,r5}], [r6];"},
  };
  return features;
}

}  // namespace rtjit

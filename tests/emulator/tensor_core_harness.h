// One tcgen05 instruction between a known tensor memory and the one it leaves.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "emulator/emulator.h"

namespace rtjit {

inline constexpr uint32_t kTensorColumns = 512, kTensorLanes = 128;

// Operands that an instruction's text may name, at run time.
struct TensorCall {
  uint64_t descriptor_a = 0, descriptor_b = 0;            // %da, %db
  uint32_t instruction = 0;                               // %id
  uint32_t d = 0, a = 256, scale_a = 320, scale_b = 352;  // %d, %ta, %sa, %sb: tensor addresses
  uint32_t enable = 0;                                    // %p
  uint32_t masks[8] = {};                                 // %m0 to %m7
};

// `pair`: for clusters of two blocks; the even one issues the instruction. Each has its part of the inputs
// and outputs.
inline std::string tensor_kernel(const std::string& instruction, const std::string& target, bool completes,
                                 bool pair = false) {
  std::string group = pair ? "cta_group::2" : "cta_group::1";
  auto n = [](uint32_t i) { return std::to_string(i); };
  std::string p = ".version 9.0\n.target " + target +
                  "\n.address_size 64\n.extern .shared .align 1024 .b8 raw[];\n.visible .entry k(";
  for (uint32_t i = 0; i < 20; ++i)
    p += std::string(i ? ", " : "") + ".param " + (i < 5 ? ".u64" : ".u32") + " k_" + n(i);
  p += ") {\n.reg .b64 %g<4>, %da, %db;\n.reg .b32 %t, %w, %bar, %slot, %bytes, %i, %d, %ta, %sa, %sb, %id, "
       "%base, "
       "%x, %rank, %m<8>, %v<32>;\n.reg .b16 %both;\n.reg .pred %p, %q, %first, %issues;\n";
  p += "ld.param.u64 %g0, [k_0];\nld.param.u64 %g1, [k_1];\nld.param.u64 %g2, [k_2];\nld.param.u64 %da, "
       "[k_3];\nld.param.u64 %db, [k_4];\nld.param.u32 %bytes, [k_5];\nld.param.u32 %id, "
       "[k_6];\nld.param.u32 %d, "
       "[k_7];\nld.param.u32 %ta, [k_8];\nld.param.u32 %sa, [k_9];\nld.param.u32 %sb, [k_10];\nld.param.u32 "
       "%x, "
       "[k_11];\nsetp.ne.u32 %p, %x, 0;\n";
  for (uint32_t i = 0; i < 8; ++i) p += "ld.param.u32 %m" + n(i) + ", [k_" + n(12 + i) + "];\n";
  if (pair)
    p += "mov.u32 %rank, %cluster_ctarank;\nmad.wide.u32 %g0, %rank, 262144, %g0;\nmad.wide.u32 %g2, %rank, "
         "262144, %g2;\n"
         "mad.wide.u32 %g1, %rank, %bytes, %g1;\nmov.u16 %both, 3;\n";
  else
    p += "mov.u32 %rank, 0;\n";
  p += "mov.u32 %t, %tid.x;\nshr.u32 %w, %t, 5;\nmov.u32 %bar, raw;\nadd.u32 %bar, %bar, %bytes;\nadd.u32 "
       "%slot, "
       "%bar, 8;\nsetp.eq.u32 %first, %t, 0;\nsetp.ne.u32 %q, %w, 0;\n@%q bra ALLOCATED;\n"
       "tcgen05.alloc." +
       group +
       ".sync.aligned.shared::cta.b32 [%slot], 512;\n"
       "tcgen05.relinquish_alloc_permit." +
       group +
       ".sync.aligned;\n"
       "@%first mbarrier.init.shared::cta.b64 [%bar], 1;\nALLOCATED:\nshl.b32 %i, %t, 2;\n"
       "COPY:\nsetp.ge.u32 %q, %i, %bytes;\n@%q bra COPIED;\ncvt.u64.u32 %g3, %i;\nadd.u64 %g3, %g3, %g1;\n"
       "ld.global.u32 %x, [%g3];\nmov.u32 %v0, raw;\nadd.u32 %v0, %v0, %i;\nst.shared.u32 [%v0], %x;\n"
       "add.u32 %i, %i, 512;\nbra COPY;\nCOPIED:\nfence.proxy.async.shared::cta;\nbar.sync 0;\n"
       "ld.shared.u32 %base, [%slot];\nshl.b32 %x, %w, 21;\nadd.u32 %base, %base, %x;\n"
       "mad.wide.u32 %g2, %t, 2048, %g2;\nmad.wide.u32 %g0, %t, 2048, %g0;\n";
  std::string registers = "{%v0";
  for (uint32_t i = 1; i < 32; ++i) registers += ", %v" + n(i);
  registers += "}";
  for (uint32_t c = 0; c < kTensorColumns; c += 32) {
    for (uint32_t i = 0; i < 32; ++i) p += "ld.global.u32 %v" + n(i) + ", [%g2+" + n((c + i) * 4) + "];\n";
    p += "tcgen05.st.sync.aligned.32x32b.x32.b32 [%base+" + n(c) + "], " + registers + ";\n";
  }
  std::string everybody = pair ? "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;\n" : "";
  p += "tcgen05.wait::st.sync.aligned;\ntcgen05.fence::before_thread_sync;\nbar.sync 0;\n" + everybody +
       "tcgen05.fence::after_thread_sync;\nsetp.eq.and.u32 %issues, %rank, 0, %first;\n";
  if (completes) {
    p += "@!%issues bra ISSUED;\n" + instruction +
         (pair ? "\ntcgen05.commit.cta_group::2.mbarrier::arrive::one.shared::cluster.multicast::cluster.b64 "
                 "[%bar], %both;"
               : "\ntcgen05.commit.cta_group::1.mbarrier::arrive::one.shared::cluster.b64 [%bar];") +
         "\nISSUED:\nWAIT:\n"
         "mbarrier.try_wait.parity.shared::cta.b64 %q, [%bar], 0;\n@!%q bra WAIT;\n"
         "tcgen05.fence::after_thread_sync;\n";
  } else {
    p += instruction + "\n";
  }
  for (uint32_t c = 0; c < kTensorColumns; c += 32) {
    p += "tcgen05.ld.sync.aligned.32x32b.x32.b32 " + registers + ", [%base+" + n(c) +
         "];\ntcgen05.wait::ld.sync.aligned;\n";
    for (uint32_t i = 0; i < 32; ++i) p += "st.global.u32 [%g0+" + n((c + i) * 4) + "], %v" + n(i) + ";\n";
  }
  p += "tcgen05.fence::before_thread_sync;\nbar.sync 0;\nsetp.ne.u32 %q, %w, 0;\n@%q bra END;\n"
       "tcgen05.dealloc." +
       group + ".sync.aligned.b32 %base, 512;\nEND:\n" + everybody + "ret;\n}\n";
  return p;
}

// Loads a kernel around the instruction once, and runs it on inputs.
class TensorInstruction {
 public:
  explicit TensorInstruction(const std::string& instruction, const std::string& target = "sm_100a",
                             bool pair = false)
      : emulator_(target), blocks_(pair ? 2 : 1) {
    emulator_.load(tensor_kernel(instruction, target, true, pair));
    emulator_.cluster(blocks_);
  }
  // The tensor memory afterwards (lane * 512 + column); empty after an error, which is kept in `error`. The
  // blocks of a pair have half of `shared`, `before` and the result each.
  std::vector<uint32_t> run(const std::vector<uint8_t>& shared, const std::vector<uint32_t>& before,
                            const TensorCall& call) {
    auto out = emulator_.empty<uint32_t>(before.size());
    auto image = emulator_.buffer(shared);
    auto tensor = emulator_.buffer(before);
    auto bytes = static_cast<uint32_t>(shared.size()) / static_cast<uint32_t>(blocks_);
    Status status = emulator_.run("k", blocks_, 128, bytes + 16, out, image, tensor, call.descriptor_a,
                                  call.descriptor_b, bytes, call.instruction, call.d, call.a, call.scale_a,
                                  call.scale_b, call.enable, call.masks[0], call.masks[1], call.masks[2],
                                  call.masks[3], call.masks[4], call.masks[5], call.masks[6], call.masks[7]);
    error = status.ok() ? "" : status.error().message;
    std::vector<uint32_t> result;
    if (status.ok()) result = emulator_.read(out);
    for (DevicePtr p : {out.address, image.address, tensor.address}) emulator_.device().free(p);
    return result;
  }
  std::string error;

 private:
  Emulator emulator_;
  int blocks_;
};

inline std::vector<uint32_t> random_tensor(uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<uint32_t> words(kTensorLanes * kTensorColumns);
  for (uint32_t& w : words) w = generator();
  return words;
}

}  // namespace rtjit

// The control-flow graph of a flat kernel: where divergent lanes meet again, and which slots registers can
// share.
#pragma once

#include <cstdint>
#include <vector>

namespace rtjit::emu {

// What each op may do next; op indices.
struct FlowNode {
  std::vector<uint32_t> targets;  // jumps
  bool falls_through = true;
  std::vector<uint32_t> defs, uses;  // virtual registers
  bool conditional_def = false;      // guarded: the old value stays for some lanes
  bool keep_apart = false;           // its results must not share slots with its operands
};

// For each op that jumps: the op where all its paths meet (immediate post-dominator), or 0xffffffff.
std::vector<uint32_t> meeting_points(const std::vector<FlowNode>& nodes);

// For each virtual register (classes[r] = 1, 32 or 64; 0 = unused) a byte offset; registers whose lives do
// not overlap share one. Returns the total bytes.
uint32_t assign_slots(const std::vector<FlowNode>& nodes, const std::vector<uint8_t>& classes,
                      std::vector<uint32_t>* offsets);

}  // namespace rtjit::emu

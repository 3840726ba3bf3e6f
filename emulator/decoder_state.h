// What the decoder keeps for a whole kernel. Private to decoder.cc and program_builder.cc.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "emulator/control_flow.h"
#include "emulator/decoder.h"
#include "emulator/flatten.h"

namespace rtjit::emu {

struct Decoder::State {
  const FlatKernel* flat = nullptr;
  Program* program = nullptr;
  std::map<std::string, SymbolAddress> symbols;
  std::vector<FlowNode> nodes;
  FlowNode* current = nullptr;
  std::vector<uint8_t> classes;  // virtual register -> 1, 32, 64; grown on use

  // While decoding, operand fields hold virtual ids: registers as they are, others with a tag.
  static constexpr uint32_t kConstant = 0x80000000, kSpecial = 0x40000000, kIndex = 0x3fffffff;
  std::map<std::tuple<uint64_t, int, bool>, uint32_t> constant_ids;  // value, width, shared address
  std::map<std::pair<int, bool>, uint32_t> special_ids;

  // Replaces virtual ids by offsets; lays out constants and special registers behind the registers.
  void finish(const std::vector<uint32_t>& offsets);
};

}  // namespace rtjit::emu

#include "tests/silicon/forms.h"

#include <fmt/format.h>

#include <cctype>
#include <cstring>

#include "tests/silicon/inputs.h"

namespace rtjit::silicon {
namespace {

bool is_type(std::string_view s) {
  for (std::string_view known :
       {"f64", "f32", "f16", "bf16", "f16x2", "bf16x2", "e4m3x2", "e5m2x2", "tf32"}) {
    if (s == known) return true;
  }
  return s.size() > 1 && (s[0] == 's' || s[0] == 'u' || s[0] == 'b') &&
         std::isdigit(static_cast<unsigned char>(s[1])) &&
         s.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

// The last type in the name of the first instruction.
std::string last_type(std::string_view text) {
  std::string_view name = text.substr(0, text.find(' '));
  std::string found = "b32";
  while (!name.empty()) {
    size_t dot = name.find('.');
    std::string_view part = name.substr(0, dot);
    if (is_type(part)) found = part;
    name = dot == std::string_view::npos ? "" : name.substr(dot + 1);
  }
  return found;
}

bool uses(std::string_view text, std::string_view name) {
  for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    size_t end = at + name.size();
    if (end >= text.size() || !(std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_'))
      return true;
  }
  return false;
}

std::string override_of(std::string_view types, char operand) {
  for (size_t at = 0; at + 1 < types.size(); ++at) {
    if (types[at] == operand && types[at + 1] == '=' && (at == 0 || types[at - 1] == ' '))
      return std::string(types.substr(at + 2, types.find(' ', at) - at - 2));
  }
  return {};
}

}  // namespace

std::vector<std::string> alternatives(std::string_view text) {
  size_t open = text.find('<');
  if (open == std::string_view::npos) return {std::string(text)};
  size_t close = text.find('>', open);
  std::vector<std::string> rest = alternatives(text.substr(close + 1)), all;
  std::string_view inside = text.substr(open + 1, close - open - 1);
  while (true) {
    size_t bar = inside.find('|');
    for (const std::string& tail : rest)
      all.push_back(fmt::format("{}{}{}", text.substr(0, open), inside.substr(0, bar), tail));
    if (bar == std::string_view::npos) return all;
    inside = inside.substr(bar + 1);
  }
}

void add_forms(std::vector<Case>* cases, std::string_view pattern, std::string_view types, const Bound& bound,
               Element element) {
  for (const std::string& text : alternatives(pattern)) {
    Case c;
    c.name = text;
    c.bound = bound;
    c.element = element;
    c.grid = 4;
    c.block = 256;
    std::string common = last_type(text), declarations, loads, stores;
    uint64_t seed = hash_bytes(text.data(), text.size(), 7);
    int number = 0;
    for (char operand : {'a', 'b', 'c'}) {
      int index = number++;
      if (!uses(text, std::string("%") + operand)) continue;
      std::string chosen = override_of(types, operand);
      OperandType type = parse_operand_type(chosen.empty() ? common : chosen);
      auto bytes = static_cast<size_t>(type.bits / 8);
      size_t offset = c.input.size();
      c.input.resize(offset + bytes * kFormThreads);
      for (size_t i = 0; i < kFormThreads; ++i) {
        uint64_t value = input_value(type, index, i, seed);
        std::memcpy(&c.input[offset + i * bytes], &value, bytes);
      }
      declarations += fmt::format(".reg .b{} %{};\n", type.bits, operand);
      loads += fmt::format("mad.wide.u32 %address, %i, {}, %in;\nld.global.b{} %{}, [%address+{}];\n", bytes,
                           type.bits, operand, offset);
    }
    // Results lie first: d of all threads, e of all threads, then the scratch.
    size_t offset = 0;
    for (char operand : {'d', 'e'}) {
      if (!uses(text, std::string("%") + operand)) continue;
      std::string chosen = override_of(types, operand);
      OperandType type = parse_operand_type(chosen.empty() ? common : chosen);
      auto bytes = static_cast<size_t>(type.bits / 8);
      declarations += fmt::format(".reg .b{} %{};\n", type.bits, operand);
      stores += fmt::format("mad.wide.u32 %address, %i, {}, %out;\nst.global.b{} [%address+{}], %{};\n",
                            bytes, type.bits, offset, operand);
      offset += bytes * kFormThreads;
    }
    c.compared_bytes = offset;
    c.output_bytes = offset + 16 * kFormThreads;
    if (c.input.empty()) c.input.resize(16);
    c.ptx = fmt::format(
        ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_out, .param .u64 "
        "k_in) {{\n"
        ".shared .align 128 .b8 cells[4096];\n.shared .align 8 .b64 bar;\n.local .align 16 .b8 own[64];\n"
        ".reg .b64 %out, %in, %address, %m, %block_m;\n.reg .b32 %i, %thread, %lane, %s, %block_s, %t<8>;\n"
        ".reg .b64 %q<8>;\n.reg .b16 %h<8>;\n.reg .pred %p<4>;\n{}"
        "ld.param.u64 %out, [k_out];\nld.param.u64 %in, [k_in];\nmov.u32 %thread, %tid.x;\nmov.u32 %lane, "
        "%laneid;\n"
        "mov.u32 %i, %ctaid.x;\nmad.lo.u32 %i, %i, 256, %thread;\nmad.wide.u32 %m, %i, 16, %out;\nadd.u64 "
        "%m, %m, {};\n"
        "mul.wide.u32 %address, %thread, 16;\nsub.u64 %block_m, %m, %address;\n"
        "mov.u32 %block_s, cells;\nmad.lo.u32 %s, %thread, 16, %block_s;\n{}{}\n{}ret;\n}}\n",
        declarations, offset, loads, text, stores);
    cases->push_back(std::move(c));
  }
}

}  // namespace rtjit::silicon

#include "tests/silicon/case.h"

#include <unordered_map>

#include "tests/silicon/inputs.h"

namespace rtjit::silicon {

const std::vector<Case>& all_cases() {
  static const std::vector<Case> cases = [] {
    std::vector<Case> list;
    add_integer_cases(&list);
    add_float_cases(&list);
    add_convert_cases(&list);
    add_memory_cases(&list);
    add_atomic_cases(&list);
    add_warp_cases(&list);
    add_mma_cases(&list);
    add_wgmma_cases(&list);
    add_copy_cases(&list);
    return list;
  }();
  return cases;
}

const Case* find_case(std::string_view name) {
  for (const Case& c : all_cases()) {
    if (c.name == name) return &c;
  }
  return nullptr;
}

uint64_t fingerprint(const Case& c) {
  uint64_t hash = hash_bytes(c.ptx.data(), c.ptx.size(), 0);
  return hash_bytes(c.input.data(), c.input.size(), hash);
}

}  // namespace rtjit::silicon

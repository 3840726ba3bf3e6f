// mma.sync in every dense form of sm_90. Fragments come from memory as they are, so no layout is written
// here.
#include <fmt/format.h>

#include <cstring>

#include "tests/silicon/forms.h"
#include "tests/silicon/inputs.h"
#include "tests/silicon/matrix_inputs.h"

namespace rtjit::silicon {
namespace {

constexpr uint32_t kThreads = 32 * kRegimes;

// "{%a0,%a1}" of `count` registers.
std::string list(char name, int count) {
  std::string text = "{";
  for (int i = 0; i < count; ++i) text += fmt::format("{}%{}{}", i ? "," : "", name, i);
  return text + "}";
}

// One warp per regime: its own fragments in, its result out.
void add_mma(std::vector<Case>* cases, int k, const std::string& d, const std::string& a,
             const std::string& b, const std::string& c, const std::string& prefix = "") {
  Case test;
  test.name = fmt::format("mma.sync.aligned.m16n8k{}.row.col.{}{}.{}.{}.{}", k, prefix, d, a, b, c);
  test.block = kThreads;
  MatrixFormat fa = matrix_format(a), fb = matrix_format(b), fc = matrix_format(c);
  int na = k * fa.bits / 64, nb = k * fb.bits / 128, nc = fc.bits == 16 ? 2 : 4, nd = d == "f16" ? 2 : 4;
  uint64_t seed = hash_bytes(test.name.data(), test.name.size(), 11);
  std::string loads, stores;
  size_t words = 0;
  for (auto [name, count, format] : {std::tuple{'a', na, &fa}, {'b', nb, &fb}, {'c', nc, &fc}}) {
    for (int r = 0; r < count; ++r) {
      loads += fmt::format("ld.global.b32 %{}{}, [%in+{}];\n", name, r, words * 4);
      for (uint32_t t = 0; t < kThreads; ++t, ++words) {
        uint32_t word = matrix_word(*format, static_cast<int>(t / 32), mix(seed + words));
        test.input.resize(test.input.size() + 4);
        std::memcpy(&test.input[words * 4], &word, 4);
      }
    }
  }
  for (int r = 0; r < nd; ++r)
    stores += fmt::format("st.global.b32 [%out+{}], %d{};\n", static_cast<uint32_t>(r) * kThreads * 4, r);
  test.output_bytes = test.compared_bytes = static_cast<size_t>(nd) * kThreads * 4;
  test.ptx = fmt::format(
      ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_out, .param .u64 "
      "k_in) {{\n"
      ".reg .b64 %out, %in, %offset;\n.reg .b32 %thread, %a<8>, %b<8>, %c<8>, %d<8>;\n"
      "ld.param.u64 %out, [k_out];\nld.param.u64 %in, [k_in];\nmov.u32 %thread, %tid.x;\nmul.wide.u32 "
      "%offset, %thread, 4;\n"
      "add.u64 %out, %out, %offset;\nadd.u64 %in, %in, %offset;\n{}{} {}, {}, {}, {};\n{}ret;\n}}\n",
      loads, test.name, list('d', nd), list('a', na), list('b', nb), list('c', nc), stores);
  cases->push_back(std::move(test));
}

}  // namespace

void add_mma_cases(std::vector<Case>* cases) {
  for (int k : {8, 16}) {
    add_mma(cases, k, "f32", "f16", "f16", "f32");
    add_mma(cases, k, "f16", "f16", "f16", "f16");
    add_mma(cases, k, "f32", "bf16", "bf16", "f32");
  }
  for (int k : {4, 8}) add_mma(cases, k, "f32", "tf32", "tf32", "f32");
  for (int k : {16, 32}) {
    for (const char* a : {"e4m3", "e5m2"}) {
      for (const char* b : {"e4m3", "e5m2"}) {
        add_mma(cases, k, "f32", a, b, "f32");
        add_mma(cases, k, "f16", a, b, "f16");
      }
    }
  }
  for (const char* saturate : {"", "satfinite."}) {
    for (int width : {8, 4}) {
      for (int k : {128 / width, 256 / width}) {
        for (char a : {'s', 'u'}) {
          for (char b : {'s', 'u'})
            add_mma(cases, k, "s32", fmt::format("{}{}", a, width), fmt::format("{}{}", b, width), "s32",
                    saturate);
        }
      }
    }
  }
}

}  // namespace rtjit::silicon

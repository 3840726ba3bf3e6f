// wgmma with A in registers and in shared memory, every swizzle, both majors, scales, several N. Shared
// memory is filled word by word as the input comes, so descriptors alone say which element is where.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "tests/silicon/forms.h"
#include "tests/silicon/inputs.h"
#include "tests/silicon/matrix_inputs.h"

namespace rtjit::silicon {
namespace {

struct Product {
  const char *d = "f32", *a = "bf16", *b = "bf16";
  int n = 8, regime = 1, swizzle = 0;  // bytes
  bool registers_a = false, trans_a = false, trans_b = false;
  int scale_d = 1, negate_a = 1, negate_b = 1;
};

// Strides in bytes, as descriptors hold them.
struct Placement {
  uint32_t leading, stride, bytes;
};
Placement place(int rows, int swizzle, bool transposed) {
  auto mn = static_cast<uint32_t>(rows), span = static_cast<uint32_t>(swizzle);
  if (!transposed) {  // 32 bytes of k per row
    if (!span) return {128, 256, mn * 32};
    return {16, 8 * span, mn * span};
  }
  // Two groups of 8 k; a pattern holds span / 2 elements of the outer dimension.
  if (!span) return {mn * 16, 128, mn * 32};
  uint32_t patterns = (mn * 2 + span - 1) / span;
  return {16 * span, 8 * span, patterns * 16 * span};
}
std::string descriptor(const Placement& p, int swizzle) {
  uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : swizzle == 32 ? 3 : 0;
  return fmt::format("{}", static_cast<int64_t>(mode << 62 | static_cast<uint64_t>(p.stride / 16) << 32 |
                                                static_cast<uint64_t>(p.leading / 16) << 16));
}

void add_product(std::vector<Case>* cases, const Product& p) {
  MatrixFormat fa = matrix_format(p.a), fb = matrix_format(p.b), fd = matrix_format(p.d);
  int k = 256 / fa.bits, nd = fd.bits == 16 ? p.n / 4 : p.n / 2;
  Case test;
  std::string form = fmt::format("wgmma.mma_async.sync.aligned.m64n{}k{}.{}.{}.{}", p.n, k, p.d, p.a, p.b);
  test.name = fmt::format("{} A {}{} B {} swizzle {} scale-d {} signs {},{} regime {}", form,
                          p.registers_a ? "registers" : "shared",
                          p.registers_a ? ""
                          : p.trans_a   ? " transposed"
                                        : " k-major",
                          p.trans_b ? "transposed" : "k-major", p.swizzle, p.scale_d, p.negate_a, p.negate_b,
                          p.regime);
  test.block = 128;
  Placement in_a = place(64, p.swizzle, p.trans_a), in_b = place(p.n, p.swizzle, p.trans_b);
  uint32_t b_at = (in_a.bytes + 1023) / 1024 * 1024, shared = (b_at + in_b.bytes + 2047) / 2048 * 2048;
  uint64_t seed = hash_bytes(test.name.data(), test.name.size(), 13);
  auto put = [&](const MatrixFormat& format) {
    uint32_t word = matrix_word(format, p.regime, mix(seed + test.input.size()));
    test.input.resize(test.input.size() + 4);
    std::memcpy(&test.input[test.input.size() - 4], &word, 4);
  };
  for (uint32_t at = 0; at < shared; at += 4) put(at < b_at ? fa : fb);
  auto registers_at = test.input.size();
  for (uint32_t i = 0; i < 4 * 128; ++i) put(fa);
  auto sums_at = test.input.size();
  for (int i = 0; i < nd * 128; ++i) put(fd);

  std::string loads, sums = "{", results, stores;
  for (int i = 0; i < nd; ++i) {
    loads += fmt::format("ld.global.b32 %d{}, [%in+{}];\n", i, sums_at + static_cast<size_t>(i) * 512);
    sums += fmt::format("{}%d{}", i ? "," : "", i);
    stores += fmt::format("st.global.b32 [%out+{}], %d{};\n", i * 512, i);
  }
  sums += "}";
  for (size_t i = 0; i < 4; ++i)
    loads += fmt::format("ld.global.b32 %a{}, [%in+{}];\n", i, registers_at + i * 512);
  bool transposes = fa.bits == 16;
  std::string operands = fmt::format("{}, {}, %db, %scale, {}, {}{}{}", sums,
                                     p.registers_a ? "{%a0,%a1,%a2,%a3}" : "%da", p.negate_a, p.negate_b,
                                     transposes && !p.registers_a ? fmt::format(", {}", int(p.trans_a)) : "",
                                     transposes ? fmt::format(", {}", int(p.trans_b)) : "");
  test.output_bytes = test.compared_bytes = static_cast<size_t>(nd) * 512;
  test.ptx = fmt::format(
      ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_out, .param .u64 "
      "k_in) {{\n"
      ".shared .align 1024 .b8 cells[{}];\n.reg .b64 %out, %in, %offset, %from, %da, %db;\n"
      ".reg .b32 %thread, %at, %end, %word, %a<4>, %d<{}>;\n.reg .pred %more, %scale;\n"
      "ld.param.u64 %out, [k_out];\nld.param.u64 %in, [k_in];\nmov.u32 %thread, %tid.x;\nmul.wide.u32 "
      "%offset, %thread, 4;\n"
      "add.u64 %out, %out, %offset;\nadd.u64 %in, %in, %offset;\nmov.u64 %from, %in;\nmov.u32 %at, cells;\n"
      "add.u32 %end, %at, {};\nmad.lo.u32 %at, %thread, 4, %at;\n"
      "FILL:\nld.global.b32 %word, [%from];\nst.shared.b32 [%at], %word;\nadd.u64 %from, %from, 512;\n"
      "add.u32 %at, %at, 512;\nsetp.lt.u32 %more, %at, %end;\n@%more bra FILL;\n{}"
      "mov.u32 %at, cells;\nshr.u32 %at, %at, 4;\ncvt.u64.u32 %da, %at;\nadd.u64 %db, %da, {};\n"
      "add.u64 %da, %da, {};\nadd.u64 %db, %db, {};\nsetp.eq.u32 %scale, {}, 1;\n"
      "fence.proxy.async.shared::cta;\nbar.sync 0;\nwgmma.fence.sync.aligned;\n{} {};\n"
      "wgmma.commit_group.sync.aligned;\nwgmma.wait_group.sync.aligned 0;\n{}ret;\n}}\n",
      shared, nd, shared, loads, b_at / 16, descriptor(in_a, p.swizzle), descriptor(in_b, p.swizzle),
      p.scale_d, form, operands, stores);
  cases->push_back(std::move(test));
}

}  // namespace

void add_wgmma_cases(std::vector<Case>* cases) {
  // Every type in every regime, both places of A, all swizzles over the regimes.
  struct Types {
    const char *d, *a, *b;
  };
  for (Types t : {Types{"f32", "bf16", "bf16"},
                  {"f32", "f16", "f16"},
                  {"f16", "f16", "f16"},
                  {"f32", "tf32", "tf32"},
                  {"f32", "e4m3", "e4m3"},
                  {"f32", "e5m2", "e5m2"},
                  {"f32", "e4m3", "e5m2"},
                  {"f32", "e5m2", "e4m3"},
                  {"f16", "e4m3", "e4m3"},
                  {"f16", "e5m2", "e4m3"}}) {
    for (int regime = 0; regime < kRegimes; ++regime) {
      Product p{t.d, t.a, t.b};
      p.regime = regime;
      p.swizzle = std::array{0, 128, 64, 32}[static_cast<size_t>(regime % 4)];
      p.registers_a = regime % 3 == 1;
      add_product(cases, p);
    }
  }
  for (int n : {16, 24, 64, 128, 256}) {
    for (int swizzle : {0, 32, 64, 128}) {
      Product p;
      p.n = n;
      p.swizzle = swizzle;
      p.regime = 0;
      if (swizzle == 128 || n == 64) add_product(cases, p);
      // A transposed B spans whole patterns only.
      if (n * 2 % std::max(swizzle, 16) == 0 && n >= 64) {
        p.trans_b = true;
        p.trans_a = n == 64;
        add_product(cases, p);
      }
    }
  }
  for (int scale_d : {0, 1}) {
    for (int sign : {1, -1}) {
      Product p;
      p.scale_d = scale_d;
      p.negate_a = sign;
      p.negate_b = scale_d ? -1 : 1;
      p.regime = 2;
      add_product(cases, p);
    }
  }
}

}  // namespace rtjit::silicon

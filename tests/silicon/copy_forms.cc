// Bulk and tensor copies and reductions. Input and output are 64 x 64 words (or what the type makes of them).
#include <fmt/format.h>

#include <cstring>

#include "tests/silicon/forms.h"
#include "tests/silicon/inputs.h"

namespace rtjit::silicon {
namespace {

constexpr size_t kCopiedBytes = 16384;

// Thread 0 runs `issue` after the barrier has been initialised and shared memory filled; `wait` and then the
// dump of shared memory run in all threads. Shared memory is compared where `dump`, else the output buffer.
void add_copy(std::vector<Case>* cases, const std::string& name, const std::string& type,
              const std::string& issue, bool loads, std::vector<MapSpec> maps) {
  Case c;
  c.name = name;
  c.block = 128;
  c.maps = std::move(maps);
  uint64_t seed = hash_bytes(name.data(), name.size(), 17);
  OperandType element = parse_operand_type(type);
  c.input.resize(kCopiedBytes);
  size_t size = static_cast<size_t>(element.bits / 8);
  for (size_t i = 0; i * size < kCopiedBytes; ++i) {
    uint64_t value = input_value(element, 0, i, seed);
    std::memcpy(&c.input[i * size], &value, size);
  }
  c.output_bytes = c.compared_bytes = kCopiedBytes;
  std::string parameters, map_addresses;
  for (size_t i = 0; i < c.maps.size(); ++i) {
    parameters += fmt::format(", .param .align 64 .b8 k_map{}[128]", i);
    map_addresses += fmt::format("mov.b64 %map{}, k_map{};\ncvta.param.u64 %map{}, %map{};\n", i, i, i, i);
  }
  std::string wait =
      loads ? "W:\nmbarrier.try_wait.parity.shared::cta.b64 %more, [bar], 0;\n@!%more bra W;\n" : "";
  std::string fill =
      "FILL:\nld.global.b32 %word, [%from];\nst.shared.b32 [%at], %word;\nadd.u64 %from, %from, 512;\n"
      "add.u32 %at, %at, 512;\nsetp.lt.u32 %more, %at, %end;\n@%more bra FILL;\n";
  std::string dump =
      "mov.u32 %at, cells;\nmad.lo.u32 %at, %thread, 4, %at;\nmov.u64 %from, %out_t;\n"
      "DUMP:\nld.shared.b32 %word, [%at];\nst.global.b32 [%from], %word;\nadd.u64 %from, %from, 512;\n"
      "add.u32 %at, %at, 512;\nsetp.lt.u32 %more, %at, %end;\n@%more bra DUMP;\n";
  // Reductions need something to reduce into: the output starts as the input, words rotated by one.
  std::string prepare =
      "mov.u64 %from, %in_t;\nmov.u64 %to, %out_t;\nmov.u32 %at, 0;\n"
      "COPY:\nld.global.b32 %word, [%from+4];\nst.global.b32 [%to], %word;\nadd.u64 %from, %from, 512;\n"
      "add.u64 %to, %to, 512;\nadd.u32 %at, %at, 512;\nsetp.lt.u32 %more, %at, 15872;\n@%more bra "
      "COPY;\nfence.proxy.async;\n";
  c.ptx = fmt::format(
      ".version 8.7\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 k_out, .param .u64 "
      "k_in{}) {{\n"
      ".shared .align 1024 .b8 cells[{}];\n.shared .align 8 .b64 bar;\n"
      ".reg .b64 %out, %in, %offset, %from, %to, %in_t, %out_t, %map0, %map1, %state;\n.reg .b32 %thread, "
      "%at, %end, %word;\n"
      ".reg .pred %more, %first;\nld.param.u64 %out, [k_out];\nld.param.u64 %in, [k_in];\n{}"
      "mov.u32 %thread, %tid.x;\nsetp.eq.u32 %first, %thread, 0;\nmul.wide.u32 %offset, %thread, 4;\n"
      "add.u64 %out_t, %out, %offset;\nadd.u64 %in_t, %in, %offset;\nmov.u64 %from, %in_t;\nmov.u32 %at, "
      "cells;\n"
      "add.u32 %end, %at, {};\nmad.lo.u32 %at, %thread, 4, %at;\n{}{}"
      "@%first mbarrier.init.shared::cta.b64 [bar], 1;\nfence.mbarrier_init.release.cluster;\n"
      "fence.proxy.async.shared::cta;\nbar.sync 0;\n@!%first bra ISSUED;\n{}\nISSUED:\n{}bar.sync "
      "0;\n{}ret;\n}}\n",
      parameters, kCopiedBytes, map_addresses, kCopiedBytes, fill, loads ? "" : prepare, issue, wait, loads ? dump : "");
  cases->push_back(std::move(c));
}

std::string expect(uint32_t bytes) {
  return fmt::format("mbarrier.arrive.expect_tx.shared::cta.b64 %state, [bar], {};\n", bytes);
}
const char kDrain[] = "\ncp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;";

}  // namespace

void add_copy_cases(std::vector<Case>* cases) {
  for (uint32_t bytes : {16u, 4096u, 16384u - 48}) {
    std::string copy = fmt::format(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [cells], [%in+48], {}, [bar];",
        bytes);
    add_copy(cases, copy, "b32", expect(bytes) + copy, true, {});
    copy = fmt::format("cp.async.bulk.global.shared::cta.bulk_group [%out+48], [cells+32], {};",
                       std::min(bytes, 8192u));
    add_copy(cases, copy, "b32", copy + kDrain, false, {});
  }
  for (const char* form :
       {"add.u32",       "add.s32",        "add.u64", "min.s32", "min.u32",  "max.s32", "max.u32", "min.s64",
        "max.u64",       "inc.u32",        "dec.u32", "and.b32", "or.b32",   "xor.b32", "add.f32", "add.f64",
        "add.noftz.f16", "add.noftz.bf16", "min.f16", "max.f16", "min.bf16", "max.bf16"}) {
    std::string_view text = form;
    std::string type(text.substr(text.rfind('.') + 1));
    std::string copy = fmt::format(
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.{} [%out+64], [cells+128], 2048;", form);
    add_copy(cases, copy, type, copy + kDrain, false, {});
  }

  for (int swizzle : {0, 32, 64, 128}) {
    auto width = static_cast<uint32_t>(swizzle ? swizzle / 4 : 16);
    MapSpec map;
    map.dims = {60, 64};  // rows of 240 bytes
    map.box = {width, 16};
    map.swizzle = swizzle;
    for (const char* corner : {"8, 3", "48, 55", "-4, -2"}) {
      std::string copy = fmt::format(
          "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [cells], [%map0, "
          "{{{}}}], [bar];",
          corner);
      add_copy(cases, fmt::format("{} swizzle {}", copy, swizzle), "b32", expect(width * 64) + copy, true,
               {map});
      // A store with a negative coordinate ended as an illegal instruction on an H200.
      if (corner[0] == '-') continue;
      MapSpec out = map;
      out.over_output = true;
      copy = fmt::format(
          "cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%map0, {{{}}}], [cells];", corner);
      add_copy(cases, fmt::format("{} swizzle {}", copy, swizzle), "b32", copy + kDrain, false, {out});
    }
  }
  struct Rank {
    std::vector<uint64_t> dims;
    std::vector<uint32_t> box;
    const char* corner;
  };
  // An H200 refuses (illegal instruction) loads whose first coordinate is not at a multiple of 16 bytes.
  for (const Rank& r : {Rank{{4000}, {64}, "1000"}, {{8, 3, 5, 4, 8}, {4, 2, 4, 2, 2}, "4, 2, -1, 1, 7"}}) {
    size_t rank = r.dims.size();
    uint32_t bytes = 4;
    for (uint32_t b : r.box) bytes *= b;
    MapSpec map;
    map.dims = r.dims;
    map.box = r.box;
    std::string copy = fmt::format(
        "cp.async.bulk.tensor.{}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [cells], [%map0, "
        "{{{}}}], [bar];",
        rank, r.corner);
    add_copy(cases, copy + " of words", "b32", expect(bytes) + copy, true, {map});
  }
  struct Reduction {
    const char *operation, *type;
    DType dtype;
  };
  for (const Reduction& r : {Reduction{"add", "b32", DType::i32},
                             {"min", "b32", DType::i32},
                             {"max", "b32", DType::i32},
                             {"and", "b32", DType::i32},
                             {"or", "b32", DType::i32},
                             {"xor", "b32", DType::i32},
                             {"add", "f32", DType::f32},
                             {"add", "f16", DType::f16},
                             {"add", "bf16", DType::bf16},
                             {"min", "f16", DType::f16},
                             {"max", "bf16", DType::bf16}}) {
    MapSpec map;
    map.over_output = true;
    map.dtype = r.dtype;
    map.dims = {60, 60};
    map.box = {32, 32};
    std::string copy = fmt::format(
        "cp.reduce.async.bulk.tensor.2d.global.shared::cta.{}.tile.bulk_group [%map0, {{40, 16}}], [cells];",
        r.operation);
    add_copy(cases, fmt::format("{} of {}", copy, r.type), r.type, copy + kDrain, false, {map});
  }
}

}  // namespace rtjit::silicon

// tcgen05.ld, tcgen05.st and tcgen05.cp in every form, against the layouts of the PTX ISA written the other
// way round: from a place in tensor memory to the thread and register that hold it.
#include <gmock/gmock.h>

#include "tensor_core_harness.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

struct Shape {
  const char* name;
  uint32_t rows, words, most;  // of .x1, and the largest repetition
  uint32_t registers;          // of .x1
};
const Shape kShapes[] = {{"32x32b", 32, 1, 128, 1},
                         {"16x64b", 16, 2, 128, 1},
                         {"16x128b", 16, 4, 64, 2},
                         {"16x256b", 16, 8, 32, 4},
                         {"16x32bx2", 16, 1, 128, 1}};

// Thread and register that hold a word of a row. `half` is the second region of .16x32bx2.
std::pair<uint32_t, uint32_t> holder(const std::string& shape, uint32_t row, uint32_t word, uint32_t half) {
  if (shape == "32x32b") return {row, word};
  if (shape == "16x32bx2") return {half * 16 + row, word};
  uint32_t quad = row % 8 * 4;
  if (shape == "16x64b") return {quad + word % 2 * 2 + row / 8, word / 2};
  if (shape == "16x128b") return {quad + word % 4, word / 4 * 2 + row / 8};
  return {quad + word % 8 / 2, word / 8 * 4 + row / 8 * 2 + word % 2};
}

// A kernel of 4 warps: fills tensor memory from `in`, runs the form, and writes tensor memory and, for loads,
// the registers.
std::string move_kernel(const Shape& shape, uint32_t times, bool halves, bool load, uint32_t split,
                        uint32_t lane) {
  uint32_t count = shape.registers * times;
  std::string registers = "{";
  for (uint32_t i = 0; i < count; ++i) registers += (i ? ", %r" : "%r") + std::to_string(i);
  registers += "}";
  std::string text = ".reg .b32 %r<" + std::to_string(count) + ">, %a;\n.reg .b64 %h;\nadd.u32 %a, %base, " +
                     std::to_string(lane << 16) + ";\nmad.wide.u32 %h, %t, 512, %g1;\n";
  bool twice = std::string(shape.name) == "16x32bx2";
  std::string name = std::string(load ? "tcgen05.ld" : "tcgen05.st") + ".sync.aligned." + shape.name + ".x" +
                     std::to_string(times) + (halves ? load ? ".pack::16b" : ".unpack::16b" : "") + ".b32 ";
  std::string tail = twice ? ", " + std::to_string(split) : "";
  if (load) {
    text += name + registers + ", [%a]" + tail + ";\ntcgen05.wait::ld.sync.aligned;\n";
    for (uint32_t i = 0; i < count; ++i)
      text += "st.global.u32 [%h+" + std::to_string(i * 4) + "], %r" + std::to_string(i) + ";\n";
  } else {
    for (uint32_t i = 0; i < count; ++i)
      text += "ld.global.u32 %r" + std::to_string(i) + ", [%h+" + std::to_string(i * 4) + "];\n";
    text += name + "[%a]" + tail + ", " + registers + ";\ntcgen05.wait::st.sync.aligned;\n";
  }
  return tensor_kernel("{\n" + text + "}", "sm_100a", false);
}

TEST(Tcgen05Moves, EveryShapeOfLoadAndStore) {
  std::vector<uint32_t> before = random_tensor(1);
  std::mt19937 generator(2);
  std::vector<uint32_t> values(128 * 128);
  for (uint32_t& v : values) v = generator();
  int forms = 0;
  for (const Shape& shape : kShapes) {
    for (uint32_t times = 1; times <= shape.most; times *= 2) {
      for (bool halves : {false, true}) {
        for (bool load : {true, false}) {
          uint32_t step = halves ? 2 : 1, words = shape.words * times;
          bool twice = std::string(shape.name) == "16x32bx2";
          uint32_t split = twice ? words * step + (times < 64 ? 3 : 0) : 0;
          uint32_t lane = shape.rows == 16 && times % 3 == 1 ? 16 : 0;
          Emulator emulator("sm_100a");
          emulator.load(move_kernel(shape, times, halves, load, split, lane));
          auto out = emulator.empty<uint32_t>(before.size());
          auto registers = emulator.buffer(values);
          auto tensor = emulator.buffer(before);
          // No bytes of shared memory are copied: the register buffer stands where the image would.
          Status status = emulator.run("k", 1, 128, 16, out, registers, tensor, uint64_t(0), uint64_t(0), 0u,
                                       0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u);
          std::string form = std::string(shape.name) + ".x" + std::to_string(times) + (load ? " ld" : " st") +
                             (halves ? " 16b" : "");
          ASSERT_TRUE(status.ok()) << form << ": " << status.error().message;
          ++forms;
          std::vector<uint32_t> after = emulator.read(out), got = emulator.read(registers), expected = before;
          for (uint32_t warp = 0; warp < 4; ++warp) {
            for (uint32_t half = 0; half < (twice ? 2u : 1u); ++half) {
              for (uint32_t row = 0; row < shape.rows; ++row) {
                for (uint32_t word = 0; word < words; ++word) {
                  auto [thread, index] = holder(shape.name, row, word, half);
                  size_t place = (warp * 32 + lane + row) * kTensorColumns + half * split + word * step;
                  size_t at = (warp * 32 + thread) * 128 + index;
                  if (load) {
                    uint32_t want =
                        halves ? (before[place] & 0xffff) | before[place + 1] << 16 : before[place];
                    ASSERT_EQ(got[at], want) << form << " row " << row << " word " << word;
                  } else if (halves) {
                    expected[place] = values[at] & 0xffff;
                    expected[place + 1] = values[at] >> 16;
                  } else {
                    expected[place] = values[at];
                  }
                }
              }
            }
          }
          ASSERT_TRUE(after == expected) << form;
        }
      }
    }
  }
  EXPECT_EQ(forms, 148);
}

TEST(Tcgen05Moves, LoadWithReduction) {
  std::vector<uint32_t> before = random_tensor(3);
  const uint32_t corners[] = {0x7fc00000, 0x80000000, 0,          0x7f800000,
                              0xff800000, 0x00000001, 0x3f800000, 0xbf800000};
  for (size_t i = 0; i < 3000; ++i) before[i * 13] = corners[i % 8];
  for (uint32_t lane = 0; lane < 4; ++lane) {  // lanes of NaNs alone
    for (uint32_t c = 0; c < 8; ++c) before[lane * 37 * kTensorColumns + c] = 0x7fc00001;
  }
  for (std::string form : {"min.f32", "max.f32", "min.abs.f32", "max.NaN.f32", "max.abs.NaN.f32", "min.u32",
                           "max.u32", "min.s32", "max.s32"}) {
    Emulator emulator("sm_103a");
    emulator.load(
        tensor_kernel("{\n.reg .b32 %r<8>, %z;\n.reg .b64 %h;\nmad.wide.u32 %h, %t, 512, "
                      "%g1;\ntcgen05.ld.red.sync.aligned.32x32b.x8." +
                          form +
                          " {%r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7}, %z, [%base];\n"
                          "tcgen05.wait::ld.sync.aligned;\nst.global.u32 [%h], %z;\n}",
                      "sm_103a", false));
    auto out = emulator.empty<uint32_t>(before.size());
    auto results = emulator.buffer(std::vector<uint32_t>(128 * 128, 0));
    auto tensor = emulator.buffer(before);
    Status status = emulator.run("k", 1, 128, 16, out, results, tensor, uint64_t(0), uint64_t(0), 0u, 0u, 0u,
                                 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u);
    ASSERT_TRUE(status.ok()) << form << status.error().message;
    auto got = emulator.read(results);
    bool minimum = form.starts_with("min"), absolute = form.find("abs") != std::string::npos;
    for (size_t lane = 0; lane < 128; ++lane) {
      const uint32_t* row = &before[lane * kTensorColumns];
      uint32_t want = 0;
      if (form.ends_with("f32")) {
        // Smallest in the order of the bits with -0 below +0; NaN wins or is passed over.
        bool nan = false, any = false;
        double best = 0;
        bool negative = false;
        for (int c = 0; c < 8; ++c) {
          uint32_t bits = absolute ? row[c] & 0x7fffffff : row[c];
          float value;
          std::memcpy(&value, &bits, 4);
          if (value != value) {
            nan = true;
            continue;
          }
          double v = minimum ? value : -static_cast<double>(value);
          bool below = v < best || (v == best && v == 0 && (std::signbit(value) == minimum));
          if (!any || below) best = v, negative = bits >> 31;
          any = true;
        }
        float result = static_cast<float>(minimum ? best : -best);
        if (result == 0) result = negative ? -0.0f : 0.0f;
        std::memcpy(&want, &result, 4);
        if (!any || (nan && form.find("NaN") != std::string::npos)) {
          ASSERT_EQ(got[lane * 128] & 0x7f800000, 0x7f800000u) << form << lane;
          ASSERT_NE(got[lane * 128] & 0x007fffff, 0u) << form << lane;
          continue;
        }
      } else {
        bool is_signed = form.ends_with("s32");
        int64_t best = 0;
        for (int c = 0; c < 8; ++c) {
          int64_t v = is_signed ? static_cast<int32_t>(row[c]) : static_cast<int64_t>(row[c]);
          if (c == 0 || (minimum ? v < best : v > best)) best = v;
        }
        want = static_cast<uint32_t>(best);
      }
      ASSERT_EQ(got[lane * 128], want) << form << " lane " << lane;
    }
  }
}

// Rows of 16 or 32 bytes in shared memory, chunk by chunk, with a swizzle's exchange of chunks within a row.
size_t chunk_at(uint32_t mode, uint32_t row, uint32_t chunk, uint32_t leading, uint32_t stride) {
  size_t group = row / 8 * stride;
  switch (mode) {
    case 2:
      return group + row % 8 * 128 + (chunk ^ row % 8) * 16;
    case 4:
      return group + row % 8 * 64 + (chunk ^ row / 2 % 4) * 16;
    case 6:
      return group + row % 8 * 32 + (chunk ^ row / 4 % 2) * 16;
    default:
      return group + row % 8 * 16 + chunk * leading;
  }
}

TEST(Tcgen05Moves, EveryShapeOfCopy) {
  struct CopyForm {
    const char* name;
    uint32_t rows, chunks;
    std::vector<std::vector<uint32_t>> lanes;  // of 32-row groups (or single rows of 4x256b)
  };
  const CopyForm forms[] = {{"128x256b", 128, 2, {{0}, {32}, {64}, {96}}},
                            {"128x128b", 128, 1, {{0}, {32}, {64}, {96}}},
                            {"4x256b", 4, 2, {}},
                            {"64x128b.warpx2::02_13", 64, 1, {{0, 64}, {32, 96}}},
                            {"64x128b.warpx2::01_23", 64, 1, {{0, 32}, {64, 96}}},
                            {"32x128b.warpx4", 32, 1, {{0, 32, 64, 96}}}};
  std::mt19937 generator(5);
  std::vector<uint32_t> before = random_tensor(6);
  for (const CopyForm& form : forms) {
    for (uint32_t packed : {0u, 4u, 6u}) {
      std::string format = packed == 4 ? ".b8x16.b4x16_p64" : packed == 6 ? ".b8x16.b6x16_p32" : "";
      TensorInstruction copy("tcgen05.cp.cta_group::1." + std::string(form.name) + format + " [%d], %da;");
      for (uint32_t mode : {0u, 2u, 4u, 6u}) {
        uint32_t span = mode == 2 ? 128 : mode == 4 ? 64 : mode == 6 ? 32 : 16;
        uint32_t stride = span * 8, leading = 16 * stride;
        std::vector<uint8_t> shared(mode ? 16 * stride : 2 * leading);
        for (uint8_t& b : shared) b = static_cast<uint8_t>(generator());
        TensorCall call;
        uint32_t start_lane = form.rows == 4 ? 31 : 0;
        call.d = start_lane << 16 | 37;
        call.descriptor_a =
            uint64_t(mode) << 61 | uint64_t(1) << 46 | uint64_t(stride >> 4) << 32 | (leading >> 4) << 16;
        std::vector<uint32_t> expected = before;
        for (uint32_t row = 0; row < form.rows; ++row) {
          for (uint32_t chunk = 0; chunk < form.chunks; ++chunk) {
            const uint8_t* from = &shared[chunk_at(mode, row, chunk, leading, stride)];
            uint8_t bytes[16];
            for (uint32_t i = 0; i < 16; ++i) {
              if (packed == 0) bytes[i] = from[i];
              if (packed == 4)
                bytes[i] = static_cast<uint8_t>((i % 2 ? from[i / 2] >> 4 : from[i / 2] & 15) * 4);
              if (packed == 6) {
                uint32_t value = 0;
                for (uint32_t b = 0; b < 6; ++b)
                  value |= (from[(i * 6 + b) / 8] >> (i * 6 + b) % 8 & 1u) << b;
                bytes[i] = static_cast<uint8_t>(value);
              }
            }
            std::vector<uint32_t> lanes;
            if (form.rows == 4) {
              lanes = {start_lane + 32 * row};
            } else {
              for (uint32_t first : form.lanes[row / 32]) lanes.push_back(first + row % 32);
            }
            for (uint32_t lane : lanes)
              std::memcpy(&expected[lane * kTensorColumns + 37 + chunk * 4], bytes, 16);
          }
        }
        std::vector<uint32_t> after = copy.run(shared, before, call);
        ASSERT_EQ(copy.error, "") << form.name << format;
        ASSERT_TRUE(after == expected) << form.name << format << " mode " << mode;
      }
    }
  }
}

TEST(Tcgen05Moves, UnsupportedFormsAreNamed) {
  for (std::string instruction : {"tcgen05.shift.cta_group::1.down [%d];",
                                  "tcgen05.mma.sp.cta_group::1.kind::f16 [%d], %da, %db, [%sa], %id, %p;",
                                  "tcgen05.mma.cta_group::1.kind::f16.ashift [%d], [%ta], %db, %id, %p;"}) {
    Emulator emulator("sm_100a");
    emulator.load(tensor_kernel(instruction, "sm_100a", true));
    Status status = emulator.status();
    if (status.ok())
      status = emulator.run("k", 1, 128, 16, uint64_t(0), uint64_t(0), uint64_t(0), uint64_t(0), uint64_t(0),
                            0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u);
    ASSERT_FALSE(status.ok());
    EXPECT_THAT(status.error().message, HasSubstr("not supported"));
    EXPECT_THAT(status.error().message, HasSubstr(instruction.substr(0, 14)));
  }
}

}  // namespace
}  // namespace rtjit

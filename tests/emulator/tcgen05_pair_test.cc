// tcgen05 with .cta_group::2: the blocks of a pair allocate, copy and multiply together. Products are
// compared with sums in double; where rows and columns lie is written from the PTX ISA's data paths.
#include <gmock/gmock.h>

#include <memory>

#include "tensor_core_harness.h"
#include "tensor_matrix.h"
#include "tests/emulator/cluster_harness.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

struct Case {
  const char* instruction;  // the kind with what follows it
  Element a, b;
  uint32_t m, n, depth, mode = 2;
  bool transpose_a = false, transpose_b = false, tensor_a = false, enable = true, mask = false;
  uint32_t vectors = 0;
  bool e4m3_scales = false;
};

class Tcgen05Pairs : public testing::Test {
 protected:
  static constexpr uint32_t kD = 8, kA = 272, kScaleA = 320, kScaleB = 352,
                            kHalf = kTensorLanes * kTensorColumns;

  TensorInstruction& kernel(const std::string& text) {
    auto& found = kernels_[text];
    if (!found) found = std::make_unique<TensorInstruction>(text, "sm_100a", true);
    return *found;
  }

  void check(const Case& c) {
    std::string text = std::string("tcgen05.mma.cta_group::2.kind::") + c.instruction + " [%d], " +
                       (c.tensor_a ? "[%ta]" : "%da") + ", %db, %id, ";
    if (c.vectors) text += "[%sa], [%sb], ";
    if (c.mask) text += "{%m0, %m1, %m2, %m3, %m4, %m5, %m6, %m7}, ";
    text += "%p;";
    SCOPED_TRACE(testing::Message() << text << " M " << c.m << " N " << c.n << " " << c.a.name << " "
                                    << c.b.name << " transposed " << c.transpose_a << c.transpose_b);
    TensorInstruction& instruction = kernel(text);
    bool integer = c.a.exponent == 0, padded = std::string(c.instruction).find("f8f6f4") != std::string::npos;
    uint32_t rows = c.m / 2, columns = c.n / 2;  // of A and of B in one block
    std::vector<uint32_t> before = random_tensor(static_cast<uint32_t>(generator_()));
    std::vector<uint32_t> other = random_tensor(static_cast<uint32_t>(generator_()));
    before.insert(before.end(), other.begin(), other.end());
    TensorCall call;
    call.d = kD;
    call.a = kA;
    call.scale_a = kScaleA;
    call.scale_b = kScaleB;
    call.enable = c.enable;
    std::vector<Matrix> a, b;
    std::vector<std::vector<uint8_t>> images(2);
    for (uint32_t block = 0; block < 2; ++block) {
      a.push_back(random_matrix(generator_, rows, c.depth, c.a));
      b.push_back(random_matrix(generator_, columns, c.depth, c.b));
      if (!c.tensor_a)
        call.descriptor_a =
            place(a[block], c.a, padded && c.a.bits < 8, c.transpose_a, c.mode, &images[block]);
      call.descriptor_b = place(b[block], c.b, padded && c.b.bits < 8, c.transpose_b, c.mode, &images[block]);
    }
    ASSERT_EQ(images[0].size(), images[1].size());
    std::vector<uint8_t> shared = images[0];
    shared.insert(shared.end(), images[1].begin(), images[1].end());
    auto cell = [&](uint32_t block, uint32_t lane, uint32_t column) -> uint32_t& {
      return before[block * kHalf + lane * kTensorColumns + column];
    };
    uint32_t parts = c.m == 128 ? 2 : 1;
    if (c.tensor_a) {  // 64 rows stand in the lower and in the upper lanes
      for (uint32_t block = 0; block < 2; ++block) {
        for (uint32_t lane = 0; lane < rows * parts; ++lane) {
          uint8_t bytes[32] = {};
          for (uint32_t k = 0; k < c.depth; ++k) {
            bool container = padded && c.a.bits < 8;
            put_bits(bytes, container ? k * 8 + (c.a.bits == 4 ? 2 : 0) : k * static_cast<size_t>(c.a.bits),
                     a[block].at(lane % rows, k), c.a.bits);
          }
          std::memcpy(&cell(block, lane, kA), bytes, 32);
        }
      }
    }
    if (c.vectors) {
      for (uint32_t block = 0; block < 2; ++block) {
        for (uint32_t lane = 0; lane < 32; ++lane) {
          for (uint32_t column = kScaleA; column < kScaleA + 64; ++column) {
            uint32_t word = 0;
            for (int i = 0; i < 4; ++i)
              word = word << 8 | (c.e4m3_scales ? 0x28 + generator_() % 32 : 122 + generator_() % 11);
            // Both blocks have the scales of all columns of B.
            if (block == 1 && column >= kScaleB) word = cell(0, lane, column);
            for (uint32_t quarter = 0; quarter < 4; ++quarter)
              cell(block, lane + 32 * quarter, column) = word;
          }
        }
      }
    }
    auto scale = [&](uint32_t block, uint32_t address, uint32_t row, uint32_t k) {
      if (!c.vectors) return 1.0;
      uint32_t bits = cell(block, row % 32, address + row / 32) >> (8 * (k / (c.depth / c.vectors))) & 0xff;
      return c.e4m3_scales ? value_of(bits & 0x7f, kE4m3) : std::ldexp(1.0, static_cast<int>(bits) - 127);
    };
    for (uint32_t block = 0; block < 2 && !integer; ++block) {
      for (uint32_t lane = 0; lane < kTensorLanes; ++lane) {
        for (uint32_t n = 0; n < c.n / parts; ++n) {
          float value = static_cast<float>(static_cast<int>(generator_() % 4001) - 2000) / 64;
          std::memcpy(&cell(block, lane, kD + n), &value, 4);
        }
      }
    }
    if (c.mask) {
      for (uint32_t& m : call.masks) m = generator_();
    }
    call.instruction = c.a.code << 7 | c.b.code << 10 | uint32_t(c.transpose_a) << 15 |
                       uint32_t(c.transpose_b) << 16 | (c.n / 8) << 17 | (c.m / 16) << 24;
    call.instruction |= c.vectors ? uint32_t(!c.e4m3_scales) << 23 : (integer ? 2u : 1u) << 4;
    std::vector<uint32_t> after = instruction.run(shared, before, call);
    ASSERT_EQ(instruction.error, "");
    for (uint32_t row = 0; row < c.m; ++row) {
      for (uint32_t n = 0; n < c.n; ++n) {
        uint32_t block = row / rows, r = row % rows;
        uint32_t lane = r + (parts == 2 && n >= c.n / 2 ? 64 : 0), column = kD + n % (c.n / parts);
        if (call.masks[block * 4 + lane / 32] >> lane % 32 & 1) continue;
        double sum = 0, magnitude = 0;
        for (uint32_t k = 0; k < c.depth; ++k) {
          double product = value_of(a[block].at(r, k), c.a) * scale(block, kScaleA, r, k) *
                           value_of(b[n / columns].at(n % columns, k), c.b) * scale(block, kScaleB, n, k);
          sum += product;
          magnitude += std::fabs(product);
        }
        uint32_t old = cell(block, lane, column);
        uint32_t& got = after[block * kHalf + lane * kTensorColumns + column];
        if (integer) {
          ASSERT_EQ(got, static_cast<uint32_t>(static_cast<int64_t>(sum)) + (c.enable ? old : 0))
              << row << " " << n;
        } else {
          float value;
          std::memcpy(&value, &old, 4);
          if (c.enable) sum += value, magnitude += std::fabs(value);
          std::memcpy(&value, &got, 4);
          ASSERT_NEAR(value, sum, c.depth * magnitude * std::ldexp(1.0, -24)) << row << " " << n;
        }
        got = old;
      }
    }
    ASSERT_TRUE(after == before) << "something beside D changed";
  }
  std::map<std::string, std::unique_ptr<TensorInstruction>> kernels_;
  std::mt19937 generator_{11};
};

TEST_F(Tcgen05Pairs, Shapes) {
  for (uint32_t m : {128u, 256u}) {
    for (uint32_t n : {32u, 64u, 240u, 256u})
      check({.instruction = "f16", .a = kBf16, .b = kBf16, .m = m, .n = n, .depth = 16});
    check({.instruction = "f16", .a = kF16, .b = kBf16, .m = m, .n = 16, .depth = 16, .enable = false});
  }
}

TEST_F(Tcgen05Pairs, Layouts) {
  for (uint32_t m : {128u, 256u}) {
    for (uint32_t mode : {0u, 4u, 6u})
      check({.instruction = "f16", .a = kBf16, .b = kF16, .m = m, .n = 128, .depth = 16, .mode = mode});
    for (int transposed = 1; transposed < 4; ++transposed)
      check({.instruction = "f16",
             .a = kBf16,
             .b = kBf16,
             .m = m,
             .n = 128,
             .depth = 16,
             .transpose_a = bool(transposed & 1),
             .transpose_b = bool(transposed & 2)});
    check({.instruction = "f16", .a = kBf16, .b = kBf16, .m = m, .n = 64, .depth = 16, .tensor_a = true});
    check({.instruction = "f16", .a = kBf16, .b = kBf16, .m = m, .n = 64, .depth = 16, .mask = true});
  }
}

TEST_F(Tcgen05Pairs, Kinds) {
  for (uint32_t m : {128u, 256u}) {
    check({.instruction = "tf32", .a = kTf32, .b = kTf32, .m = m, .n = 64, .depth = 8});
    check({.instruction = "f8f6f4", .a = kE4m3, .b = kE5m2, .m = m, .n = 64, .depth = 32});
    check({.instruction = "f8f6f4", .a = kE2m3, .b = kE2m1, .m = m, .n = 64, .depth = 32});
    check({.instruction = "f8f6f4", .a = kE2m1, .b = kE3m2, .m = m, .n = 96, .depth = 32, .tensor_a = true});
    check({.instruction = "i8", .a = kU8, .b = kS8, .m = m, .n = 64, .depth = 32});
  }
}

TEST_F(Tcgen05Pairs, BlockScales) {
  for (uint32_t m : {128u, 256u}) {
    for (uint32_t n : {64u, 256u}) {
      check({.instruction = "mxf8f6f4.block_scale",
             .a = kE4m3,
             .b = kE2m1,
             .m = m,
             .n = n,
             .depth = 32,
             .vectors = 1});
      check({.instruction = "mxf4.block_scale",
             .a = kPackedE2m1,
             .b = kPackedE2m1,
             .m = m,
             .n = n,
             .depth = 64,
             .vectors = 2});
      check({.instruction = "mxf4nvf4.block_scale.scale_vec::4X",
             .a = kPackedE2m1,
             .b = kPackedE2m1,
             .m = m,
             .n = n,
             .depth = 64,
             .vectors = 4,
             .e4m3_scales = true});
    }
  }
}

TEST_F(Tcgen05Pairs, Copies) {
  // 32 rows of 16 bytes, repeated for the quarters of the lanes; each block copies its own.
  std::vector<uint8_t> shared(2 * 512);
  for (size_t i = 0; i < shared.size(); ++i) shared[i] = static_cast<uint8_t>(generator_());
  std::vector<uint32_t> before = random_tensor(1), other = random_tensor(2);
  before.insert(before.end(), other.begin(), other.end());
  TensorCall call;
  call.descriptor_a = uint64_t(1) << 46 | uint64_t(8) << 32 | uint64_t(1) << 16;
  call.d = 100;
  TensorInstruction& instruction = kernel("tcgen05.cp.cta_group::2.32x128b.warpx4 [%d], %da;");
  std::vector<uint32_t> after = instruction.run(shared, before, call);
  ASSERT_EQ(instruction.error, "");
  for (uint32_t block = 0; block < 2; ++block) {
    for (uint32_t lane = 0; lane < kTensorLanes; ++lane)
      std::memcpy(&before[block * kHalf + lane * kTensorColumns + 100],
                  shared.data() + block * 512 + lane % 32 * 16, 16);
  }
  EXPECT_TRUE(after == before);
}

// --- what goes wrong ---
const char kPairFunctions[] = R"(
  __shared__ u32 slot; __shared__ __align__(8) u64 bar;
  auto alloc = [&](u32 columns) { asm volatile("tcgen05.alloc.cta_group::2.sync.aligned.shared::cta.b32 [%0], %1;" ::"r"(at(&slot)), "r"(columns) : "memory"); };
  auto dealloc = [&](u32 columns) { asm volatile("tcgen05.dealloc.cta_group::2.sync.aligned.b32 %0, %1;" ::"r"(slot), "r"(columns) : "memory"); };
)";

std::string error_of(const std::string& body, int blocks = 2) {
  return run_cluster(kPairFunctions + body, blocks, 32, 0, 64, {}, "sm_100a").error;
}

TEST(Tcgen05PairFaults, Allocation) {
  EXPECT_EQ(error_of("alloc(64); dealloc(64);"), "");
  // One block is late: the other waits for it.
  EXPECT_EQ(error_of("if (rank == 1) for (int i = 0; i < 3000; ++i) p[1] += i; alloc(64); dealloc(64);"), "");
  EXPECT_THAT(error_of("alloc(rank ? 64 : 128); dealloc(64);"), HasSubstr("both must ask for the same"));
  EXPECT_THAT(error_of("if (rank == 0) alloc(64); sync();"), HasSubstr("deadlock"));
  EXPECT_THAT(error_of("alloc(64); if (rank) dealloc(64);"),
              HasSubstr("the block ended without deallocating"));
  EXPECT_THAT(error_of("alloc(64); dealloc(64);", 1), HasSubstr("needs the other block of a pair"));
}

// Zeros times zeros into 32 columns, from shared memory that both blocks wrote.
std::string product(const std::string& before, const std::string& after, const std::string& fenced = "1") {
  return "const bool FENCED = " + fenced +
         "; __shared__ __align__(1024) u32 s[4096]; for (int i = t; i < 4096; i += 32) s[i] = 0;"
         "if (FENCED) asm volatile(\"fence.proxy.async.shared::cta;\" ::: \"memory\"); alloc(32); if (t == "
         "0) "
         "init(at(&bar), 1);" +
         before +
         "u64 d = (u64)2 << 61 | (u64)1 << 46 | (u64)64 << 32 | (u64)1 << 16 | (at(s) & 0x3ffff) >> 4;"
         "auto multiply = [&] { asm volatile(\"{.reg .pred p;\\nsetp.ne.u32 p, 0, "
         "0;\\ntcgen05.mma.cta_group::2.kind::f16 [%0], %1, %1, %2, p;}\" "
         "::\"r\"(slot), \"l\"(d), \"r\"(1 << 4 | 4 << 17 | 8 << 24) : \"memory\");"
         "asm "
         "volatile(\"tcgen05.commit.cta_group::2.mbarrier::arrive::one.shared::cluster.multicast::cluster."
         "b64 [%0], %1;\" "
         "::\"r\"(at(&bar)), \"h\"((unsigned short)3) : \"memory\"); };" +
         after;
}
const char kRead[] =
    "asm volatile(\"tcgen05.fence::after_thread_sync;\"); u32 v; asm "
    "volatile(\"tcgen05.ld.sync.aligned.32x32b.x1.b32 {%0}, [%1];\\n"
    "tcgen05.wait::ld.sync.aligned;\" : \"=r\"(v) : \"r\"(slot)); p[rank * 32 + t] = v; ";

TEST(Tcgen05PairFaults, Products) {
  std::string read = kRead, wait = "wait_for(at(&bar), 0); ",
              issue = "if (rank == 0 && t == 0) multiply(); __syncwarp(); ";
  EXPECT_EQ(error_of(product("sync();", issue + wait + read + "dealloc(32); sync();")), "");
  // Each block's operands need a proxy fence, also those that the other block's product reads.
  for (const char* who : {"0", "1"}) {
    EXPECT_THAT(error_of(product("sync();", issue + wait + read + "dealloc(32); sync();",
                                 std::string("rank == ") + who)),
                HasSubstr("missing-proxy-fence"))
        << who;
  }
  // The odd block reads before the commit reached its mbarrier.
  EXPECT_THAT(error_of(product("sync();", issue + "sync();" + read + wait + "dealloc(32); sync();")),
              HasSubstr("async-too-early"));
  // Its shared memory is read before it is known to be written, or is changed too early.
  EXPECT_THAT(error_of(product("", issue + wait + read + "dealloc(32); sync();")),
              testing::AnyOf(HasSubstr("race"), HasSubstr("uninitialised"), HasSubstr("mbarrier")));
  EXPECT_THAT(error_of(product("sync();",
                               issue + "if (rank == 1) s[t] = 1; " + wait + read + "dealloc(32); sync();")),
              testing::AnyOf(HasSubstr("race"), HasSubstr("was changed before")));
  EXPECT_EQ(error_of(product("sync();",
                             issue + wait + "if (rank == 1) s[t] = 1; " + read + "dealloc(32); sync();")),
            "");
  // Deallocated while the other block's product writes it.
  EXPECT_THAT(error_of(product("sync();", issue + "sync(); if (rank == 1) dealloc(32); " + wait +
                                              "if (rank == 0) dealloc(32); sync();")),
              HasSubstr("is deallocated, but"));
  EXPECT_THAT(error_of(product("sync();", "if (rank == 1 && t == 0) multiply(); __syncwarp(); " + wait +
                                              read + "dealloc(32); sync();")),
              HasSubstr("only the even block"));
}

}  // namespace
}  // namespace rtjit

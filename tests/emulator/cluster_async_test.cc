// Asynchronous stores, reductions and copies between the blocks of a cluster.
#include <gmock/gmock.h>

#include <algorithm>

#include "tests/emulator/cluster_harness.h"
#include "tests/emulator/instruction_harness.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

// A kernel's start: `bar` expects `bytes` in every block, and all of them know.
std::string expecting(const std::string& bytes) {
  return "__shared__ __align__(8) u64 bar; if (t == 0) { init(at(&bar), 1); expect(at(&bar), " + bytes +
         "); } sync();\n";
}

TEST(ClusterAsync, StoresOfEveryTypeAndVector) {
  for (const char* type : {"b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"}) {
    bool wide = std::string(type).ends_with("64");
    for (int vector : {1, 2, 4}) {
      if (wide && vector == 4) continue;
      for (const char* form : {"weak.shared::cluster.mbarrier::complete_tx::bytes",
                               "shared::cluster.mbarrier::complete_tx::bytes"}) {
        int words = vector * (wide ? 2 : 1);
        std::string list, declare, width = wide ? "64" : "32";
        for (int i = 0; i < vector; ++i) {
          std::string v = "v" + std::to_string(i);
          declare +=
              ".reg .b" + width + " " + v + "; " +
              (wide ? "mov.b64 " + v + ", {%2, %2}; add.u64 " + v + ", " + v + ", " + std::to_string(i) + ";"
                    : "add.u32 " + v + ", %2, " + std::to_string(i) + ";");
          list += (i ? ", " : "") + v;
        }
        if (vector > 1) list = "{" + list + "}";
        std::string suffix = (vector > 1 ? ".v" + std::to_string(vector) : std::string()) + "." + type;
        ClusterRun run = run_cluster(
            "__shared__ __align__(16) u32 s[32 * 4];\n" + expecting(std::to_string(32 * words * 4)) +
                "u32 next = (rank + 1) % ranks; asm volatile(\"{" + declare + "\\nst.async." + form + suffix +
                " [%0], " + list + ", [%1];}\" ::\"r\"(peer(at(s + t * " + std::to_string(words) +
                "), next)), \"r\"(peer(at(&bar), next)), \"r\"(0x7f800000u + 100 * rank + t) : \"memory\");\n"
                "wait_for(at(&bar), 0); for (int i = 0; i < " +
                std::to_string(words) + "; ++i) p[rank * 128 + t * " + std::to_string(words) +
                " + i] = s[t * " + std::to_string(words) + " + i]; sync();",
            3);
        ASSERT_EQ(run.error, "") << type << vector;
        for (uint32_t rank = 0; rank < 3; ++rank) {
          for (uint32_t t = 0; t < 32; ++t) {
            for (int i = 0; i < words; ++i) {
              uint32_t base = 0x7f800000u + 100 * ((rank + 2) % 3) + t;
              uint32_t expected =
                  wide ? base + (i % 2 ? 0 : static_cast<uint32_t>(i / 2)) : base + static_cast<uint32_t>(i);
              EXPECT_EQ(run.out[rank * 128 + t * static_cast<uint32_t>(words) + static_cast<uint32_t>(i)],
                        expected)
                  << type << vector << " word " << i;
            }
          }
        }
      }
    }
  }
}

// Block 1 applies an operation to each of block 0's elements; the oracle does the same with one pair.
template <class T, class F>
void check_reduction(const std::string& form, F oracle) {
  std::vector<T> corners = corner_values<T>(), a, b;
  for (T x : corners) {
    for (T y : corners) a.push_back(x), b.push_back(y);
  }
  auto count = static_cast<int>(a.size());
  std::string type = sizeof(T) == 8 ? "u64" : "u32", constraint = sizeof(T) == 8 ? "l" : "r";
  Emulator emulator("sm_90a");
  emulator.compile(
      std::string(kClusterFunctions) + "extern \"C\" __global__ void k(" + type + "* p, const " + type +
      "* b, int n) { extern __shared__ __align__(16) " + type +
      " s[]; u32 rank, t = threadIdx.x;\n"
      "asm volatile(\"mov.u32 %0, %%cluster_ctarank;\" : \"=r\"(rank));\n"
      "for (int i = t; i < n; i += 32) s[i] = p[i];\n" +
      expecting("n * sizeof(*s)") +
      "if (rank == 1) for (int i = t; i < n; i += 32) asm "
      "volatile(\"red.async.relaxed.cluster.shared::cluster."
      "mbarrier::complete_tx::bytes." +
      form + " [%0], %1, [%2];\" ::\"r\"(peer(at(s + i), 0)), \"" + constraint +
      "\"(b[i]), \"r\"(peer(at(&bar), 0)) : \"memory\");\n"
      "if (rank == 0) { wait_for(at(&bar), 0); for (int i = t; i < n; i += 32) p[i] = s[i]; } sync(); }");
  auto pa = emulator.buffer(a), pb = emulator.buffer(b);
  emulator.cluster(2);
  Status status = emulator.run("k", 2, 32, static_cast<uint32_t>(a.size() * sizeof(T)), pa, pb, count);
  ASSERT_TRUE(status.ok()) << form << ": " << status.error().message;
  std::vector<T> got = emulator.read(pa);
  for (size_t i = 0; i < a.size(); ++i) {
    T expected = static_cast<T>(oracle(a[i], b[i]));
    ASSERT_EQ(got[i], expected) << form << " " << a[i] << " " << b[i];
  }
}

// The same as one bulk reduction of block 1's shared memory into block 0's.
template <class T, class F>
void check_bulk_reduction(const std::string& form, F oracle) {
  std::vector<T> corners = corner_values<T>(), a, b;
  for (T x : corners) {
    for (T y : corners) a.push_back(x), b.push_back(y);
  }
  while (a.size() % 4) a.push_back(1), b.push_back(2);
  std::string type = sizeof(T) == 8 ? "u64" : "u32";
  Emulator emulator("sm_90a");
  emulator.compile(
      std::string(kClusterFunctions) + "extern \"C\" __global__ void k(" + type + "* p, const " + type +
      "* b, int n) { extern __shared__ __align__(16) " + type +
      " s[]; u32 rank, t = threadIdx.x;\n"
      "asm volatile(\"mov.u32 %0, %%cluster_ctarank;\" : \"=r\"(rank));\n"
      "for (int i = t; i < n; i += 32) s[i] = rank ? b[i] : p[i];\n"
      "asm volatile(\"fence.proxy.async.shared::cta;\" ::: \"memory\");\n" +
      expecting("n * sizeof(*s)") +
      "if (rank == 1 && t == 0) asm "
      "volatile(\"cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes." +
      form +
      " [%0], [%1], %2, [%3];\" ::\"r\"(peer(at(s), 0)), \"r\"(at(s)), \"r\"(n * (int)sizeof(*s)), "
      "\"r\"(peer(at(&bar), 0)) : \"memory\");\n"
      "if (rank == 0) { wait_for(at(&bar), 0); for (int i = t; i < n; i += 32) p[i] = s[i]; } sync(); }");
  auto pa = emulator.buffer(a), pb = emulator.buffer(b);
  emulator.cluster(2);
  Status status = emulator.run("k", 2, 32, static_cast<uint32_t>(a.size() * sizeof(T)), pa, pb,
                               static_cast<int>(a.size()));
  ASSERT_TRUE(status.ok()) << form << ": " << status.error().message;
  std::vector<T> got = emulator.read(pa);
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(got[i], static_cast<T>(oracle(a[i], b[i]))) << form << " " << a[i] << " " << b[i];
}

template <class T, class F>
void check_both_reductions(const std::string& form, F oracle) {
  check_reduction<T>(form, oracle);
  check_bulk_reduction<T>(form, oracle);
}

TEST(ClusterAsync, Reductions) {
  using U = uint32_t;
  auto s = [](U x) { return static_cast<int32_t>(x); };
  check_both_reductions<U>("add.u32", [](U a, U b) { return a + b; });
  check_both_reductions<U>("add.s32", [](U a, U b) { return a + b; });
  check_both_reductions<uint64_t>("add.u64", [](uint64_t a, uint64_t b) { return a + b; });
  check_both_reductions<U>("min.u32", [](U a, U b) { return a < b ? a : b; });
  check_both_reductions<U>("max.u32", [](U a, U b) { return a > b ? a : b; });
  check_both_reductions<U>("min.s32", [&](U a, U b) { return s(a) < s(b) ? a : b; });
  check_both_reductions<U>("max.s32", [&](U a, U b) { return s(a) > s(b) ? a : b; });
  check_both_reductions<U>("inc.u32", [](U a, U b) { return a >= b ? 0 : a + 1; });
  check_both_reductions<U>("dec.u32", [](U a, U b) { return a == 0 || a > b ? b : a - 1; });
  check_both_reductions<U>("and.b32", [](U a, U b) { return a & b; });
  check_both_reductions<U>("or.b32", [](U a, U b) { return a | b; });
  check_both_reductions<U>("xor.b32", [](U a, U b) { return a ^ b; });
}

TEST(ClusterAsync, ManyReductionsOfOneElement) {
  ClusterRun run = run_cluster(
      "__shared__ u32 s[2]; if (t < 2) s[t] = 5;\n" + expecting("ranks * 64 * 4") +
          "asm volatile(\"red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u32 "
          "[%0], %1, [%2];\" ::\"r\"(peer(at(s + t % 2), 0)), \"r\"(t + rank), \"r\"(peer(at(&bar), 0)) : "
          "\"memory\");"
          "if (rank == 0) { wait_for(at(&bar), 0); if (t < 2) p[t] = s[t]; } sync();",
      4, 64);
  ASSERT_EQ(run.error, "");
  EXPECT_EQ(run.out[0], 5u + 4 * 992 + 6 * 32);
  EXPECT_EQ(run.out[1], 5u + 4 * 1024 + 6 * 32);
}

TEST(ClusterAsync, CopyToAnotherBlock) {
  for (const char* from : {"r", "l"}) {
    ClusterRun run = run_cluster(
        "__shared__ __align__(16) u32 s[64], d[64]; s[t] = 1000 * rank + t; s[t + 32] = ~t;\n" +
            expecting("256") +
            "asm volatile(\"fence.proxy.async.shared::cta;\" ::: \"memory\"); u32 next = (rank + 1) % ranks;"
            "if (t == 0) asm "
            "volatile(\"cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
            "[%0], [%1], %2, [%3];\" ::\"r\"(peer(at(d), next)), \"" +
            std::string(from) + "\"(" + (*from == 'r' ? "at(s)" : "(u64)__cvta_generic_to_shared(s)") +
            "), \"r\"(256), \"r\"(peer(at(&bar), next)) : \"memory\");"
            "__syncwarp(); wait_for(at(&bar), 0); p[rank * 64 + t] = d[t]; p[rank * 64 + t + 32] = d[t + "
            "32]; sync();",
        3);
    ASSERT_EQ(run.error, "");
    for (uint32_t rank = 0; rank < 3; ++rank) {
      for (uint32_t t = 0; t < 32; ++t) {
        EXPECT_EQ(run.out[rank * 64 + t], (rank + 2) % 3 * 1000 + t);
        EXPECT_EQ(run.out[rank * 64 + 32 + t], ~t);
      }
    }
  }
}

// Block 1 copies 256 bytes to the blocks of the mask; each of them waits for its own mbarrier.
std::string multicast(uint32_t mask, const std::string& expected_bytes = "256") {
  return "__shared__ __align__(16) u32 d[64];\n" + expecting(expected_bytes) +
         "u32 mask = " + std::to_string(mask) +
         "; if (rank == 1 && t == 0) asm "
         "volatile(\"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes."
         "multicast::cluster [%0], [%1], %2, [%3], %4;\" ::\"r\"(at(d)), \"l\"(p), \"r\"(256), "
         "\"r\"(at(&bar)), "
         "\"h\"((unsigned short)mask) : \"memory\");\n"
         "if (mask >> rank & 1) { wait_for(at(&bar), 0); p[64 + rank * 64 + t] = d[t] + t + 1; p[64 + rank * "
         "64 + t + 32] = d[t + 32] + t + 33; } sync();";
}

TEST(ClusterAsync, Multicast) {
  for (uint32_t mask : {1u, 2u, 0xau, 0xfu, 0x5u}) {
    ClusterRun run = run_cluster(multicast(mask), 4);
    ASSERT_EQ(run.error, "") << mask;
    for (uint32_t rank = 0; rank < 4; ++rank) {
      for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(run.out[64 + rank * 64 + i], mask >> rank & 1 ? i + 1 : 0);
    }
  }
  EXPECT_THAT(run_cluster(multicast(0x12), 4).error,
              HasSubstr("a multicast to blocks 0x12 of a cluster of 4 blocks"));
  EXPECT_THAT(run_cluster(multicast(0), 4).error, HasSubstr("a multicast to blocks 0x0"));
  EXPECT_THAT(run_cluster(multicast(0xf, "rank == 2 ? 272 : 256"), 4).error, HasSubstr("deadlock"));
}

const char kTensorKernel[] = R"(
struct alignas(64) Map { char bytes[128]; };
extern "C" __global__ void k(const __grid_constant__ Map map, u32* p, u32 mask) {
  __shared__ __align__(128) u32 s[2][64]; __shared__ __align__(8) u64 bar;
  u32 rank, t = threadIdx.x; asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  if (t == 0) { init(at(&bar), 1); EXPECT }
  sync();
  COPY
  WAIT
  for (int i = t; i < 128; i += 32) if (mask >> rank & 1) p[rank * 128 + i] = s[i / 64][i % 64];
  sync();
})";

ClusterRun run_tensor(const std::string& expect, const std::string& copy, const std::string& wait,
                      uint32_t mask, int blocks, const char* target = "sm_90a") {
  Emulator emulator(target);
  std::string text = kTensorKernel;
  for (auto [name, with] :
       {std::pair<std::string, std::string>{"EXPECT", expect}, {"COPY", copy}, {"WAIT", wait}})
    text.replace(text.find(name), name.size(), with);
  emulator.compile(kClusterFunctions + text);
  std::vector<uint32_t> values(16 * 16);
  for (uint32_t i = 0; i < 256; ++i) values[i] = i + 1;
  auto tensor = emulator.buffer(values);
  auto out = emulator.buffer(std::vector<uint32_t>(1024, 0));
  TensorMapRequest request;
  request.base = tensor.address;
  request.dtype = DType::i32;
  request.rank = 2;
  request.dims = {16, 16};
  request.strides = {64};
  request.box = {8, 8};
  TensorMapBytes map;
  EXPECT_TRUE(emulator.device().encode_tensor_map(request, &map).ok());
  emulator.cluster(blocks);
  Status status = emulator.run("k", blocks, 32, 0, map, out, mask);
  if (!status.ok()) return {status.error().message, {}};
  return {"", emulator.read(out)};
}

// The tile at column x, row y, element i.
uint32_t element(uint32_t x, uint32_t y, uint32_t i) {
  return x + i % 8 < 16 && y + i / 8 < 16 ? (y + i / 8) * 16 + x + i % 8 + 1 : 0;
}

TEST(ClusterAsync, TensorMulticast) {
  // Two blocks load halves for everybody, as a GEMM shares its operands.
  std::string copy =
      R"(if (t == 0 && rank < 2) asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;"
                     ::"r"(at(s[rank])), "l"(&map), "r"(rank * 12), "r"(rank * 8), "r"(at(&bar)), "h"((unsigned short)mask) : "memory");)";
  for (uint32_t mask : {0xfu, 0xcu}) {
    ClusterRun run =
        run_tensor("expect(at(&bar), 512);", copy, "if (mask >> rank & 1) wait_for(at(&bar), 0);", mask, 4);
    ASSERT_EQ(run.error, "");
    for (uint32_t rank = 0; rank < 4; ++rank) {
      for (uint32_t i = 0; i < 128; ++i)
        EXPECT_EQ(run.out[rank * 128 + i], mask >> rank & 1 ? element(i / 64 * 12, i / 64 * 8, i % 64) : 0);
    }
  }
}

TEST(ClusterAsync, TensorCopiesOfPairs) {
  // With .cta_group::2 both blocks of a pair load their own tile and complete on the mbarrier of the even
  // one.
  std::string copy =
      R"(if (t == 0) for (int i = 0; i < 2; ++i) asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.cta_group::2 [%0], [%1, {%2, %3}], [%4];"
                     ::"r"(at(s[i])), "l"(&map), "r"(rank * 4), "r"(i * 8), "r"(at(&bar) & 0xfeffffffu) : "memory");)";
  std::string expect = "if (rank % 2 == 0) expect(at(&bar), 1024);";
  std::string wait = "if (rank % 2 == 0) { wait_for(at(&bar), 0); } sync();";
  ClusterRun run = run_tensor(expect, copy, wait, 0xf, 4, "sm_100a");
  ASSERT_EQ(run.error, "");
  for (uint32_t rank = 0; rank < 4; ++rank) {
    for (uint32_t i = 0; i < 128; ++i)
      EXPECT_EQ(run.out[rank * 128 + i], element(rank * 4, i / 64 * 8, i % 64));
  }
  // Without it the mbarrier must be the destination's.
  std::string other = copy;
  other.replace(other.find(".cta_group::2"), 13, "");
  EXPECT_THAT(run_tensor(expect, other, wait, 0xf, 4, "sm_100a").error,
              HasSubstr("it must be the same block"));
  // Fewer bytes than were expected: nobody goes on.
  std::string less = copy;
  less.replace(less.find("i < 2"), 5, "i < 2 - (rank == 1)");
  EXPECT_THAT(run_tensor(expect, less, wait, 0xf, 4, "sm_100a").error, HasSubstr("deadlock"));
}

TEST(ClusterAsync, TensorMulticastOfPairs) {
  // The even block multicasts to all; each pair's copies complete on the mbarrier of its even block.
  std::string copy =
      R"(if (t == 0 && rank == 0) for (int i = 0; i < 2; ++i) asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster.cta_group::2 [%0], [%1, {%2, %3}], [%4], %5;"
                     ::"r"(at(s[i])), "l"(&map), "r"(i * 4), "r"(i * 8), "r"(at(&bar)), "h"((unsigned short)15) : "memory");)";
  ClusterRun run = run_tensor("if (rank % 2 == 0) expect(at(&bar), 1024);", copy,
                              "if (rank % 2 == 0) { wait_for(at(&bar), 0); } sync();", 0xf, 4, "sm_100a");
  ASSERT_EQ(run.error, "");
  for (uint32_t rank = 0; rank < 4; ++rank) {
    for (uint32_t i = 0; i < 128; ++i)
      EXPECT_EQ(run.out[rank * 128 + i], element(i / 64 * 4, i / 64 * 8, i % 64));
  }
}

}  // namespace
}  // namespace rtjit

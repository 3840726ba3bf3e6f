// Every fault that the emulator looks for is reported with kernel, PTX line, CUDA line, block, thread and
// address. Each stands beside a clean twin that runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

// The fault is planted on line 10 of this source, by thread (1,2,0) of block (1,0,1) where one thread does
// it.
const char kSource[] = R"(using u32 = unsigned; using u64 = unsigned long long;
__device__ u32 at(const void* p) { return (u32)__cvta_generic_to_shared(p); }
extern "C" __global__ void k(int* p, int* fresh) {
  __shared__ __align__(128) int s[256];
  __shared__ __align__(8) u64 bar;
  int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z), w = t / 32, l = t % 32;
  int b = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  bool me = threadIdx.x == 1 && threadIdx.y == 2 && threadIdx.z == 0 && blockIdx.x == 1 && blockIdx.z == 1, my_block = blockIdx.x == 1 && blockIdx.z == 1;
  SETUP
  FAULT
  if (fresh == nullptr) p[0] = s[0] + w + l + b + me + my_block + (int)bar + fresh[0];
}
)";

struct Planted {
  const char* name;
  const char* kind;   // as reports call it
  const char* setup;  // before the line
  const char* fault;  // on the line
  const char* clean;  // its twin
  bool one_thread = true, address = true;
};

constexpr char kInit[] =
    R"(if (t == 0) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(at(&bar)) : "memory"); s[t] = t; __syncthreads();)";
constexpr char kCopy[] =
    R"(if (my_block) asm volatile("cp.async.ca.shared.global [%0], [%1], 4; cp.async.commit_group;" ::"r"(at(&s[t])), "l"(p + t) : "memory");)";

const std::vector<Planted>& planted() {
  static const std::vector<Planted> all = {
      {"global read", "out-of-bounds", "int x = 0;", "if (me) x = ((volatile int*)p)[1024 + 3];",
       "if (me) x = ((volatile int*)p)[1023];"},
      {"global write outside the output", "out-of-bounds", "", "if (me) p[-1] = 1;", "if (me) p[0] = 1;"},
      {"global write beside every buffer", "out-of-bounds", "", "if (me) *(int*)64 = 1;",
       "if (me) p[0] = 1;"},
      {"atomic", "out-of-bounds", "", "if (me) atomicAdd(p + 1024, 1);", "if (me) atomicAdd(p + 1023, 1);"},
      {"vector access", "misaligned", "",
       R"(if (me) asm volatile("st.global.v4.u32 [%0], {%1, %1, %1, %1};" ::"l"(p + 2), "r"(1) : "memory");)",
       R"(if (me) asm volatile("st.global.v4.u32 [%0], {%1, %1, %1, %1};" ::"l"(p + 4), "r"(1) : "memory");)"},
      {"shared vector access", "misaligned", "",
       R"(if (me) asm volatile("st.shared.v2.u32 [%0], {%1, %1};" ::"r"(at(s + 1)), "r"(1) : "memory");)",
       R"(if (me) asm volatile("st.shared.v2.u32 [%0], {%1, %1};" ::"r"(at(s + 2)), "r"(1) : "memory");)"},
      {"shared write", "out-of-bounds", "", "if (me) ((volatile int*)s)[4096] = 1;",
       "if (me) ((volatile int*)s)[255] = 1;"},
      {"shared read", "uninitialised", "int x = 0;", "if (me) x = ((volatile int*)s)[7];",
       "if (me) s[7] = 1, x = ((volatile int*)s)[7];"},
      {"global read of nobody's data", "uninitialised", "int x = 0;",
       "if (me) x = ((volatile int*)fresh)[5];", "if (me) fresh[5] = 1, x = ((volatile int*)fresh)[5];"},
      {"local read", "uninitialised", "volatile int a[8]; int x = 0; a[l & 3] = 1;",
       "if (me) x = a[4 + (l & 3)];", "if (me) x = a[l & 3];"},
      {"race of warps", "race", "s[t] = t; __syncthreads();",
       "if (me) s[9] = 2; if (my_block && w == 1) s[l] = 3;",
       "if (me) s[9] = 2; if (my_block && w == 1) s[64 + l] = 3;", false},
      {"race of lanes", "race", "if (my_block) s[t ^ 1] = 1;", "if (me) s[9] = 2;", "if (me) s[8] = 2;"},
      {"race of blocks", "race", "if (!my_block) p[t & ~1] = 1;", "if (me) p[8] = 2;", "if (me) p[9] = 2;"},
      {"barrier by a part", "barrier", "", "if (my_block && l >= 9 && w == 0) asm volatile(\"bar.sync 0;\");",
       "asm volatile(\"bar.sync 0;\");", true, false},
      {"deadlock", "deadlock", "", "if (my_block && w == 0) asm volatile(\"bar.sync 3, 96;\");",
       "asm volatile(\"bar.sync 3, 64;\");", false, false},
      {"mbarrier that nobody completes", "deadlock", kInit,
       R"(if (my_block) asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], 0; @!P bra L; }" ::"r"(at(&bar)) : "memory");)",
       R"(asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], 1; @!P bra L; }" ::"r"(at(&bar)) : "memory");)",
       false, false},
      {"mbarrier that is not there", "mbarrier", "",
       R"(if (me) asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at(&bar)) : "memory");)",
       R"(if (me) asm volatile("mbarrier.init.shared::cta.b64 [%0], 1; mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at(&bar)) : "memory");)"},
      {"an arrival too many", "mbarrier", kInit,
       R"(if (me) asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], 2;" ::"r"(at(&bar)) : "memory");)",
       R"(if (me) asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], 1;" ::"r"(at(&bar)) : "memory");)"},
      {"phase error", "mbarrier", kInit,
       R"(if (me) asm volatile("{ .reg .pred P; .reg .b64 s, u; mbarrier.arrive.shared::cta.b64 s, [%0]; mbarrier.arrive.shared::cta.b64 u, [%0]; mbarrier.test_wait.shared::cta.b64 P, [%0], s; }" ::"r"(at(&bar)) : "memory");)",
       R"(if (me) asm volatile("{ .reg .pred P; .reg .b64 s, u; mbarrier.arrive.shared::cta.b64 s, [%0]; mbarrier.arrive.shared::cta.b64 u, [%0]; mbarrier.test_wait.shared::cta.b64 P, [%0], u; }" ::"r"(at(&bar)) : "memory");)"},
      {"bytes beyond what an mbarrier counts", "mbarrier", kInit,
       R"(if (me) asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], 1048576;" ::"r"(at(&bar)) : "memory");)",
       R"(if (me) asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], 1048575;" ::"r"(at(&bar)) : "memory");)"},
      {"copy read too early", "async-too-early", kCopy, "if (me) p[t] = s[t];",
       "if (me) { asm volatile(\"cp.async.wait_all;\" ::: \"memory\"); p[t] = s[t]; }"},
      {"copy overwritten too early", "async-too-early", kCopy, "if (me) s[t] = 5;",
       "if (me) { asm volatile(\"cp.async.wait_all;\" ::: \"memory\"); s[t] = 5; }"},
      {"proxy fence", "missing-proxy-fence", kInit,
       R"(if (me) asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], 16;" ::"l"(p), "r"(at(s)) : "memory");)",
       R"(if (me) asm volatile("fence.proxy.async.shared::cta; cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], 16;" ::"l"(p), "r"(at(s)) : "memory");)"},
      {"no progress", "step-budget", "", "if (my_block) while (((volatile int*)p)[0] == 1) ;",
       "if (my_block) while (((volatile int*)p)[0] != 1) ;", false, false},
      {"lanes of a shuffle", "barrier", "int x = 0;",
       "if (my_block && w == 0 && l >= 9) x = __shfl_sync(0xffffffffu, l, 0); asm volatile(\"\" ::\"r\"(x));",
       "x = __shfl_sync(0xffffffffu, l, 0); asm volatile(\"\" ::\"r\"(x));", true, false},
      {"trap", "trap", "", "if (me) __trap();", "", true, false},
  };
  return all;
}

std::string run(const Planted& fault, const char* line) {
  std::string text = kSource;
  text.replace(text.find("SETUP"), 5, fault.setup);
  text.replace(text.find("FAULT"), 5, line);
  EmulatorOptions options;
  options.strictness.steps_per_block = 100000;
  options.strictness.failed_waits_per_block = 1000;
  options.host_threads = 1;
  Emulator emulator("sm_90a", options);
  emulator.compile(text, {"-lineinfo"});
  auto p = emulator.buffer(std::vector<int>(1024, 1));
  auto fresh = emulator.empty<int>(1024);
  Status status = emulator.run("k", {2, 1, 2}, {4, 8, 2}, 0, p, fresh);
  return status.ok() ? "" : status.error().message;
}

TEST(Reports, NameThePlaceOfEveryFault) {
  for (const Planted& fault : planted()) {
    SCOPED_TRACE(fault.name);
    const std::string report = run(fault, fault.fault);
    // kernel k, PTX line 31 (st.global.u32), CUDA line 10, block (1,0,1), thread (1,2,0), address 0x...:
    // kind: ...
    const std::regex form(
        "kernel k, PTX line [0-9]+ \\([a-z][^)]*\\), CUDA line 10, block \\(1,0,1\\), thread " +
        std::string(fault.one_thread ? "\\(1,2,0\\)" : "\\([0-3],[0-7],[01]\\)") +
        (fault.address ? ", address 0x[0-9a-f]+" : "") + ": " + fault.kind + ": .*");
    EXPECT_TRUE(std::regex_match(report, form)) << report;
    EXPECT_EQ(run(fault, fault.clean), "");
  }
}

// What is wrong before any thread runs has no place in the code.
TEST(Reports, ResourcesOfALaunch) {
  auto launch = [](const char* target, Emulator::Dim block, uint32_t shared) {
    Emulator emulator(target);
    emulator.compile(
        "extern \"C\" __global__ void k(int* p) { extern __shared__ int s[]; s[threadIdx.x + blockDim.x * "
        "threadIdx.y] = 1; }");
    auto p = emulator.buffer(std::vector<int>(4, 0));
    Status status = emulator.run("k", 1, block, shared, p);
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(launch("sm_80", {32, 32}, 163 * 1024), "");
  EXPECT_THAT(
      launch("sm_80", {32, 32}, 163 * 1024 + 16),
      HasSubstr("kernel k: resources: 166,928 B of shared memory, the target allows 166,912 B per block"));
  EXPECT_THAT(launch("sm_80", {33, 32}, 8192),
              HasSubstr("kernel k: resources: 1056 threads per block, the limit is 1024"));
}

TEST(Reports, DimensionsOfALaunch) {
  auto launch = [](Emulator::Dim grid, Emulator::Dim block) {
    Emulator emulator("sm_90a");
    emulator.compile("extern \"C\" __global__ void k() {}");
    Status status = emulator.run("k", grid, block, 0);
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(launch({1, 1, 1}, {1, 2, 64}), "");
  EXPECT_THAT(launch({1, 1, 1}, {1, 1, 65}),
              HasSubstr("kernel k: resources: a block of 1x1x65 threads, the limit is 1024x1024x64"));
  EXPECT_EQ(launch({1, 1, 65535}, {1, 1, 1}), "");
  EXPECT_THAT(
      launch({1, 65536, 1}, {1, 1, 1}),
      HasSubstr("kernel k: resources: a grid of 1x65536x1 blocks, the limit is 2147483647x65535x65535"));
  // Their product does not fit 32 bits.
  EXPECT_THAT(launch({1, 1, 1}, {65536, 65536, 1}), HasSubstr("4294967296 threads per block"));
}

TEST(Reports, RegistersOfALaunch) {
  Emulator source("sm_90a");
  source.compile("extern \"C\" __global__ void k() {}");
  auto target = Target::parse("sm_90a");
  ASSERT_TRUE(target.ok());
  auto device = make_emulated_device(*target);
  ASSERT_TRUE(device.ok());
  auto launch = [&](int registers, uint32_t threads) {
    Binary binary;
    binary.ptx = source.ptx();
    binary.kernels.push_back({"k", "k", {}});
    binary.kernels.back().resources.registers = registers;
    auto module = (*device)->load(binary);
    EXPECT_TRUE(module.ok());
    auto kernel = (*module)->kernel("k");
    EXPECT_TRUE(kernel.ok());
    LaunchConfig config;
    config.block = {threads, 1, 1};
    Status status = (*device)->launch(**kernel, config, nullptr, nullptr);
    return status.ok() ? std::string() : status.error().message;
  };
  EXPECT_EQ(launch(128, 512), "");
  EXPECT_THAT(launch(136, 512), HasSubstr("kernel k: resources: 69,632 registers for 512 threads of 136 "
                                          "registers, the target allows 65,536 per block"));
  EXPECT_EQ(launch(255, 32), "");
  EXPECT_THAT(launch(256, 32), HasSubstr("256 registers per thread, the target allows 255"));
}

}  // namespace
}  // namespace rtjit

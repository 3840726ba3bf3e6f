#include "compiler/compile.h"

#include <gmock/gmock.h>

#include "compiler/specialize.h"
#include "tests/compiler/nvrtc_fixture.h"
#include "tests/compiler/request_fixture.h"

namespace rtjit {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kScale =
    "#include \"device/factor.cuh\"\n"
    "namespace demo {\n"
    "enum class Store { plain, scatter4 };\n"
    "template <int N, Store S> __global__ void __launch_bounds__(128) scale(float* p) {\n"
    "  static_assert(RTJIT_SMEM_BYTES == N * 4);\n"
    "  p[threadIdx.x] *= N * kFactor;\n"
    "  if constexpr (S == Store::scatter4)\n"
    "    asm volatile(\"cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group [%0, "
    "{%1,%1,%1,%1,%1}], "
    "[%1];\" ::\"l\"(p), \"r\"(0));\n"
    "}\n"
    "}\n";
const std::map<std::string, std::string> kFactor = {{"device/factor.cuh", "constexpr float kFactor = 3;\n"},
                                                    {"demo/unused.cuh", "nonsense\n"}};

CompileRequest scale_request(const std::string& target, int n = 8, const std::string& store = "plain") {
  CompileRequest request = make_request(
      kScale, "demo::scale<" + std::to_string(n) + ", demo::Store::" + store + ">", target, kFactor);
  request.smem_bytes = n * 4;
  return request;
}

TEST(Specialize, IsAFewReadableLines) {
  EXPECT_EQ(
      specialized_source(scale_request("sm_90a")),
      "// demo::scale<8, demo::Store::plain>\n#define RTJIT_SMEM_BYTES 32\n#include \"demo/kernel.cuh\"\n");
}

TEST(Specialize, KeyCoversEverythingThatDecidesTheBinary) {
  const std::string key = binary_key(scale_request("sm_90a"), "nvrtc 13.0");
  EXPECT_EQ(key.size(), 64u);
  EXPECT_EQ(key, binary_key(scale_request("sm_90a"), "nvrtc 13.0"));
  std::set<std::string> keys = {key};
  keys.insert(binary_key(scale_request("sm_90a"), "nvrtc 13.1"));
  keys.insert(binary_key(scale_request("sm_90"), "nvrtc 13.0"));
  keys.insert(binary_key(scale_request("sm_90a", 9), "nvrtc 13.0"));
  CompileRequest smem = scale_request("sm_90a");
  smem.smem_bytes++;
  keys.insert(binary_key(smem, "nvrtc 13.0"));
  CompileRequest header =
      make_request(kScale, "demo::scale<8, demo::Store::plain>", "sm_90a", {{"device/factor.cuh", "other"}});
  header.smem_bytes = 32;
  keys.insert(binary_key(header, "nvrtc 13.0"));
  EXPECT_EQ(keys.size(), 6u);

  std::map<std::string, std::string> sources = kFactor;
  sources["demo/unused.cuh"] = "edited, but not included";
  CompileRequest unrelated = make_request(kScale, "demo::scale<8, demo::Store::plain>", "sm_90a", sources);
  unrelated.smem_bytes = 32;
  unrelated.time_limit *= 2;
  EXPECT_EQ(key, binary_key(unrelated, "nvrtc 13.0"));
}

class Compile : public NvrtcTest {
 protected:
  std::shared_ptr<const Binary> good(const CompileRequest& request) {
    Result<CompileOutcome> outcome = rtjit::compile(*nvrtc_, request);
    if (!outcome) {
      ADD_FAILURE() << outcome.error().message;
      return std::make_shared<Binary>();
    }
    EXPECT_TRUE(outcome->binary) << outcome->reject.reason << outcome->reject.log;
    return outcome->binary ? outcome->binary : std::make_shared<Binary>();
  }

  CompileReject rejected(const CompileRequest& request) {
    Result<CompileOutcome> outcome = rtjit::compile(*nvrtc_, request);
    if (!outcome) {
      ADD_FAILURE() << outcome.error().message;
      return {};
    }
    EXPECT_FALSE(outcome->binary);
    return outcome->reject;
  }
};

TEST_F(Compile, GivesABinaryWithItsFacts) {
  std::shared_ptr<const Binary> binary = good(scale_request("sm_120a"));
  EXPECT_EQ(binary->key, binary_key(scale_request("sm_120a"), nvrtc_->version()));
  EXPECT_EQ(binary->compiler, nvrtc_->version());
  ASSERT_EQ(binary->kernels.size(), 1u);
  const Binary::Kernel& kernel = binary->kernels[0];
  EXPECT_EQ(kernel.name_expression, "demo::scale<8, demo::Store::plain>");
  EXPECT_EQ(kernel.symbol, kernel.resources.symbol);
  EXPECT_GT(kernel.resources.registers, 0);
  EXPECT_EQ(kernel.resources.max_threads, 128);
  EXPECT_EQ(kernel.resources.spill_stores, 0);
  EXPECT_THAT(binary->ptx, HasSubstr(kernel.symbol));
  EXPECT_THAT(binary->log, HasSubstr("Used"));
  EXPECT_THAT(binary->features, IsEmpty());
  EXPECT_GT(binary->compile_ms, 0);
}

TEST_F(Compile, SeveralKernelsOfOneSource) {
  CompileRequest request = scale_request("sm_90a");
  request.name_expressions.push_back("demo::scale<8, demo::Store(0)>");
  request.name_expressions.push_back("demo::other");
  auto tmpl = std::make_shared<Template>(*request.tmpl);
  tmpl->sources["demo/kernel.cuh"] += "namespace demo { __global__ void other() {} }\n";
  request.tmpl = tmpl;
  std::shared_ptr<const Binary> binary = good(request);
  ASSERT_EQ(binary->kernels.size(), 3u);
  EXPECT_EQ(binary->kernels[0].symbol, binary->kernels[1].symbol);
  EXPECT_EQ(binary->kernels[2].symbol, "_ZN4demo5otherEv");
}

TEST_F(Compile, SpillsComeFromTheAssembler) {
  const char* source =
      "__global__ void __launch_bounds__(1024) many(float* p) {\n float a[90];\n#pragma unroll\n"
      " for (int i = 0; i < 90; i++) a[i] = p[i * 1024 + threadIdx.x];\n for (int k = 0; k < p[0]; k++) {\n"
      "#pragma unroll\n  for (int i = 0; i < 90; i++) a[i] = a[i] * a[(i + 7) % 90] + p[i];\n }\n#pragma "
      "unroll\n"
      " for (int i = 0; i < 90; i++) p[i * 1024 + threadIdx.x] = a[i];\n}\n";
  std::shared_ptr<const Binary> binary = good(make_request(source, "many"));
  ASSERT_EQ(binary->kernels.size(), 1u);
  const KernelResources& resources = binary->kernels[0].resources;
  EXPECT_GT(resources.spill_stores, 100);
  EXPECT_NE(resources.spill_stores, resources.stack);
  EXPECT_THAT(binary->log, HasSubstr(std::to_string(resources.spill_stores) + " bytes spill stores"));
}

TEST_F(Compile, DeclaredFeaturesAreCheckedFirst) {
  CompileRequest request = scale_request("sm_121a", 8, "scatter4");
  request.declared_features = {"cp.async", "tma.tile.scatter4"};
  EXPECT_EQ(rejected(request).kind, "feature");
  EXPECT_EQ(rejected(request).reason, "feature: tma.tile.scatter4 is not supported by sm_121a");
}

TEST_F(Compile, UndeclaredFeaturesAreRejectedByName) {
  CompileReject reject = rejected(scale_request("sm_121a", 8, "scatter4"));
  EXPECT_EQ(reject.kind, "feature");
  EXPECT_THAT(reject.reason,
              HasSubstr("feature: tma.tile.scatter4 is not supported by sm_121a (used at PTX line "));
  EXPECT_THAT(reject.reason, HasSubstr("cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4"));
  EXPECT_THAT(reject.log, Not(HasSubstr("not supported on .target")));  // not in the assembler's words

  CompileRequest feasible = scale_request("sm_100a", 8, "scatter4");
  feasible.declared_features = {"cp.async"};
  std::shared_ptr<const Binary> binary = good(feasible);
  EXPECT_THAT(binary->undeclared_features, ElementsAre("tma.tile.scatter4"));
  feasible.declared_features = {"tma.tile.scatter4"};
  EXPECT_THAT(good(feasible)->undeclared_features, IsEmpty());
}

// Numbers alone may choose the instruction.
TEST_F(Compile, FeatureChosenByANumberIsStillNamed) {
  const char* source =
      "template <int N> __global__ void pick(float* p) {\n"
      "  if constexpr (N > 4) asm volatile(\"setmaxnreg.inc.sync.aligned.u32 128;\");\n  p[0] = N;\n}\n";
  good(make_request(source, "pick<2>", "sm_120"));
  const CompileReject reject = rejected(make_request(source, "pick<8>", "sm_120"));
  EXPECT_EQ(reject.kind, "feature");
  EXPECT_THAT(reject.reason, HasSubstr("setmaxnreg is not supported by sm_120 (used at PTX line"));
}

// An instruction that the scanner has no name for is still a feature reject, in the assembler's words.
TEST_F(Compile, NamelessFeaturesKeepTheAssemblersWords) {
  const char* source =
      "__global__ void k(float* p) { asm volatile(\"max.f32 %0, %0, %0, %0;\" : \"+f\"(p[0])); }\n";
  CompileReject reject = rejected(make_request(source, "k", "sm_90a"));
  EXPECT_EQ(reject.kind, "feature");
  EXPECT_THAT(reject.reason, HasSubstr("'max.f32 with 3 input operands' is not supported by sm_90a"));
  EXPECT_THAT(reject.log, HasSubstr("max.f32"));
}

TEST_F(Compile, SharedMemoryBeyondTheTarget) {
  CompileRequest request = scale_request("sm_120a");
  request.smem_bytes = 139264;
  EXPECT_EQ(rejected(request).kind, "smem");
  EXPECT_EQ(rejected(request).reason, "smem: needs 139,264 B, sm_120a allows 101,376 B per block");

  const char* declares =
      "__global__ void k(float* p) { __shared__ float s[30000]; s[threadIdx.x] = p[0]; __syncthreads(); p[1] "
      "= "
      "s[threadIdx.x * 3]; }";
  CompileReject reject = rejected(make_request(declares, "k", "sm_120a"));
  EXPECT_EQ(reject.reason, "smem: needs 120,000 B, sm_120a allows 101,376 B per block");
  EXPECT_THAT(reject.log, HasSubstr("uses too much shared data"));
  EXPECT_EQ(rejected(make_request(declares, "k", "sm_80")).reason,
            "smem: needs 120,000 B, sm_80 allows 49,152 B of declared (not dynamic) shared memory per block");
}

TEST_F(Compile, RegistersThatDoNotSuffice) {
  std::string operands, list;
  for (int i = 0; i < 128; ++i) {
    operands += (i ? ", %" : "%") + std::to_string(i);
    list += (i ? ", \"+f\"(a[" : "\"+f\"(a[") + std::to_string(i) + "])";
  }
  std::string source =
      "__global__ void __launch_bounds__(1024) k(float* p) {\n  float a[128];\n"
      "  for (int i = 0; i < 128; i++) a[i] = p[i];\n"
      "  asm volatile(\"wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {" +
      operands + "}, %128, %129, 1, 1, 1, 0, 0;\" : " + list +
      " : \"l\"((unsigned long long)p), \"l\"((unsigned long long)p));\n"
      "  for (int i = 0; i < 128; i++) p[i] = a[i];\n}\n";
  CompileReject reject = rejected(make_request(source, "k"));
  EXPECT_EQ(reject.kind, "registers");
  EXPECT_EQ(reject.reason, "registers: ptxas could not allocate (64)");
}

TEST_F(Compile, CompilerErrorsKeepTheirText) {
  CompileReject reject = rejected(make_request("__global__ void k() {\n  nonsense;\n}", "k"));
  EXPECT_EQ(reject.kind, "compile");
  EXPECT_THAT(reject.reason,
              HasSubstr("compile: demo/kernel.cuh(2): error: identifier \"nonsense\" is undefined"));
  CompileRequest wrong_size = scale_request("sm_90a");
  wrong_size.smem_bytes = 33;
  EXPECT_THAT(rejected(wrong_size).reason, HasSubstr("static assertion failed"));
  EXPECT_EQ(rejected(make_request("__global__ void k() {}", "no_such_kernel")).kind, "compile");
  reject = rejected(make_request("__global__ void k() { asm volatile(\"frobnicate;\"); }", "k"));
  EXPECT_EQ(reject.kind, "compile");
  EXPECT_THAT(reject.reason, HasSubstr("ptxas"));
}

TEST_F(Compile, MissingIncludeIsAnError) {
  Result<CompileOutcome> outcome =
      rtjit::compile(*nvrtc_, make_request("#include \"device/gone.cuh\"\n", "k"));
  ASSERT_FALSE(outcome.ok());
  EXPECT_THAT(outcome.error().message, HasSubstr("device/gone.cuh"));
}

TEST_F(Compile, StopsAtItsLimitWhereNvrtcCanBeInterrupted) {
  const char* source =
      "__global__ void k(float* p) {\n  float a[64];\n  for (int i = 0; i < 64; i++) a[i] = p[i];\n"
      "#pragma unroll\n  for (int r = 0; r < 200; r++)\n#pragma unroll\n"
      "    for (int i = 0; i < 64; i++) a[i] = a[i] * a[(i + r) % 64] + p[r];\n"
      "  for (int i = 0; i < 64; i++) p[i] = a[i];\n}\n";
  CompileRequest request = make_request(source, "k");
  EXPECT_TRUE(good(request)->compile_ms > 100);
  request.time_limit = std::chrono::milliseconds(60);
  CompileReject reject = rejected(request);
  EXPECT_EQ(reject.kind, "timeout");
  EXPECT_EQ(reject.reason, "timeout: compiling took longer than 60 ms");
}

}  // namespace
}  // namespace rtjit

#include "compiler/nvrtc.h"

#include <dlfcn.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "compiler/compile.h"
#include "compiler/nvrtc_search.h"
#include "tests/compiler/nvrtc_fixture.h"

namespace rtjit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

class Nvrtc_ : public NvrtcTest {};

TEST_F(Nvrtc_, TellsItsVersionAndArchitectures) {
  EXPECT_GE(std::pair(nvrtc_->major(), nvrtc_->minor()), std::pair(12, 8));
  EXPECT_EQ(nvrtc_->version(), fmt::format("nvrtc {}.{}", nvrtc_->major(), nvrtc_->minor()));
  EXPECT_TRUE(fs::exists(nvrtc_->path())) << nvrtc_->path();
  EXPECT_THAT(nvrtc_->supported_archs(), ::testing::Contains(90));
}

TEST_F(Nvrtc_, CompilesHeadersAndNameExpressions) {
  NvrtcInput input;
  input.source = "#include \"lib/add.cuh\"\n";
  input.name = "k.cu";
  input.headers = {{"lib/add.cuh", "template <int N> __global__ void add(int* p) { *p += N; }\n"}};
  input.options = {"--gpu-architecture=sm_90a"};
  input.name_expressions = {"add<3>", "add<4>"};
  Result<NvrtcOutput> output = nvrtc_->compile(input);
  ASSERT_TRUE(output.ok());
  ASSERT_TRUE(output->ok) << output->log;
  EXPECT_THAT(output->lowered_names, ElementsAre("_Z3addILi3EEvPi", "_Z3addILi4EEvPi"));
  EXPECT_THAT(output->ptx, HasSubstr(".target sm_90a"));
  EXPECT_EQ(output->ptx.back(), '\n');
  EXPECT_EQ(output->cubin.substr(0, 4),
            "\x7f"
            "ELF");
}

TEST_F(Nvrtc_, RefusedProgramsKeepTheLog) {
  NvrtcOutput output = compile("__global__ void k() { nonsense; }", "sm_90a");
  EXPECT_FALSE(output.ok);
  EXPECT_THAT(output.log, HasSubstr("\"nonsense\" is undefined"));
  output = compile("__global__ void k() {}", "sm_999");
  EXPECT_FALSE(output.ok);
  EXPECT_THAT(output.log, HasSubstr("gpu-architecture"));
}

TEST_F(Nvrtc_, ManyThreadsCompileAtOnce) {
  std::vector<std::thread> threads;
  std::vector<int> good(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        std::string number = std::to_string(t * 100 + i);
        NvrtcOutput output = compile("extern \"C\" __global__ void k" + number + "() {}", "sm_90a");
        good[t] += output.ok && output.ptx.find("k" + number) != std::string::npos;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(good, ElementsAre(5, 5, 5, 5));
}

TEST_F(Nvrtc_, FreshCopyIsAnInstanceOfItsOwn) {
  Result<std::shared_ptr<const Nvrtc>> copy = nvrtc_->fresh_copy();
  ASSERT_TRUE(copy.ok()) << copy.error().message;
  EXPECT_EQ((*copy)->version(), nvrtc_->version());
  EXPECT_EQ((*copy)->path(), nvrtc_->path());
  NvrtcInput input;
  input.source = "__global__ void k() {}";
  input.name = "k.cu";
  input.options = {"--gpu-architecture=sm_90a"};
  Result<NvrtcOutput> one = nvrtc_->compile(input), two = (*copy)->compile(input);
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_TRUE(two->ok) << two->log;
  EXPECT_EQ(one->ptx, two->ptx);
}

// As in NVIDIA's wheels: the loader does not look there, and NVRTC could not compile.
TEST_F(Nvrtc_, LoadsTheBuiltinsThatLieBesideIt) {
  const fs::path folder = fs::path(testing::TempDir()) / "rtjit_nvrtc_beside", original = nvrtc_->path();
  fs::remove_all(folder);
  fs::create_directories(folder);
  const std::string builtins = fmt::format("libnvrtc-builtins.so.{}.{}", nvrtc_->major(), nvrtc_->minor());
  if (!fs::exists(original.parent_path() / builtins))
    GTEST_SKIP() << "no " << builtins << " beside " << original;
  for (const std::string& name : {original.filename().string(), builtins})
    fs::copy_file(original.parent_path() / name, folder / name);
  ScopedEnvironment environment("RTJIT_NVRTC", (folder / original.filename()).string());
  auto opened = Nvrtc::open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(fs::path((*opened)->path()).parent_path(), folder);
  EXPECT_NE(dlopen((folder / builtins).c_str(), RTLD_NOW | RTLD_NOLOAD), nullptr) << dlerror();
  fs::remove_all(folder);  // what is loaded stays
}

TEST(NvrtcSearch, MissingFileSaysWhereItLookedAndHowToGetIt) {
  ScopedEnvironment environment("RTJIT_NVRTC", "/nonexistent/libnvrtc.so.13");
  Result<std::shared_ptr<const Nvrtc>> opened = Nvrtc::open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::no_compiler);
  EXPECT_THAT(opened.error().message, HasSubstr("/nonexistent/libnvrtc.so.13"));
  EXPECT_THAT(opened.error().message, HasSubstr("pip install nvidia-cuda-nvrtc"));
  EXPECT_THAT(opened.error().message, ::testing::Not(HasSubstr("/usr/local/cuda")));
}

TEST(NvrtcSearch, AnOldOneIsTooOldAndSaysSo) {
  ScopedEnvironment environment("RTJIT_NVRTC", RTJIT_FAKE_LIBNVRTC);
  Result<std::shared_ptr<const Nvrtc>> opened = Nvrtc::open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::compiler_too_old);
  EXPECT_THAT(opened.error().message, HasSubstr("NVRTC is too old"));
  EXPECT_THAT(opened.error().message, HasSubstr("version 12.2 is too old, 12.8 or later is needed"));
  EXPECT_THAT(opened.error().message, HasSubstr("pip install nvidia-cuda-nvrtc"));
}

// Old enough for some targets only.
TEST(NvrtcSearch, OneThatIsOlderThanTheTargetIsTooOldForIt) {
  ScopedEnvironment environment("RTJIT_NVRTC", RTJIT_FAKE_LIBNVRTC);
  ScopedEnvironment version("RTJIT_FAKE_NVRTC_VERSION", "12.8");
  Result<std::shared_ptr<const Nvrtc>> opened = Nvrtc::open();
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  const auto refused = [&](const char* target) {
    CompileRequest request;
    auto tmpl = std::make_shared<Template>();
    tmpl->sources["a.cuh"] = "__global__ void a() {}";
    request.tmpl = tmpl;
    request.source = "a.cuh";
    request.name_expressions = {"a"};
    request.target = *Target::parse(target);
    Result<CompileOutcome> outcome = compile(**opened, request);
    return outcome.ok() ? Error{ErrorCode::internal, "it compiled"} : outcome.error();
  };
  EXPECT_EQ(refused("sm_121a").code, ErrorCode::compiler_too_old);
  EXPECT_THAT(
      refused("sm_121a").message,
      HasSubstr("nvrtc 12.8 does not know sm_121a; it knows sm_75 sm_80 sm_86 sm_89 sm_90. A newer NVRTC"));
  EXPECT_EQ(refused("sm_87").code, ErrorCode::unsupported);
}

TEST(NvrtcSearch, AnotherLibraryIsNotNvrtc) {
  ScopedEnvironment environment("RTJIT_NVRTC", "libm.so.6");
  Result<std::shared_ptr<const Nvrtc>> opened = Nvrtc::open();
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().message, HasSubstr("not NVRTC"));
}

TEST(NvrtcSearch, FindsWheelsNewestFirst) {
  fs::path root = fs::path(testing::TempDir()) / "rtjit_nvrtc_search";
  fs::remove_all(root);
  auto touch = [&](const std::string& path) {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << "";
    return (root / path).string();
  };
  std::string cu12 = touch("venv/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12");
  std::string cu13 = touch("venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13");
  touch("venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc-builtins.so.13.0");
  std::string home = touch("home/.local/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13");
  std::string toolkit = touch("toolkit/lib64/libnvrtc.so.12.8.93");

  ScopedEnvironment no_file("RTJIT_NVRTC", "");
  ScopedEnvironment venv("VIRTUAL_ENV", (root / "venv").string());
  ScopedEnvironment home_folder("HOME", (root / "home").string());
  ScopedEnvironment cuda("CUDA_HOME", (root / "toolkit").string());
  NvrtcSearch search = search_nvrtc();
  std::vector<std::string> ours;
  for (const std::string& candidate : search.candidates)
    if (candidate.starts_with(root.string())) ours.push_back(candidate);
  EXPECT_THAT(ours, ElementsAre(toolkit, cu13, cu12, home));
  EXPECT_EQ(search.candidates.front(), "libnvrtc.so.13");

  // Who knows a folder, knows better than any search.
  std::string told = touch("told/libnvrtc.so.13");
  ScopedEnvironment path("RTJIT_NVRTC_PATH", (root / "nowhere").string() + "::" + (root / "told").string());
  EXPECT_EQ(search_nvrtc().candidates.front(), told);
  fs::remove_all(root);
}

}  // namespace
}  // namespace rtjit

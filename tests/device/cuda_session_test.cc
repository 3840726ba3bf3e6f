#include "tests/device/cuda_session.h"

#include <unistd.h>

#include <cstdlib>

#include "base/text.h"
#include "runtime/cuda_device.h"

namespace rtjit::testing {
namespace {

void print(const char* name, const Coverage& coverage) {
  if (coverage.cases == 0) return;
  fmt::print(
      "{}: {} problems, {} kernels launched twice, {} configs refused; worst relL2 {:.2e}, max per rms "
      "{:.2e}\n",
      name, coverage.cases, coverage.launches, coverage.refused.size(), coverage.worst_rel_l2,
      coverage.worst_max_per_rms);
  std::map<std::string, std::pair<int, int>> variants;  // ran, feasible
  for (const std::string& config : coverage.feasible) {
    auto& [ran, feasible] = variants[variant_of(config)];
    ++feasible;
    if (coverage.ran.contains(config)) ++ran;
  }
  for (const auto& [variant, counts] : variants) {
    fmt::print("{}: {}: {} of {} configs ran\n", name, variant, counts.first, counts.second);
  }
  for (const auto& [config, reason] : coverage.refused) fmt::print("  refused {}: {}\n", config, reason);
}

}  // namespace

CudaSession& CudaSession::instance() {
  static auto* session =
      static_cast<CudaSession*>(::testing::AddGlobalTestEnvironment(new CudaSession));  // owned by GoogleTest
  return *session;
}

void CudaSession::SetUp() {
  auto device = open_cuda_device(0);
  if (!device) {
    const ErrorCode code = device.error().code;
    (code == ErrorCode::unavailable || code == ErrorCode::no_gpu ? absent : broken) = device.error().message;
    if (!absent.empty()) fmt::print("no CUDA device: {}\n", absent);
    return;
  }
  const DeviceInfo& info = (*device)->info();
  fmt::print("{}, {}, driver {}\n", info.name, info.target.name(), info.driver_version);
  if (const char* given = std::getenv("RTJIT_TEST_DB"); given != nullptr && *given != '\0') {
    database = given;
  } else {
    std::string pattern = (std::filesystem::temp_directory_path() / "rtjit-device-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      broken = fmt::format("cannot make a folder {}", pattern);
      return;
    }
    folder_ = pattern;
    database = (folder_ / "cache.db").string();
  }
  ContextOptions options;
  options.database = database;
  auto opened = Context::open(std::move(options), std::move(*device));
  if (opened) {
    context = *opened;
  } else {
    broken = opened.error().message;
  }
}

void CudaSession::TearDown() {
  print("moe_mxfp4", moe);
  print("gemm_fp8_block", fp8);
  context.reset();
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

size_t CudaSession::config_limit() {
  const char* given = std::getenv("RTJIT_TEST_CONFIGS");
  return given == nullptr ? 0 : static_cast<size_t>(std::strtoul(given, nullptr, 10));
}

void CudaTest::SetUp() {
  if (!session().broken.empty()) FAIL() << session().broken;
  if (session().absent.empty()) return;
  if (std::getenv("RTJIT_REQUIRE_DEVICE") != nullptr) FAIL() << "no CUDA device: " << session().absent;
  GTEST_SKIP() << "no CUDA device: " << session().absent;
}

namespace {
// Registered before main() starts the tests.
[[maybe_unused]] const CudaSession& registered = CudaSession::instance();
}  // namespace

TEST_F(CudaTest, TheDriverAgreesWithTheTable) {
  for (const std::string& sentence : device().info().disagreements) ADD_FAILURE() << sentence;
}

}  // namespace rtjit::testing

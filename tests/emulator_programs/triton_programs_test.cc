// Kernels that Triton 3.9 compiled for sm_80 and sm_90a (triton_kernels.py). Triton appends two pointers to
// scratch memory to the parameters; these kernels use neither.
#include <cmath>

#include "base/float_formats.h"
#include "tests/emulator_programs/program_fixture.h"

namespace rtjit {
namespace {

struct TritonCase {
  const char* suffix;
  const char* target;
  uint32_t matmul_shared;  // as Triton's metadata says
};
class TritonPrograms : public ProgramTest, public testing::WithParamInterface<TritonCase> {
 protected:
  TritonPrograms() : ProgramTest(GetParam().target) {}
  static constexpr DevicePtr kNoScratch = 0;
};

TEST_P(TritonPrograms, Softmax) {
  load(std::string("triton_softmax_") + GetParam().suffix);
  constexpr size_t kRows = 4, kColumns = 391;
  const std::vector<float> in = uniform(kRows * kColumns, -4, 4);
  auto source = emulator.buffer(in);
  auto target = emulator.empty<float>(in.size());
  launch("triton_softmax", kRows, 128, 16, target, source, static_cast<int>(kColumns), kNoScratch,
         kNoScratch);
  const std::vector<float> out = emulator.read(target);
  for (size_t row = 0; row < kRows; row++) {
    double sum = 0;
    for (size_t i = 0; i < kColumns; i++) sum += std::exp(double(in[row * kColumns + i]));
    for (size_t i = 0; i < kColumns; i++) {
      const double want = std::exp(double(in[row * kColumns + i])) / sum;
      ASSERT_NEAR(out[row * kColumns + i], want, want * 1e-5) << row << "," << i;
    }
  }
}

TEST_P(TritonPrograms, Matmul) {
  load(std::string("triton_matmul_") + GetParam().suffix);
  constexpr size_t kM = 64, kN = 128, kK = 96;
  std::vector<uint16_t> a, b;
  for (float value : uniform(kM * kK)) a.push_back(f16_from_float(value));
  for (float value : uniform(kK * kN)) b.push_back(f16_from_float(value));
  auto left = emulator.buffer(a), right = emulator.buffer(b);
  auto target = emulator.empty<float>(kM * kN);
  launch("triton_matmul", {kM / 64, kN / 64}, 128, GetParam().matmul_shared, left, right, target, int(kN),
         int(kK), kNoScratch, kNoScratch);
  const std::vector<float> c = emulator.read(target);
  for (size_t y = 0; y < kM; y++)
    for (size_t x = 0; x < kN; x++) {
      double sum = 0;
      for (size_t i = 0; i < kK; i++)
        sum += double(float_from_f16(a[y * kK + i])) * float_from_f16(b[i * kN + x]);
      ASSERT_NEAR(c[y * kN + x], sum, 1e-4) << y << "," << x;
    }
}

INSTANTIATE_TEST_SUITE_P(Targets, TritonPrograms,
                         testing::Values(TritonCase{"sm80", "sm_80", 16384},
                                         TritonCase{"sm90", "sm_90a", 24576}),
                         [](const auto& tested) { return std::string(tested.param.suffix); });

}  // namespace
}  // namespace rtjit

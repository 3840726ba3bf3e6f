// Programs of machine learning: tensor cores, attention, softmax, against oracles in double precision.
#include <algorithm>
#include <cmath>

#include "base/float_formats.h"
#include "tests/emulator_programs/program_fixture.h"

namespace rtjit {
namespace {

class TensorPrograms : public ProgramTest {
 protected:
  std::vector<uint16_t> values16(size_t count, uint16_t (*encode)(float)) {
    std::vector<uint16_t> out;
    for (float value : uniform(count)) out.push_back(encode(value));
    return out;
  }
};

TEST_F(TensorPrograms, Softmax) {
  load("softmax");
  constexpr size_t kRows = 3, kColumns = 333;
  const std::vector<uint16_t> in = values16(kRows * kColumns, bf16_from_float);
  auto source = emulator.buffer(in);
  auto target = emulator.empty<uint16_t>(in.size());
  launch("softmax", kRows, 128, 0, source, target, static_cast<int>(kColumns));
  const std::vector<uint16_t> out = emulator.read(target);
  for (size_t row = 0; row < kRows; row++) {
    double sum = 0;
    for (size_t i = 0; i < kColumns; i++) sum += std::exp(double(float_from_bf16(in[row * kColumns + i])));
    for (size_t i = 0; i < kColumns; i++) {
      const double want = std::exp(double(float_from_bf16(in[row * kColumns + i]))) / sum;
      ASSERT_NEAR(float_from_bf16(out[row * kColumns + i]), want, want * 0.0045) << row << "," << i;
    }
  }
}

TEST_F(TensorPrograms, GemmByMmaAndAsynchronousCopies) {
  load("gemm_mma");
  constexpr size_t kM = 32, kN = 48, kK = 96;
  const std::vector<uint16_t> a = values16(kM * kK, bf16_from_float), b = values16(kN * kK, bf16_from_float);
  auto left = emulator.buffer(a), right = emulator.buffer(b);
  auto target = emulator.empty<uint16_t>(kM * kN);
  launch("gemm_mma", {kN / 16, kM / 16}, 32, 0, left, right, target, int(kN), int(kK));
  const std::vector<uint16_t> c = emulator.read(target);
  for (size_t y = 0; y < kM; y++)
    for (size_t x = 0; x < kN; x++) {
      double sum = 0;
      for (size_t i = 0; i < kK; i++)
        sum += double(float_from_bf16(a[y * kK + i])) * float_from_bf16(b[x * kK + i]);
      ASSERT_NEAR(float_from_bf16(c[y * kN + x]), sum, std::fabs(sum) / 256 + 1e-4) << y << "," << x;
    }
}

TEST_F(TensorPrograms, CausalAttention) {
  load("attention");
  constexpr size_t kLength = 40, kDim = 64;
  const std::vector<uint16_t> q = values16(kLength * kDim, f16_from_float),
                              k = values16(kLength * kDim, f16_from_float),
                              v = values16(kLength * kDim, f16_from_float);
  auto queries = emulator.buffer(q), keys = emulator.buffer(k), values = emulator.buffer(v);
  auto target = emulator.empty<uint16_t>(q.size());
  launch("attention", (kLength + 3) / 4, {32, 4}, 0, queries, keys, values, target, int(kLength), 0.125f);
  const std::vector<uint16_t> out = emulator.read(target);
  for (size_t row = 0; row < kLength; row++) {
    std::vector<double> weight(row + 1);
    double sum = 0;
    for (size_t key = 0; key <= row; key++) {
      double score = 0;
      for (size_t i = 0; i < kDim; i++)
        score += double(float_from_f16(q[row * kDim + i])) * float_from_f16(k[key * kDim + i]);
      sum += weight[key] = std::exp(score * 0.125);
    }
    for (size_t i = 0; i < kDim; i++) {
      double want = 0;
      for (size_t key = 0; key <= row; key++) want += weight[key] / sum * float_from_f16(v[key * kDim + i]);
      ASSERT_NEAR(float_from_f16(out[row * kDim + i]), want, 1e-3) << row << "," << i;
    }
  }
}

}  // namespace
}  // namespace rtjit

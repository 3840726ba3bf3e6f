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

TEST_F(TensorPrograms, GemmByWarpMatrices) {
  load("wmma_gemm");
  constexpr size_t kM = 32, kN = 48, kK = 80;
  const std::vector<uint16_t> a = values16(kM * kK, f16_from_float), b = values16(kN * kK, f16_from_float);
  const std::vector<float> before = uniform(kM * kN);
  auto left = emulator.buffer(a), right = emulator.buffer(b);
  auto target = emulator.buffer(before);
  launch("wmma_halves", {kN / 16, kM / 16}, 32, 0, left, right, target, int(kN), int(kK));
  const std::vector<float> c = emulator.read(target);
  for (size_t y = 0; y < kM; y++)
    for (size_t x = 0; x < kN; x++) {
      double sum = before[y * kN + x] * 0.5;
      for (size_t i = 0; i < kK; i++)
        sum += double(float_from_f16(a[y * kK + i])) * float_from_f16(b[x * kK + i]);
      ASSERT_NEAR(c[y * kN + x], sum, 1e-4) << y << "," << x;
    }
}

TEST_F(TensorPrograms, BytesByWarpMatrices) {
  load("wmma_gemm");
  constexpr size_t kN = 64, kK = 48;
  std::vector<int8_t> a, b;
  for (int value : integers(8 * kK, -128, 127)) a.push_back(static_cast<int8_t>(value));
  for (int value : integers(kN * kK, -128, 127)) b.push_back(static_cast<int8_t>(value));
  auto left = emulator.buffer(a), right = emulator.buffer(b);
  auto target = emulator.empty<int>(8 * kN);
  launch("wmma_bytes", kN / 32, 32, 0, left, right, target, int(kN), int(kK));
  const std::vector<int> c = emulator.read(target);
  for (size_t y = 0; y < 8; y++)
    for (size_t x = 0; x < kN; x++) {
      int sum = 0;
      for (size_t i = 0; i < kK; i++) sum += a[y * kK + i] * b[x * kK + i];
      ASSERT_EQ(c[y * kN + x], sum) << y << "," << x;
    }
}

}  // namespace
}  // namespace rtjit

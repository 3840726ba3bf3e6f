// Programs of plain arithmetic, shared memory and atomics against host oracles.
#include <algorithm>
#include <bit>
#include <climits>
#include <cmath>
#include <numeric>

#include "base/float_formats.h"
#include "tests/emulator_programs/program_fixture.h"

namespace rtjit {
namespace {

class BasicPrograms : public ProgramTest {};

TEST_F(BasicPrograms, Reduction) {
  load("reduction");
  const std::vector<float> in = uniform(3001, -100, 100);
  auto values = emulator.buffer(in);
  auto sum = emulator.buffer<float>({0});
  auto largest = emulator.buffer<int>({INT_MIN});
  launch("reduce_sum", 4, 256, 0, values, 3001, sum, largest);
  const double wanted = std::accumulate(in.begin(), in.end(), 0.0);
  EXPECT_NEAR(emulator.read(sum)[0], wanted, 0.05);
  EXPECT_EQ(emulator.read(largest)[0], static_cast<int>(std::floor(*std::max_element(in.begin(), in.end()))));
}

TEST_F(BasicPrograms, Scan) {
  load("scan");
  const std::vector<int> in = integers(700, -1000, 1000);
  auto source = emulator.buffer(in);
  auto target = emulator.empty<int>(700);
  launch("scan", 3, 256, 2 * 256 * 4, source, target, 700);
  const std::vector<int> out = emulator.read(target);
  for (size_t i = 0, sum = 0; i < out.size(); i++) {
    sum = (i % 256 ? sum : 0) + static_cast<size_t>(in[i]);
    ASSERT_EQ(out[i], static_cast<int>(sum)) << i;
  }
}

TEST_F(BasicPrograms, Transpose) {
  load("transpose");
  constexpr int kRows = 45, kColumns = 70;
  auto check = [&](const std::string& kernel, auto zero) {
    using T = decltype(zero);
    std::vector<T> in(kRows * kColumns);
    for (size_t i = 0; i < in.size(); i++) {
      const auto value = static_cast<unsigned char>(i * 7 + i / 256);
      if constexpr (requires { zero[0]; })
        in[i] = {static_cast<int>(i), value, -1, 5};
      else
        in[i] = static_cast<T>(value);
    }
    auto source = emulator.buffer(in);
    auto target = emulator.empty<T>(in.size());
    launch(kernel, {(kColumns + 31) / 32, (kRows + 31) / 32}, {32, 8}, 0, source, target, kRows, kColumns);
    const std::vector<T> out = emulator.read(target);
    for (size_t y = 0; y < kRows; y++)
      for (size_t x = 0; x < kColumns; x++) ASSERT_EQ(out[x * kRows + y], in[y * kColumns + x]) << kernel;
  };
  check("transpose_u8", static_cast<unsigned char>(0));
  check("transpose_f64", 0.0);
  check("transpose_v4", std::array<int, 4>{});
}

TEST_F(BasicPrograms, Histogram) {
  load("histogram");
  std::vector<uint32_t> words(3000);
  for (uint32_t& word : words) word = static_cast<uint32_t>(random() & random());
  auto source = emulator.buffer(words);
  auto bins = emulator.buffer(std::vector<uint32_t>(256, 0));
  launch("histogram", 3, 192, 0, source, 3000, bins);
  std::vector<uint32_t> wanted(256);
  for (uint32_t word : words)
    for (int shift = 0; shift < 32; shift += 8) wanted[word >> shift & 255]++;
  EXPECT_EQ(emulator.read(bins), wanted);
}

struct AtomicResults {
  int sum, least, most;
  uint32_t all, any, parity, wrapped, taken;
  uint64_t wide;
  double largest, total;
  uint16_t halves[2];
};

TEST_F(BasicPrograms, Atomics) {
  load("atomics");
  const std::vector<int> in = integers(256, -500, 500);
  AtomicResults start{};
  start.least = INT_MAX, start.most = INT_MIN, start.all = ~0u, start.largest = -1e300;
  auto source = emulator.buffer(in);
  auto results = emulator.buffer(std::vector<AtomicResults>{start});
  auto turns = emulator.empty<int>(256);
  launch("atomics", 4, 64, 0, source, results, turns);
  AtomicResults wanted = start;
  for (size_t i = 0; i < in.size(); i++) {
    const auto bits = static_cast<uint32_t>(in[i]);
    wanted.sum += in[i];
    wanted.least = std::min(wanted.least, in[i]);
    wanted.most = std::max(wanted.most, in[i]);
    wanted.all &= bits | 0x100u;
    wanted.any |= 1u << (i % 31);
    wanted.parity ^= bits;
    wanted.total += in[i] * 0.25;
  }
  const AtomicResults got = emulator.read(results)[0];
  EXPECT_EQ(got.sum, wanted.sum);
  EXPECT_EQ(got.least, wanted.least);
  EXPECT_EQ(got.most, wanted.most);
  EXPECT_EQ(got.all, wanted.all);
  EXPECT_EQ(got.any, wanted.any);
  EXPECT_EQ(got.parity, wanted.parity);
  EXPECT_EQ(got.wrapped, 256u % 10);
  EXPECT_EQ(got.taken, 256u);
  EXPECT_EQ(got.wide, 0x100000001ull * 256);
  EXPECT_EQ(got.largest, wanted.most * 0.5);
  EXPECT_EQ(got.total, wanted.total);
  EXPECT_EQ(float_from_f16(got.halves[0]), 256.0f);
  EXPECT_EQ(float_from_f16(got.halves[1]), -128.0f);
  std::vector<int> order = emulator.read(turns);
  std::sort(order.begin(), order.end());
  for (int i = 0; i < 256; i++) ASSERT_EQ(order[static_cast<size_t>(i)], i);
}

TEST_F(BasicPrograms, WarpPrimitives) {
  load("warp");
  const std::vector<int> in = integers(32, -40, 40);
  constexpr uint32_t kLower = 11;
  auto source = emulator.buffer(in);
  auto target = emulator.empty<uint32_t>(320);
  launch("warp_primitives", 1, 32, 0, source, target, static_cast<int>(kLower));
  const std::vector<uint32_t> out = emulator.read(target);
  auto bits = [&](size_t lane) { return static_cast<uint32_t>(in[lane]); };
  uint32_t positive = 0, ored = 0;
  bool any = false;
  for (size_t i = 0; i < 32; i++) {
    positive |= uint32_t(in[i] > 0) << i;
    if (i < kLower) ored |= 1u << (bits(i) & 31);
    if (i >= kLower) any = any || in[i] == 5;
  }
  for (size_t lane = 0; lane < 32; lane++) {
    const uint32_t* got = &out[lane * 10];
    uint32_t same = 0;
    for (size_t i = 0; i < 32; i++) same |= uint32_t((bits(i) & 3) == (bits(lane) & 3)) << i;
    EXPECT_EQ(got[0], positive);
    EXPECT_EQ(got[1], same);
    EXPECT_EQ(got[2], static_cast<uint32_t>(std::accumulate(in.begin(), in.end(), 0)));
    EXPECT_EQ(got[3], static_cast<uint32_t>(*std::min_element(in.begin(), in.end())));
    EXPECT_EQ(got[4], bits(lane % 16 >= 3 ? lane - 3 : lane));
    EXPECT_EQ(got[5], bits(lane * 7 % 32));
    const uint32_t lower = (1u << kLower) - 1;
    EXPECT_EQ(got[6], lane < kLower ? lower : ~lower);
    EXPECT_EQ(got[7], lane < kLower ? ored : uint32_t(any) + 2);
    const uint32_t v = bits(lane);
    const auto first = v ? static_cast<uint32_t>(std::countr_zero(v)) + 1 : 0;
    EXPECT_EQ(got[8], static_cast<uint32_t>(std::popcount(v)) |
                          static_cast<uint32_t>(std::countl_zero(v)) << 8 | first << 16);
    uint32_t reversed = 0;
    for (int i = 0; i < 32; i++) reversed |= (v >> i & 1) << (31 - i);
    // Bytes 0, 4, 1, 5 of {v, reversed}, from the lowest.
    const uint32_t mixed =
        (v & 255) | (reversed & 255) << 8 | (v >> 8 & 255) << 16 | (reversed >> 8 & 255) << 24;
    const uint64_t pair = uint64_t(static_cast<uint32_t>(lane)) << 32 | v;
    EXPECT_EQ(got[9], mixed ^ static_cast<uint32_t>(pair << 5 >> 32)) << lane;
  }
}

struct Image {
  DevicePtr pixels;
  int width, height;
};

TEST_F(BasicPrograms, StencilWithConstantsCallsAndPrintf) {
  load("stencil");
  constexpr int kWidth = 100, kHeight = 3;
  const std::vector<float> in = uniform(kWidth * kHeight);
  auto pixels = emulator.buffer(in);
  auto target = emulator.empty<float>(in.size());
  auto flag = emulator.buffer<int>({0});
  launch("stencil", {2, kHeight}, 64, 0, Image{pixels.address, kWidth, kHeight}, target, flag);
  const std::vector<float> out = emulator.read(target);
  const float weights[5] = {0.0625f, 0.25f, 0.375f, 0.25f, 0.0625f};
  for (int y = 0; y < kHeight; y++)
    for (int x = 0; x < kWidth; x++) {
      float sum = 0;
      for (int i = -2; i <= 2; i++)
        sum = std::fma(weights[i + 2], in[static_cast<size_t>(y * kWidth + std::clamp(x + i, 0, kWidth - 1))],
                       sum);
      ASSERT_EQ(out[static_cast<size_t>(y * kWidth + x)], sum) << x << "," << y;
    }
  EXPECT_EQ(emulator.read(flag)[0], 1);
}

TEST_F(BasicPrograms, BitonicSort) {
  load("bitonic_sort");
  std::vector<uint64_t> keys(512);
  for (uint64_t& key : keys) key = uint64_t(random()) << 32 | random();
  auto buffer = emulator.buffer(keys);
  launch("bitonic_sort", 2, 256, 256 * 8, buffer);
  std::sort(keys.begin(), keys.begin() + 256);
  std::sort(keys.begin() + 256, keys.end());
  EXPECT_EQ(emulator.read(buffer), keys);
}

TEST_F(BasicPrograms, MathLibrary) {
  load("math");
  std::vector<double> in;
  for (float value : uniform(200, -20, 20)) in.push_back(value);
  auto source = emulator.buffer(in);
  auto target = emulator.empty<double>(400);
  launch("math", 2, 128, 0, source, target, 200);
  const std::vector<double> out = emulator.read(target);
  for (size_t i = 0; i < in.size(); i++) {
    const double x = in[i];
    const double wanted[] = {std::sqrt(std::fabs(x)),
                             std::exp(x),
                             std::log(std::fabs(x) + 1),
                             std::sin(x),
                             std::sin(x),
                             std::pow(std::fabs(x), 1.5),
                             x / (1 + x * x),
                             std::tanh(x)};
    const bool single = i % 8 == 4 || i % 8 == 5 || i % 8 == 7;
    const double want = wanted[i % 8];
    EXPECT_NEAR(out[2 * i], want, (single ? 1e-6 : 1e-14) * std::max(1.0, std::fabs(want))) << i;
    int64_t sum = 0;
    for (int64_t rest = std::llrint(std::fabs(out[2 * i]) * 1e6); rest; rest /= 10) sum += rest % 10;
    EXPECT_EQ(out[2 * i + 1], static_cast<double>(sum)) << i;
  }
}

TEST_F(BasicPrograms, CooperativeGroups) {
  load("cooperative");
  const std::vector<int> in = integers(128, -50, 50);
  auto source = emulator.buffer(in);
  auto sums = emulator.empty<int>(16), prefix = emulator.empty<int>(128), ranks = emulator.empty<int>(128);
  auto count = emulator.buffer<int>({0});
  launch("cooperative", 2, 64, 0, source, sums, prefix, ranks, count);
  const std::vector<int> got_sums = emulator.read(sums), got_prefix = emulator.read(prefix),
                         got_ranks = emulator.read(ranks);
  int odd = 0, sum = 0, rank = 0;
  for (size_t i = 0; i < in.size(); i++) {
    if (i % 8 == 0) sum = 0;
    if (i % 32 == 0) rank = 0;
    EXPECT_EQ(got_prefix[i], sum) << i;
    sum += in[i];
    if (i % 8 == 7) {
      EXPECT_EQ(got_sums[i / 8], sum) << i;
    }
    EXPECT_EQ(got_ranks[i], in[i] & 1 ? rank++ : -1) << i;
    odd += in[i] & 1;
  }
  EXPECT_EQ(emulator.read(count)[0], odd);
}

}  // namespace
}  // namespace rtjit

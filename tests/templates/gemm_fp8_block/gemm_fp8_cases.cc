#include "tests/templates/gemm_fp8_block/gemm_fp8_cases.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "base/float_formats.h"

namespace rtjit::gemm_fp8_oracle {
namespace {

constexpr ScaleType kF32 = ScaleType::f32, kE8m0 = ScaleType::e8m0;

constexpr int kUsualE8m0 = 118;

// A scale as the value that its format holds; its bytes go to `bytes`. E8M0 bytes begin at `least`.
double draw_scale(ScaleType type, bool nan, int least, std::mt19937_64& random, uint8_t* bytes) {
  if (type == kE8m0) {
    *bytes =
        nan ? 255 : static_cast<uint8_t>(least + static_cast<int>(random() % (least == kUsualE8m0 ? 12 : 3)));
    return float_from_e8m0(*bytes);
  }
  const float value = nan ? std::numeric_limits<float>::quiet_NaN()
                          : static_cast<float>(0.001 * (1 + static_cast<double>(random() % 1000) / 250));
  std::memcpy(bytes, &value, 4);
  return value;
}

void draw_codes(const Case& c, int rows, int64_t stride, std::mt19937_64& random,
                std::vector<uint8_t>* codes) {
  std::normal_distribution<double> normal(0, 16);
  std::vector<uint8_t> usual(4096);
  for (uint8_t& code : usual) code = e4m3_from_float(static_cast<float>(normal(random)));
  codes->assign(static_cast<size_t>(rows) * static_cast<size_t>(stride), 0x7f);
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < c.k; ++i) {
      const uint64_t draw = random();
      uint8_t code = c.all_codes ? static_cast<uint8_t>(draw) : usual[draw % usual.size()];
      if ((code & 0x7f) == 0x7f) code = 0x3c;
      (*codes)[static_cast<size_t>(row * stride + i)] = code;
    }
  }
}

}  // namespace

std::vector<Case> all_cases() {
  return {
      {.name = "m1"},
      {.name = "m1 wide", .n = 4096, .k = 7168},
      {.name = "m2", .m = 2, .n = 256, .k = 512},
      {.name = "m17", .m = 17, .n = 384, .k = 640, .every_config = true},
      {.name = "m33", .m = 33, .n = 512, .k = 1024},
      {.name = "m129", .m = 129, .n = 1536, .k = 1536, .every_config = true},
      {.name = "m64 exact", .m = 64, .n = 256, .k = 256},
      {.name = "k16", .m = 5, .n = 64, .k = 16},
      {.name = "k112", .m = 5, .n = 64, .k = 112},
      {.name = "k144 tail", .m = 40, .n = 192, .k = 144},
      {.name = "k192 tail 64", .m = 40, .n = 192, .k = 192},
      {.name = "k576", .m = 70, .n = 576, .k = 576},
      {.name = "n1", .m = 19, .n = 1, .k = 256},
      {.name = "n7", .m = 19, .n = 7, .k = 256},
      {.name = "n65", .m = 66, .n = 65, .k = 384},
      {.name = "n129, f32 out", .m = 66, .n = 129, .k = 384, .out_f32 = true, .every_config = true},
      {.name = "n576 k7168", .m = 100, .n = 576, .k = 7168},
      {.name = "f32 out", .m = 48, .n = 320, .k = 2048, .out_f32 = true},
      {.name = "f32 out, e8m0 scales",
       .m = 130,
       .n = 260,
       .k = 1040,
       .out_f32 = true,
       .a_scale = kE8m0,
       .b_scale = kE8m0},
      {.name = "e8m0 scales", .m = 50, .n = 384, .k = 1024, .a_scale = kE8m0, .b_scale = kE8m0},
      {.name = "a e8m0, b f32", .m = 50, .n = 200, .k = 400, .a_scale = kE8m0},
      {.name = "a f32, b e8m0", .m = 50, .n = 200, .k = 400, .b_scale = kE8m0},
      {.name = "m-major scales", .m = 77, .n = 256, .k = 640, .m_major = true},
      {.name = "m-major e8m0 scales",
       .m = 77,
       .n = 256,
       .k = 656,
       .a_scale = kE8m0,
       .b_scale = kE8m0,
       .m_major = true,
       .sa_gap = 3},
      {.name = "gaps between rows",
       .m = 37,
       .n = 200,
       .k = 272,
       .a_gap = 48,
       .b_gap = 32,
       .sa_gap = 5,
       .d_gap = 24},
      {.name = "odd gaps", .m = 37, .n = 200, .k = 272, .a_gap = 16, .sa_gap = 1, .d_gap = 1},
      {.name = "odd gaps, f32 out",
       .m = 37,
       .n = 200,
       .k = 272,
       .out_f32 = true,
       .m_major = true,
       .a_gap = 16,
       .sa_gap = 2,
       .d_gap = 3},
      {.name = "NaN, f32 scales", .m = 70, .n = 300, .k = 400, .nans = true},
      {.name = "NaN, e8m0 scales",
       .m = 70,
       .n = 300,
       .k = 400,
       .a_scale = kE8m0,
       .b_scale = kE8m0,
       .m_major = true,
       .a_gap = 16,
       .b_gap = 16,
       .sa_gap = 1,
       .d_gap = 1,
       .nans = true},
      {.name = "NaN, f32 out", .m = 70, .n = 300, .k = 400, .out_f32 = true, .a_scale = kE8m0, .nans = true},
      {.name = "all codes", .m = 64, .n = 512, .k = 512, .all_codes = true},
      {.name = "all codes, f32 out", .m = 64, .n = 512, .k = 512, .out_f32 = true, .all_codes = true},
      {.name = "k0", .m = 9, .n = 100, .k = 0},
      {.name = "k0, f32 out", .m = 9, .n = 100, .k = 0, .out_f32 = true},
      {.name = "m0", .m = 0},
      {.name = "n0", .m = 5, .n = 0},
      {.name = "E8M0 bytes 0 to 2 times 252 to 254",
       .m = 20,
       .n = 140,
       .k = 272,
       .a_scale = kE8m0,
       .b_scale = kE8m0,
       .extreme_scales = true},
      {.name = "m8191", .m = 8191, .n = 256, .k = 512},
      {.name = "deepseek-v4 wq_a", .m = 256, .n = 1536, .k = 4096, .b_scale = kE8m0},
      {.name = "deepseek-v4 wo_b", .m = 128, .n = 4096, .k = 8192, .a_scale = kE8m0, .b_scale = kE8m0},
      {.name = "m8192 n4096", .m = 8192, .n = 4096, .k = 2048},
  };
}

Operands make_operands(const Case& c) {
  std::mt19937_64 random(static_cast<uint64_t>(c.m) * 1000003 + static_cast<uint64_t>(c.n) * 1009 +
                         static_cast<uint64_t>(c.k));
  Operands o;
  o.blocks = (c.k + 127) / 128, o.blocks_n = (c.n + 127) / 128;
  o.a_stride = c.k + c.a_gap, o.b_stride = c.k + c.b_gap, o.d_stride = c.n + c.d_gap;
  o.sa_stride = (c.m_major ? c.m : o.blocks) + c.sa_gap;
  draw_codes(c, c.m, o.a_stride, random, &o.a);
  draw_codes(c, c.n, o.b_stride, random, &o.b);
  if (c.nans) {
    o.a[static_cast<size_t>(3 * o.a_stride + c.k - 1)] = 0x7f;  // row 3, in the tail
    o.b[static_cast<size_t>(5 * o.b_stride)] = 0xff;            // column 5
  }
  const size_t a_bytes = c.a_scale == kF32 ? 4 : 1, b_bytes = c.b_scale == kF32 ? 4 : 1;
  const size_t blocks = static_cast<size_t>(o.blocks);
  o.sa.assign(static_cast<size_t>((c.m_major ? o.blocks : c.m) * o.sa_stride) * a_bytes, 0xff);
  o.sa_values.resize(static_cast<size_t>(c.m) * blocks);
  for (int row = 0; row < c.m; ++row) {
    for (int block = 0; block < o.blocks; ++block) {
      const int64_t at = c.m_major ? block * o.sa_stride + row : row * o.sa_stride + block;
      const bool nan = c.nans && row == 20 && block == o.blocks - 1;
      o.sa_values[static_cast<size_t>(row) * blocks + static_cast<size_t>(block)] =
          draw_scale(c.a_scale, nan, c.extreme_scales ? 0 : kUsualE8m0, random,
                     &o.sa[static_cast<size_t>(at) * a_bytes]);
    }
  }
  o.sb_values.resize(static_cast<size_t>(o.blocks_n) * blocks);
  o.sb.assign(o.sb_values.size() * b_bytes, 0xff);
  for (size_t i = 0; i < o.sb_values.size(); ++i) {
    const bool nan = c.nans && i + 1 == o.sb_values.size();
    o.sb_values[i] =
        draw_scale(c.b_scale, nan, c.extreme_scales ? 252 : kUsualE8m0, random, &o.sb[i * b_bytes]);
  }
  return o;
}

std::vector<int> compared_rows(const Case& c) {
  const double per_row = static_cast<double>(c.n) * std::max(c.k, 1);
  const int most = static_cast<int>(std::clamp(2e9 / per_row, 16.0, 1e9));
  std::vector<int> rows;
  for (int i = 0; i < std::min(c.m, most); ++i) {
    rows.push_back(c.m <= most ? i : static_cast<int>(static_cast<int64_t>(i) * (c.m - 1) / (most - 1)));
  }
  return rows;
}

std::vector<double> expected_rows(const Case& c, const Operands& o, const std::vector<int>& rows) {
  std::vector<double> expected(rows.size() * static_cast<size_t>(c.n));
  const Gemm gemm{
      c.m, c.n, c.k, o.a.data(), o.a_stride, o.b.data(), o.b_stride, o.sa_values.data(), o.sb_values.data()};
  const size_t threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> workers;
  for (size_t t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      for (size_t i = t; i < rows.size(); i += threads) {
        compute_rows(gemm, rows[i], 1, expected.data() + i * static_cast<size_t>(c.n));
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  return expected;
}

}  // namespace rtjit::gemm_fp8_oracle

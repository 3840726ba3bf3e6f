// Runs every variant and config of gemm_fp8_block against the fp64 oracle on the GPU that is present.
// Standalone:
//   nvcc -arch=sm_90a -std=c++20 -O2 -I templates -I . tools/gpu/gemm_fp8_check.cu
//        tests/templates/gemm_fp8_block/gemm_fp8_oracle.cc base/float_formats.cc -o gemm_fp8_check &&
//        ./gemm_fp8_check [--quick]
// Prints one line per problem with the worst errors; the last line is "N passed, N failed". --quick leaves
// out the large problems (for compute-sanitizer).
#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/float_formats.h"
#include "gemm_fp8_block/mma.cuh"
#include "gemm_fp8_block/reference.cuh"
#include "tests/templates/gemm_fp8_block/gemm_fp8_oracle.h"

using namespace rtjit;
using namespace rtjit::gemm_fp8_block;
namespace oracle = rtjit::gemm_fp8_oracle;

namespace {

void require(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::printf("%s: %s\n0 passed, 1 failed\n", what, cudaGetErrorString(status));
  std::exit(1);
}

struct Problem {
  const char* name;
  int m, n, k;
  Format out = Format::bf16, a_scale = Format::f32, b_scale = Format::f32;
  ScaleLayout layout = ScaleLayout::row_major;
  int a_gap = 0, b_gap = 0, sa_gap = 0, d_gap = 0;  // elements between rows that no kernel may touch
  bool nans = false;                                // NaN codes and NaN scales here and there
  bool all_codes = false;                           // uniform codes instead of normal values
};

const Problem kProblems[] = {
    {"m1", 1, 128, 128},
    {"m1 wide", 1, 4096, 7168},
    {"m2", 2, 256, 512},
    {"m17", 17, 384, 640},
    {"m33", 33, 512, 1024},
    {"m129", 129, 1536, 1536},
    {"m64 exact", 64, 256, 256},
    {"k16", 5, 64, 16},
    {"k112", 5, 64, 112},
    {"k144 tail", 40, 192, 144},
    {"k192 tail 64", 40, 192, 192},
    {"k tail 576", 70, 576, 576},
    {"n1", 19, 1, 256},
    {"n tail 7", 19, 7, 256},
    {"n odd 65", 66, 65, 384},
    {"n odd 129 f32", 66, 129, 384, Format::f32},
    {"n tail 576, k 7168", 100, 576, 7168},
    {"f32 out", 48, 320, 2048, Format::f32},
    {"f32 out e8m0", 130, 260, 1040, Format::f32, Format::e8m0, Format::e8m0},
    {"e8m0 scales", 50, 384, 1024, Format::bf16, Format::e8m0, Format::e8m0},
    {"a e8m0 b f32", 50, 200, 400, Format::bf16, Format::e8m0, Format::f32},
    {"a f32 b e8m0", 50, 200, 400, Format::bf16, Format::f32, Format::e8m0},
    {"m-major scales", 77, 256, 640, Format::bf16, Format::f32, Format::f32, ScaleLayout::m_major},
    {"m-major e8m0", 77, 256, 656, Format::bf16, Format::e8m0, Format::e8m0, ScaleLayout::m_major, 0, 0, 3,
     0},
    {"strided", 37, 200, 272, Format::bf16, Format::f32, Format::f32, ScaleLayout::row_major, 48, 32, 5, 24},
    {"strided odd d", 37, 200, 272, Format::bf16, Format::f32, Format::f32, ScaleLayout::row_major, 16, 0, 1,
     1},
    {"strided f32 odd d", 37, 200, 272, Format::f32, Format::f32, Format::f32, ScaleLayout::m_major, 16, 0, 2,
     3},
    {"nan f32 scales", 70, 300, 400, Format::bf16, Format::f32, Format::f32, ScaleLayout::row_major, 0, 0, 0,
     0, true},
    {"nan e8m0 scales", 70, 300, 400, Format::bf16, Format::e8m0, Format::e8m0, ScaleLayout::m_major, 16, 16,
     1, 1, true},
    {"nan f32 out", 70, 300, 400, Format::f32, Format::e8m0, Format::f32, ScaleLayout::row_major, 0, 0, 0, 0,
     true},
    {"all codes", 64, 512, 512, Format::bf16, Format::f32, Format::f32, ScaleLayout::row_major, 0, 0, 0, 0,
     false, true},
    {"all codes f32", 64, 512, 512, Format::f32, Format::f32, Format::f32, ScaleLayout::row_major, 0, 0, 0, 0,
     false, true},
    {"k0", 9, 100, 0},
    {"k0 f32", 9, 100, 0, Format::f32},
    {"m0", 0, 128, 128},
    {"m-large", 8191, 256, 512},
    {"V4 wq_a", 256, 1536, 4096, Format::bf16, Format::f32, Format::e8m0},
    {"V4 wo_b", 128, 4096, 8192, Format::bf16, Format::e8m0, Format::e8m0},
    {"m-many", 8192, 4096, 2048},
};

template <typename T>
struct DeviceArray {
  T* data = nullptr;
  explicit DeviceArray(const std::vector<T>& host) {
    require(cudaMalloc(&data, std::max<size_t>(host.size() * sizeof(T), 256)), "cudaMalloc");
    require(cudaMemcpy(data, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice),
            "copy to the device");
  }
  ~DeviceArray() { cudaFree(data); }
};

// The operands on the host and on the device, and what is expected. Gaps are filled with NaN.
struct Operands {
  explicit Operands(const Problem& p);
  int blocks, blocks_n;
  int64_t a_stride, b_stride, sa_stride, d_stride;
  std::vector<uint8_t> a, b, sa, sb;  // sa, sb: raw bytes of either format
  std::vector<int> rows;              // that are compared
  std::vector<double> expected;       // of those rows
};

// A scale as the value that its format holds, appended to `bytes`.
double draw_scale(Format format, bool nan, std::mt19937_64& random, uint8_t* bytes) {
  if (format == Format::e8m0) {
    *bytes = nan ? 255 : static_cast<uint8_t>(118 + random() % 12);
    return float_from_e8m0(*bytes);
  }
  const float value =
      nan ? NAN : static_cast<float>(0.001 * (1 + static_cast<double>(random() % 1000) / 250));
  std::memcpy(bytes, &value, 4);
  return value;
}

Operands::Operands(const Problem& p) {
  std::mt19937_64 random(static_cast<uint64_t>(p.m) * 1000003 + p.n * 1009 + p.k);
  std::normal_distribution<double> normal(0, 16);
  blocks = (p.k + 127) / 128, blocks_n = (p.n + 127) / 128;
  a_stride = p.k + p.a_gap, b_stride = p.k + p.b_gap, d_stride = p.n + p.d_gap;
  const bool m_major = p.layout == ScaleLayout::m_major;
  sa_stride = (m_major ? p.m : blocks) + p.sa_gap;
  std::vector<uint8_t> normal_codes(4096);
  for (uint8_t& code : normal_codes) code = e4m3_from_float(static_cast<float>(normal(random)));
  const auto fill = [&](std::vector<uint8_t>& codes, int rows_, int64_t stride) {
    codes.assign(static_cast<size_t>(rows_) * stride, 0x7f);
    for (int row = 0; row < rows_; ++row) {
      for (int i = 0; i < p.k; ++i) {
        const uint64_t draw = random();
        uint8_t code = p.all_codes ? static_cast<uint8_t>(draw) : normal_codes[draw % 4096];
        if ((code & 0x7f) == 0x7f) code = 0x3c;
        codes[row * stride + i] = code;
      }
    }
  };
  fill(a, p.m, a_stride);
  fill(b, p.n, b_stride);
  if (p.nans) {
    a[3 * a_stride + p.k - 1] = 0x7f;  // row 3, in the tail
    b[5 * b_stride] = 0xff;            // column 5
  }
  const int a_bytes = p.a_scale == Format::f32 ? 4 : 1, b_bytes = p.b_scale == Format::f32 ? 4 : 1;
  sa.assign(static_cast<size_t>((m_major ? blocks : p.m) * sa_stride) * a_bytes, 0xff);
  sb.assign(static_cast<size_t>(blocks_n) * blocks * b_bytes, 0xff);
  std::vector<double> sa_values(static_cast<size_t>(p.m) * blocks),
      sb_values(static_cast<size_t>(blocks_n) * blocks);
  for (int row = 0; row < p.m; ++row) {
    for (int block = 0; block < blocks; ++block) {
      const int64_t at = m_major ? block * sa_stride + row : row * sa_stride + block;
      const bool nan = p.nans && row == 20 && block == blocks - 1;
      sa_values[static_cast<size_t>(row) * blocks + block] =
          draw_scale(p.a_scale, nan, random, &sa[at * a_bytes]);
    }
  }
  for (int i = 0; i < blocks_n * blocks; ++i) {
    const bool nan = p.nans && i == blocks_n * blocks - 1;
    sb_values[i] = draw_scale(p.b_scale, nan, random, &sb[static_cast<size_t>(i) * b_bytes]);
  }
  // All rows of small problems; of large ones the ends and some between.
  const int most =
      static_cast<int>(std::max(16.0, std::min(1e9, 4e9 / (static_cast<double>(p.n) * std::max(p.k, 1)))));
  for (int i = 0; i < std::min(p.m, most); ++i) {
    rows.push_back(p.m <= most ? i : static_cast<int>(static_cast<int64_t>(i) * (p.m - 1) / (most - 1)));
  }
  expected.resize(rows.size() * p.n);
  const oracle::Gemm gemm{
      p.m, p.n, p.k, a.data(), a_stride, b.data(), b_stride, sa_values.data(), sb_values.data()};
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      for (size_t i = t; i < rows.size(); i += threads)
        oracle::compute_rows(gemm, rows[i], 1, &expected[i * p.n]);
    });
  }
  for (std::thread& worker : workers) worker.join();
}

using Kernel = void (*)(const u8*, const void*, const u8*, const void*, void*, int, int, int, i64, i64, i64,
                        i64);

struct Launch {
  std::string name;
  Kernel kernel;
  unsigned grid, block;
  int smem;
  double max_rel_l2;
};

template <int kNativeFp8, Format kOut, Format kA, ScaleLayout kLayout, Format kB, int kM, int kN, int kWarps,
          int kStages>
void add_mma(const Problem& p, std::vector<Launch>& launches) {
  char name[80];
  std::snprintf(name, sizeof(name), "mma %s %dx%d warps %d stages %d", kNativeFp8 ? "fp8" : "bf16", kM, kN,
                kWarps, kStages);
  launches.push_back({name, gemm_mma<kNativeFp8, kOut, kA, kLayout, kB, kM, kN, kWarps, kStages>,
                      static_cast<unsigned>(div_up(p.m, kM) * div_up(p.n, kN)), kWarps * 32,
                      int(sizeof(GemmStorage<kM, kN, kStages>)), kOut == Format::f32 ? 1e-4 : 3e-3});
}

template <Format kA, ScaleLayout kLayout, Format kB>
constexpr bool kPlainScales = kA == Format::f32&& kLayout == ScaleLayout::row_major&& kB == Format::f32;

template <int kM, int kN, int kWarps>
struct Tile {};

template <typename... kTiles>
struct TileList {};

// What the manifest's constraints leave.
using Tiles = TileList<Tile<16, 32, 4>, Tile<16, 64, 4>, Tile<16, 128, 4>, Tile<32, 32, 4>, Tile<32, 64, 4>,
                       Tile<32, 128, 4>, Tile<32, 128, 8>, Tile<64, 32, 4>, Tile<64, 64, 4>, Tile<64, 64, 8>,
                       Tile<64, 128, 4>, Tile<64, 128, 8>, Tile<128, 32, 4>, Tile<128, 32, 8>,
                       Tile<128, 64, 4>, Tile<128, 64, 8>, Tile<128, 128, 8>>;

// One of each arrangement of warps: enough for the kinds of problem that differ in scales only.
using FewTiles =
    TileList<Tile<16, 32, 4>, Tile<32, 128, 8>, Tile<64, 64, 4>, Tile<128, 64, 4>, Tile<128, 128, 8>>;

// All depths of the pipeline for the commonest kind of problem, one for the others.
template <int kNativeFp8, Format kOut, Format kA, ScaleLayout kLayout, Format kB, int kM, int kN, int kWarps>
void add_tile(Tile<kM, kN, kWarps>, const Problem& p, std::vector<Launch>& launches) {
  add_mma<kNativeFp8, kOut, kA, kLayout, kB, kM, kN, kWarps, 3>(p, launches);
  if constexpr (kOut == Format::bf16 && kPlainScales<kA, kLayout, kB>) {
    add_mma<kNativeFp8, kOut, kA, kLayout, kB, kM, kN, kWarps, 4>(p, launches);
    add_mma<kNativeFp8, kOut, kA, kLayout, kB, kM, kN, kWarps, 6>(p, launches);
  }
}

template <int kNativeFp8, Format kOut, Format kA, ScaleLayout kLayout, Format kB, typename... kTiles>
void add_tiles(TileList<kTiles...>, const Problem& p, std::vector<Launch>& launches) {
  (add_tile<kNativeFp8, kOut, kA, kLayout, kB>(kTiles(), p, launches), ...);
}

template <Format kOut, Format kA, ScaleLayout kLayout, Format kB>
void add_all(const Problem& p, std::vector<Launch>& launches) {
  const unsigned grid = static_cast<unsigned>(p.m) * div_up(p.n, kReferenceThreads);
  const double limit = kOut == Format::f32 ? 1e-4 : 3e-3;
  launches.push_back({"reference f64", gemm_reference<Accumulator::f64, kOut, kA, kLayout, kB>, grid,
                      kReferenceThreads, 0, limit});
  launches.push_back({"reference f32", gemm_reference<Accumulator::f32, kOut, kA, kLayout, kB>, grid,
                      kReferenceThreads, 0, limit});
  using List = std::conditional_t<kPlainScales<kA, kLayout, kB>, Tiles, FewTiles>;
  if constexpr (kOut == Format::bf16) add_tiles<1, kOut, kA, kLayout, kB>(List(), p, launches);
  add_tiles<0, kOut, kA, kLayout, kB>(List(), p, launches);
}

template <Format kOut, ScaleLayout kLayout>
std::vector<Launch> launches_by_scales(const Problem& p) {
  std::vector<Launch> launches;
  const bool a = p.a_scale == Format::e8m0, b = p.b_scale == Format::e8m0;
  if (!a && !b) add_all<kOut, Format::f32, kLayout, Format::f32>(p, launches);
  if (!a && b) add_all<kOut, Format::f32, kLayout, Format::e8m0>(p, launches);
  if (a && !b) add_all<kOut, Format::e8m0, kLayout, Format::f32>(p, launches);
  if (a && b) add_all<kOut, Format::e8m0, kLayout, Format::e8m0>(p, launches);
  return launches;
}

std::vector<Launch> launches_of(const Problem& p) {
  const bool m_major = p.layout == ScaleLayout::m_major;
  if (p.out == Format::f32) {
    return m_major ? launches_by_scales<Format::f32, ScaleLayout::m_major>(p)
                   : launches_by_scales<Format::f32, ScaleLayout::row_major>(p);
  }
  return m_major ? launches_by_scales<Format::bf16, ScaleLayout::m_major>(p)
                 : launches_by_scales<Format::bf16, ScaleLayout::row_major>(p);
}

double element(Format format, const uint8_t* bytes) {
  u32 bits = 0;
  std::memcpy(format == Format::f32 ? &bits : reinterpret_cast<u32*>(reinterpret_cast<char*>(&bits) + 2),
              bytes, format == Format::f32 ? 4 : 2);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// What one launch left, judged: "" when it is right.
std::string judge(const Problem& p, const Operands& operands, const Launch& launch,
                  const std::vector<uint8_t>& first, const std::vector<uint8_t>& second,
                  oracle::Difference* difference) {
  constexpr uint8_t kPoison = 0xcd;
  const int item = p.out == Format::f32 ? 4 : 2;
  if (first != second) return "two runs differ";
  for (int64_t row = 0; row <= p.m; ++row) {  // the last: the zone behind d
    const int64_t from = row == p.m ? row * operands.d_stride * item : (row * operands.d_stride + p.n) * item;
    const int64_t to = row == p.m ? static_cast<int64_t>(first.size()) : (row + 1) * operands.d_stride * item;
    for (int64_t i = from; i < to; ++i) {
      if (first[i] != kPoison) return "wrote outside of d";
    }
  }
  std::vector<double> actual(operands.expected.size());
  for (size_t i = 0; i < operands.rows.size(); ++i) {
    for (int column = 0; column < p.n; ++column) {
      actual[i * p.n + column] =
          element(p.out, &first[(operands.rows[i] * operands.d_stride + column) * item]);
    }
  }
  *difference = oracle::compare(actual, operands.expected);
  if (difference->mismatched != 0)
    return "NaN or infinity in the wrong places: " + std::to_string(difference->mismatched);
  if (!(difference->rel_l2 <= launch.max_rel_l2)) return "relL2 " + std::to_string(difference->rel_l2);
  if (!(difference->err_per_rms <= 5e-2))
    return "max error per rms " + std::to_string(difference->err_per_rms);
  return "";
}

struct Worst {
  double rel_l2 = 0, err_per_rms = 0;
  void add(const oracle::Difference& d) {
    rel_l2 = std::max(rel_l2, d.rel_l2);
    err_per_rms = std::max(err_per_rms, d.err_per_rms);
  }
};

bool run_problem(const Problem& p, int smem_limit, int* configs_run) {
  const Operands operands(p);
  const DeviceArray<uint8_t> a(operands.a), b(operands.b), sa(operands.sa), sb(operands.sb);
  const int item = p.out == Format::f32 ? 4 : 2;
  const std::vector<uint8_t> poison(static_cast<size_t>(p.m * operands.d_stride) * item + 4096, 0xcd);
  const DeviceArray<uint8_t> d(poison);
  Worst reference, fp8, bf16;
  bool good = true;
  int skipped = 0, run = 0;
  for (const Launch& launch : launches_of(p)) {
    if (launch.smem > smem_limit) {
      ++skipped;
      continue;
    }
    ++run;
    std::vector<uint8_t> results[2] = {poison, poison};
    if (launch.grid > 0) {
      require(cudaFuncSetAttribute(launch.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, launch.smem),
              "smem");
      for (std::vector<uint8_t>& result : results) {
        require(cudaMemcpy(d.data, poison.data(), poison.size(), cudaMemcpyHostToDevice), "poison");
        launch.kernel<<<launch.grid, launch.block, launch.smem>>>(
            a.data, sa.data, b.data, sb.data, d.data, p.m, p.n, p.k, operands.a_stride, operands.b_stride,
            operands.sa_stride, operands.d_stride);
        require(cudaGetLastError(), launch.name.c_str());
        require(cudaMemcpy(result.data(), d.data, result.size(), cudaMemcpyDeviceToHost),
                launch.name.c_str());
      }
    }
    oracle::Difference difference;
    const std::string wrong = judge(p, operands, launch, results[0], results[1], &difference);
    if (!wrong.empty()) {
      std::printf("  %s: %s\n", launch.name.c_str(), wrong.c_str());
      good = false;
    }
    (launch.smem == 0                               ? reference
     : launch.name.find("fp8") != std::string::npos ? fp8
                                                    : bf16)
        .add(difference);
  }
  *configs_run += run;
  std::printf(
      "%-4s %-20s m=%d n=%d k=%d: %d configs, %d over the smem limit; relL2 / max per rms: reference %.2e "
      "%.2e, "
      "fp8 %.2e %.2e, bf16 %.2e %.2e\n",
      good ? "ok" : "FAIL", p.name, p.m, p.n, p.k, run, skipped, reference.rel_l2, reference.err_per_rms,
      fp8.rel_l2, fp8.err_per_rms, bf16.rel_l2, bf16.err_per_rms);
  return good;
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
  int smem_limit = 0, passed = 0, failed = 0, configs = 0;
  require(cudaDeviceGetAttribute(&smem_limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), "smem limit");
  for (const Problem& p : kProblems) {
    if (quick && static_cast<double>(p.m) * p.n * p.k > 5e7) continue;
    ++(run_problem(p, smem_limit, &configs) ? passed : failed);
  }
  std::printf("%d launches of a config on a problem\n%d passed, %d failed\n", configs, passed, failed);
  return failed == 0 ? 0 : 1;
}

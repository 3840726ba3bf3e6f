// im2col tensor copies: the pixels of a bounding box one after the other, against loops over the whole box.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

struct Convolution {
  int rank;
  std::array<int, 5> dims;  // C, W, H, D, N; the images are the last of `rank`
  std::array<int, 3> lower, upper, step;
  int channels, pixels;
  int swizzle = 0;
};

std::string kernel(int rank, bool load, const std::string& reduce) {
  std::string c = "%1, {%2", offsets = "{%8";
  for (int i = 1; i < rank; ++i) c += ", %" + std::to_string(2 + i);
  for (int i = 1; i < rank - 2; ++i) offsets += ", %" + std::to_string(8 + i);
  std::string d = std::to_string(rank) + "d";
  std::string copy = load ? "cp.async.bulk.tensor." + d +
                                ".shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [" + c +
                                "}], [%7], " + offsets + "};"
                          : (reduce.empty() ? "cp.async.bulk.tensor." : "cp.reduce.async.bulk.tensor.") + d +
                                ".global.shared::cta." + (reduce.empty() ? "" : reduce + ".") +
                                "im2col_no_offs.bulk_group [" + c +
                                "}], [%0];\\n cp.async.bulk.commit_group;\\n cp.async.bulk.wait_group 0;";
  return R"(struct alignas(64) Map { char bytes[128]; }; struct Place { int c[5]; unsigned short o[3]; };
    static __device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
    extern "C" __global__ void k(const __grid_constant__ Map map, int* out, Place q, int bytes) {
      extern __shared__ __align__(1024) int s[]; __shared__ __align__(8) unsigned long long bar;
      unsigned b = at(&bar);
      if (!)" +
         std::to_string(load) + R"() for (int i = threadIdx.x; i < bytes / 4; i += 32) s[i] = out[i];
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); __syncwarp();
      if (threadIdx.x == 0) {
        asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;\n mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(bytes) : "memory");
        asm volatile(")" +
         copy +
         R"(" ::"r"(at(s)), "l"(&map), "r"(q.c[0]), "r"(q.c[1]), "r"(q.c[2]), "r"(q.c[3]), "r"(q.c[4]), "r"(b), "h"(q.o[0]), "h"(q.o[1]), "h"(q.o[2]) : "memory");
      }
      __syncwarp();
      if ()" +
         std::to_string(load) + R"() {
        asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], 0; @!P bra L; }" ::"r"(b) : "memory");
        for (int i = threadIdx.x; i < bytes / 4; i += 32) out[i] = s[i];
      }
    })";
}

struct Place {
  int c[5];
  uint16_t o[3];
};

class Im2col : public testing::Test {
 protected:
  // Every position of the box in every image, W fastest, and behind them positions of images that do not
  // exist.
  static std::vector<std::array<int, 4>> positions(const Convolution& v) {
    std::vector<std::array<int, 4>> all;
    int spatial = v.rank - 2;
    auto end = [&](size_t i) { return static_cast<int>(i) < spatial ? v.dims[i + 1] - 1 + v.upper[i] : 0; };
    auto begin = [&](size_t i) { return static_cast<int>(i) < spatial ? v.lower[i] : 0; };
    for (int n = 0; n < v.dims[static_cast<size_t>(v.rank - 1)] + 2; ++n) {
      for (int z = begin(2); z <= end(2); z += v.step[2]) {
        for (int y = begin(1); y <= end(1); y += v.step[1]) {
          for (int x = begin(0); x <= end(0); x += v.step[0]) {
            std::array<int, 4> p{x, y, z, 0};
            p[static_cast<size_t>(spatial)] = n;
            all.push_back(p);
          }
        }
      }
    }
    return all;
  }

  static int64_t index_of(const Convolution& v, const std::array<int, 4>& p, const uint16_t* offsets,
                          int channel) {
    if (channel < 0 || channel >= v.dims[0]) return -1;
    int64_t index = 0;
    for (int i = v.rank - 1; i > 0; --i) {
      int c = p[static_cast<size_t>(i - 1)] + (i <= v.rank - 2 && offsets ? offsets[i - 1] : 0);
      if (c < 0 || c >= v.dims[static_cast<size_t>(i)]) return -1;
      index = index * v.dims[static_cast<size_t>(i)] + c;
    }
    return index * v.dims[0] + channel;
  }

  TensorMapBytes encode(Emulator& emulator, const Convolution& v, DevicePtr base) {
    Im2colMapRequest r;
    r.base = base;
    r.dtype = DType::i32;
    r.rank = v.rank;
    uint64_t stride = 4;
    for (size_t i = 0; i < static_cast<size_t>(v.rank); ++i) {
      r.dims[i] = static_cast<uint64_t>(v.dims[i]);
      stride *= r.dims[i];
      if (i + 1 < static_cast<size_t>(v.rank)) r.strides[i] = stride;
    }
    r.lower = v.lower;
    r.upper = v.upper;
    for (size_t i = 0; i < 3; ++i) r.pixel_strides[i] = static_cast<uint32_t>(v.step[i]);
    r.channels = static_cast<uint32_t>(v.channels);
    r.pixels = static_cast<uint32_t>(v.pixels);
    r.swizzle = v.swizzle;
    TensorMapBytes map;
    Status status = emulator.device().encode_im2col_map(r, &map);
    EXPECT_TRUE(status.ok()) << status.error().message;
    return map;
  }

  static size_t swizzled(const Convolution& v, size_t offset) {
    size_t mask = static_cast<size_t>(v.swizzle) / 16;
    return v.swizzle ? offset ^ ((offset / 128 & (mask - 1)) * 16) : offset;
  }

  // Loads (or stores) from several starts with several offsets.
  void check(const Convolution& v, bool load, const std::string& reduce = "") {
    SCOPED_TRACE(testing::Message() << "rank " << v.rank << " swizzle " << v.swizzle
                                    << (load ? " load" : " store ") << reduce);
    size_t count = 1;
    for (size_t i = 0; i < static_cast<size_t>(v.rank); ++i) count *= static_cast<size_t>(v.dims[i]);
    std::vector<int> values(count), data(static_cast<size_t>(v.channels * v.pixels));
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<int>(i) + 1;
    for (size_t i = 0; i < data.size(); ++i) data[i] = -1000 - static_cast<int>(i);
    Emulator emulator("sm_90a");
    emulator.compile(kernel(v.rank, load, reduce));
    auto tensor = emulator.buffer(values);
    auto out = emulator.buffer(data);
    TensorMapBytes map = encode(emulator, v, tensor.address);
    std::vector<std::array<int, 4>> all = positions(v);
    int bytes = v.channels * v.pixels * 4;
    for (size_t first : {size_t(0), all.size() / 3, all.size() - static_cast<size_t>(2 * v.pixels)}) {
      for (uint16_t offset : {uint16_t(0), uint16_t(1), uint16_t(2)}) {
        if (!load && offset) continue;
        for (int channel : {0, v.dims[0] - v.channels + 4}) {
          Place q{};
          q.c[0] = channel;
          for (size_t i = 0; i < 4; ++i) q.c[i + 1] = all[first][i];
          for (uint16_t i = 0; i < 3; ++i) q.o[i] = static_cast<uint16_t>((offset + i) % 3);
          Status status = emulator.run("k", 1, 32, static_cast<uint32_t>(bytes), map, out, q, bytes);
          ASSERT_TRUE(status.ok()) << status.error().message;
          std::vector<int> got = emulator.read(out);
          for (size_t p = 0; p < static_cast<size_t>(v.pixels); ++p) {
            for (int c = 0; c < v.channels; ++c) {
              size_t at = swizzled(v, (p * static_cast<size_t>(v.channels) + static_cast<size_t>(c)) * 4) / 4;
              int64_t index = index_of(v, all[first + p], load ? q.o : nullptr, channel + c);
              if (load) {
                ASSERT_EQ(got[at], index < 0 ? 0 : values[static_cast<size_t>(index)])
                    << "pixel " << p << " channel " << c;
              } else if (index >= 0) {
                int& to = values[static_cast<size_t>(index)];
                to = reduce == "add" ? to + data[at] : data[at];
              }
            }
          }
          if (!load) {
            ASSERT_EQ(emulator.read(tensor), values);
          }
        }
      }
    }
  }
};

const Convolution kLine{3, {12, 9, 3, 1, 1}, {-1, 0, 0}, {-1, 0, 0}, {1, 1, 1}, 8, 16, 0};
const Convolution kPlane{4, {16, 7, 5, 3, 1}, {-1, -1, 0}, {-1, -1, 0}, {1, 1, 1}, 8, 20, 32};
const Convolution kSteps{4, {20, 9, 8, 2, 1}, {-2, 1, 0}, {0, -2, 0}, {2, 3, 1}, 16, 9, 64};
const Convolution kVolume{5, {32, 5, 4, 3, 2}, {-1, 0, -1}, {-1, 1, 0}, {1, 2, 1}, 32, 24, 128};

TEST_F(Im2col, Loads) {
  for (const Convolution& v : {kLine, kPlane, kSteps, kVolume}) check(v, true);
}

TEST_F(Im2col, Stores) {
  for (const Convolution& v : {kLine, kPlane, kVolume}) check(v, false);
  check(kPlane, false, "add");
}

TEST_F(Im2col, MistakesAreReported) {
  Emulator emulator("sm_90a");
  emulator.compile(kernel(4, true, ""));
  auto tensor = emulator.buffer(std::vector<int>(16 * 7 * 5 * 3, 1));
  auto out = emulator.buffer(std::vector<int>(8 * 20, 0));
  TensorMapBytes map = encode(emulator, kPlane, tensor.address);
  ASSERT_TRUE(emulator.run("k", 1, 32, 640, map, out, Place{{0, -1, -1, 0, 0}, {0, 0, 0}}, 640).ok());
  EXPECT_THAT(emulator.run("k", 1, 32, 640, map, out, Place{{0, 6, 0, 0, 0}, {0, 0, 0}}, 640).error().message,
              HasSubstr("coordinate 1 is 6; the bounding box reaches from -1 to 5"));
  Emulator other("sm_90a");
  other.compile(kernel(4, true, ""));
  TensorMapRequest tile;
  auto memory = other.buffer(std::vector<int>(16 * 7 * 5 * 3, 1));
  tile.base = memory.address;
  tile.dtype = DType::i32;
  tile.rank = 4;
  tile.dims = {16, 7, 5, 3};
  tile.strides = {64, 448, 2240};
  tile.box = {8, 1, 1, 1};
  ASSERT_TRUE(other.device().encode_tensor_map(tile, &map).ok());
  auto other_out = other.buffer(std::vector<int>(8 * 20, 0));
  EXPECT_THAT(other.run("k", 1, 32, 640, map, other_out, Place{}, 640).error().message,
              HasSubstr("im2col needs a tensor map for im2col"));
}

TEST_F(Im2col, MapsAreChecked) {
  Emulator emulator("sm_90a");
  auto error = [&](auto change) {
    Im2colMapRequest r;
    r.dtype = DType::i32;
    r.rank = 4;
    r.dims = {16, 7, 5, 3};
    r.strides = {64, 448, 2240};
    r.channels = 8;
    r.pixels = 16;
    change(r);
    TensorMapBytes map;
    Status status = emulator.device().encode_im2col_map(r, &map);
    return status.ok() ? "" : status.error().message;
  };
  EXPECT_EQ(error([](auto&) {}), "");
  EXPECT_THAT(error([](auto& r) { r.rank = 2; }), HasSubstr("rank 2; 3 to 5 are allowed"));
  EXPECT_THAT(error([](auto& r) { r.lower[0] = -129; }), HasSubstr("corner -129"));
  EXPECT_THAT(error([](auto& r) { r.upper[1] = -5; }), HasSubstr("is empty along dimension 2: from 0 to -1"));
  EXPECT_THAT(error([](auto& r) { r.pixels = 1025; }), HasSubstr("1025 pixels"));
  EXPECT_THAT(error([](auto& r) { r.channels = 257; }), HasSubstr("257 channels"));
  EXPECT_THAT(error([](auto& r) { r.channels = 3; }), HasSubstr("12 B, not a multiple of 16"));
  EXPECT_THAT(error([](auto& r) { r.pixel_strides[1] = 9; }), HasSubstr("a step of 9 pixels"));
}

TEST(Prefetches, NothingMovesButTheMapMustBeRight) {
  Emulator emulator("sm_90a");
  emulator.compile(R"(struct alignas(64) Map { char bytes[128]; };
    extern "C" __global__ void k(const __grid_constant__ Map map, int* p) {
      asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %1}];" ::"l"(&map), "r"(0) : "memory");
      asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global [%0, {%1, %1}];" ::"l"(&map), "r"(0) : "memory");
      asm volatile("cp.async.bulk.prefetch.L2.global [%0], 64;" ::"l"(p) : "memory");
      asm volatile("prefetch.global.L2 [%0];" ::"l"(p) : "memory");
      asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
    })");
  auto p = emulator.buffer(std::vector<int>(64, 7));
  TensorMapRequest r;
  r.base = p.address;
  r.dtype = DType::i32;
  r.rank = 2;
  r.dims = {8, 8};
  r.strides = {32};
  r.box = {8, 8};
  TensorMapBytes map;
  ASSERT_TRUE(emulator.device().encode_tensor_map(r, &map).ok());
  EXPECT_TRUE(emulator.run("k", 1, 1, 0, map, p).ok()) << emulator.status().error().message;
  EXPECT_EQ(emulator.read(p), std::vector<int>(64, 7));
  EXPECT_THAT(emulator.run("k", 1, 1, 0, TensorMapBytes{}, p).error().message,
              HasSubstr("there is no tensor map"));
}

}  // namespace
}  // namespace rtjit

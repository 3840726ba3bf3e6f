// Tensor copies through a tensor map: tiles with every swizzle, parts outside the tensor, gather4, scatter4,
// reductions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

using testing::HasSubstr;

const char kPrelude[] = R"(
struct alignas(64) Map { char bytes[128]; };
__device__ unsigned at(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ void expect(unsigned b, unsigned bytes) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(b) : "memory");
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(b), "r"(bytes) : "memory");
}
__device__ void wait(unsigned b) {
  asm volatile("{ .reg .pred P; L: mbarrier.try_wait.parity.shared::cta.b64 P, [%0], 0; @!P bra L; }" ::"r"(b) : "memory");
}
)";

TensorMapBytes make_map(Emulator& emulator, DevicePtr base, int columns, int rows, int box_columns,
                        int box_rows, int swizzle, DType dtype = DType::i32) {
  TensorMapRequest request;
  request.base = base;
  request.dtype = dtype;
  request.rank = 2;
  request.dims = {static_cast<uint64_t>(columns), static_cast<uint64_t>(rows)};
  request.strides = {static_cast<uint64_t>(columns * bytes_of(dtype))};
  request.box = {static_cast<uint32_t>(box_columns), static_cast<uint32_t>(box_rows)};
  request.swizzle = swizzle;
  TensorMapBytes map;
  Status status = emulator.device().encode_tensor_map(request, &map);
  EXPECT_TRUE(status.ok()) << status.error().message;
  return map;
}

std::vector<int> numbers(size_t count) {
  std::vector<int> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<int>(i) + 1;
  return values;
}

// Loads a tile of 16 rows that hangs over the tensor's edges, with each swizzle.
TEST(TensorCopies, TileLoad) {
  for (int swizzle : {0, 32, 64, 128}) {
    int width = swizzle ? swizzle / 4 : 16;
    Emulator emulator("sm_90a");
    emulator.compile(
        std::string(kPrelude) +
        R"(extern "C" __global__ void k(const __grid_constant__ Map map, int* out, int x, int y, int bytes) {
      extern __shared__ __align__(1024) int s[];
      __shared__ __align__(8) unsigned long long bar;
      if (threadIdx.x == 0) {
        expect(at(&bar), bytes);
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                     ::"r"(at(s)), "l"(&map), "r"(x), "r"(y), "r"(at(&bar)) : "memory");
      }
      __syncthreads();
      wait(at(&bar));
      for (int i = threadIdx.x; i < bytes / 4; i += blockDim.x) out[i] = s[i];
    })");
    int columns = 40, rows = 20, bytes = width * 16 * 4;
    auto values = numbers(static_cast<size_t>(columns * rows));
    auto tensor = emulator.buffer(values);
    auto out = emulator.empty<int>(static_cast<size_t>(width * 16));
    auto map = make_map(emulator, tensor.address, columns, rows, width, 16, swizzle);
    for (auto [x, y] : {std::pair(0, 0), std::pair(30, 10), std::pair(-3, -2), std::pair(100, 0)}) {
      Status status = emulator.run("k", 1, 64, static_cast<uint32_t>(bytes), map, out, x, y, bytes);
      ASSERT_TRUE(status.ok()) << status.error().message;
      auto got = emulator.read(out);
      for (int r = 0; r < 16; ++r) {
        for (int c = 0; c < width; ++c) {
          bool inside = x + c >= 0 && x + c < columns && y + r >= 0 && y + r < rows;
          int expected = inside ? values[static_cast<size_t>((y + r) * columns + x + c)] : 0;
          // The 16-byte chunk of a row is exchanged with one chosen by the row's position.
          int offset = (r * width + c) * 4, chunk_mask = swizzle / 16 - 1;
          if (swizzle) offset ^= (offset / 128 & chunk_mask) * 16;
          ASSERT_EQ(got[static_cast<size_t>(offset / 4)], expected)
              << "swizzle " << swizzle << " row " << r << " column " << c;
        }
      }
    }
  }
}

TEST(TensorCopies, TileStoreAndReduce) {
  Emulator emulator("sm_90a");
  emulator.compile(
      std::string(kPrelude) +
      R"(extern "C" __global__ void k(const __grid_constant__ Map map, int x, int y, int reduce) {
    __shared__ __align__(128) int s[8 * 8];
    for (int i = threadIdx.x; i < 64; i += 32) s[i] = 100 + i;
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    if (threadIdx.x == 0) {
      if (reduce) asm volatile("cp.reduce.async.bulk.tensor.2d.global.shared::cta.add.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&map), "r"(x), "r"(y), "r"(at(s)) : "memory");
      else asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&map), "r"(x), "r"(y), "r"(at(s)) : "memory");
      asm volatile("cp.async.bulk.commit_group; cp.async.bulk.wait_group 0;" ::: "memory");
    }
  })");
  for (int reduce : {0, 1}) {
    auto values = numbers(16 * 12);
    auto tensor = emulator.buffer(values);
    auto map = make_map(emulator, tensor.address, 16, 12, 8, 8, 0);
    Status status = emulator.run("k", 1, 32, 0, map, 12, 6, reduce);
    ASSERT_TRUE(status.ok()) << status.error().message;
    for (int r = 0; r < 8; ++r) {
      for (int c = 0; c < 8; ++c) {
        if (12 + c >= 16 || 6 + r >= 12) continue;
        int& v = values[static_cast<size_t>((6 + r) * 16 + 12 + c)];
        v = (reduce ? v : 0) + 100 + r * 8 + c;
      }
    }
    EXPECT_EQ(emulator.read(tensor), values);
  }
}

TEST(TensorCopies, GatherAndScatterOfFourRows) {
  Emulator emulator("sm_100a");
  emulator.compile(
      std::string(kPrelude) +
      R"(extern "C" __global__ void k(const __grid_constant__ Map from, const __grid_constant__ Map to) {
    __shared__ __align__(128) int s[4 * 8];
    __shared__ __align__(8) unsigned long long bar;
    if (threadIdx.x == 0) {
      expect(at(&bar), 128);
      asm volatile("cp.async.bulk.tensor.2d.shared::cta.global.tile::gather4.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5, %6}], [%7];"
                   ::"r"(at(s)), "l"(&from), "r"(4), "r"(7), "r"(0), "r"(99), "r"(7), "r"(at(&bar)) : "memory");
      wait(at(&bar));
      asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile::scatter4.bulk_group [%0, {%1, %2, %3, %4, %5}], [%6];"
                   ::"l"(&to), "r"(0), "r"(3), "r"(1), "r"(2), "r"(50), "r"(at(s)) : "memory");
      asm volatile("cp.async.bulk.commit_group; cp.async.bulk.wait_group.read 0;" ::: "memory");
    }
  })");
  auto values = numbers(16 * 8);
  auto from = emulator.buffer(values);
  auto to = emulator.buffer(std::vector<int>(8 * 5, -1));
  auto from_map = make_map(emulator, from.address, 16, 8, 8, 1, 0),
       to_map = make_map(emulator, to.address, 8, 5, 8, 1, 0);
  Status status = emulator.run("k", 1, 32, 0, from_map, to_map);
  ASSERT_TRUE(status.ok()) << status.error().message;
  auto got = emulator.read(to);
  for (size_t c = 0; c < 8; ++c) {
    EXPECT_EQ(got[0 * 8 + c], -1);
    EXPECT_EQ(got[3 * 8 + c], values[7 * 16 + 4 + c]);
    EXPECT_EQ(got[1 * 8 + c], values[0 * 16 + 4 + c]);
    EXPECT_EQ(got[2 * 8 + c], 0);  // row 99 is outside
    EXPECT_EQ(got[4 * 8 + c], -1);
  }
}

TEST(TensorCopies, MistakesAreReported) {
  Emulator emulator("sm_90a");
  emulator.compile(std::string(kPrelude) +
                   R"(extern "C" __global__ void k(const __grid_constant__ Map map, int offset) {
    __shared__ __align__(128) int s[64];
    __shared__ __align__(8) unsigned long long bar;
    if (threadIdx.x == 0) {
      expect(at(&bar), 128);
      asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                   ::"r"(at(s) + offset), "l"(&map), "r"(0), "r"(0), "r"(at(&bar)) : "memory");
      wait(at(&bar));
    }
  })");
  auto tensor = emulator.buffer(numbers(64));
  auto map = make_map(emulator, tensor.address, 8, 8, 8, 4, 0);
  EXPECT_TRUE(emulator.run("k", 1, 32, 0, map, 0).ok()) << emulator.status().error().message;
  Status status = emulator.run("k", 1, 32, 0, map, 16);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("needs an address that is a multiple of 128"));
  TensorMapRequest request;
  TensorMapBytes bytes;
  request.rank = 6;
  EXPECT_THAT(emulator.device().encode_tensor_map(request, &bytes).error().message, HasSubstr("rank 6"));
}

TEST(TensorCopies, ATensorMapMustBeThere) {
  Emulator emulator("sm_90a");
  emulator.compile(std::string(kPrelude) + R"(extern "C" __global__ void k(const __grid_constant__ Map map) {
    __shared__ __align__(128) int s[64];
    s[threadIdx.x] = 1;
    if (threadIdx.x == 0) asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %1}], [%2];" ::"l"(&map), "r"(0), "r"(at(s)) : "memory");
  })");
  TensorMapBytes map{};
  Status status = emulator.run("k", 1, 32, 0, map);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("there is no tensor map at this address"));
}

}  // namespace
}  // namespace rtjit

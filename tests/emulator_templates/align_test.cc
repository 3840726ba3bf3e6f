// Kernels of moe_mxfp4's align by themselves, against a stable sort: also with more slots per thread block
// than one round takes, which a whole pipeline has only with a quarter of a million slots.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "emulator/emulator.h"

namespace rtjit {
namespace {

struct Tile {
  uint16_t expert, rows;
  int32_t first_row;
  bool operator==(const Tile&) const = default;
};

struct Sorted {
  std::vector<int32_t> slots;
  std::vector<Tile> tiles[2];
};

constexpr int kBlockM[2] = {16, 40};
constexpr int kFewSlots = 64;  // sorted by one warp

// Tiles of an expert are of equal height, a multiple of 8.
Sorted expected(const std::vector<int32_t>& ids, int experts) {
  Sorted sorted;
  std::vector<size_t> order(ids.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return ids[a] < ids[b]; });
  for (size_t slot : order) {
    if (ids[slot] >= 0 && ids[slot] < experts) sorted.slots.push_back(static_cast<int32_t>(slot));
  }
  for (int expert = 0, first = 0; expert < experts; ++expert) {
    const int rows = static_cast<int>(std::count(ids.begin(), ids.end(), expert));
    for (int list = 0; list < 2; ++list) {
      const int tiles = (rows + kBlockM[list] - 1) / kBlockM[list];
      const int height = tiles == 0 ? 0 : ((rows + tiles - 1) / tiles + 7) / 8 * 8;
      for (int t = 0; t < tiles; ++t) {
        sorted.tiles[list].push_back({static_cast<uint16_t>(expert),
                                      static_cast<uint16_t>(std::min(height, rows - t * height)),
                                      first + t * height});
      }
    }
    first += rows;
  }
  return sorted;
}

class Align : public testing::Test {
 protected:
  Align() {
    emulator_.compile(R"(#include "moe_mxfp4/align.cuh"
      namespace rtjit::moe_mxfp4 {
      template __global__ void align_small<Activations::bf16>(
          const void*, const i32*, int, int, int, int, int, i32*, TokenTile*, TokenTile*, i32*, int, int,
          const u16*, i64, int, u8*, u8*, u16*, int, const void*, int, TokenShare*);
      template __global__ void align_place<Activations::bf16>(
          const void*, const i32*, int, int, int, int, int, int, const i32*, i32*, TokenTile*, TokenTile*,
          i32*, int, int, const u16*, i64, int, u8*, u8*, u16*, int, const void*, int, TokenShare*);
      // What a GEMM that sorts few slots itself has in shared memory then.
      __global__ void route_few(const void* ids, int slots, int experts, int block_m, i32* sorted_slots,
                                TokenTile* tiles, i32* tile_count) {
        __shared__ FewRouted routed;
        if (threadIdx.x < 32) route_few_slots({ids, nullptr, 4, slots, 1, experts, 0}, block_m, routed);
        __syncthreads();
        if (threadIdx.x != 0) return;
        *tile_count = routed.tile_count;
        for (int t = 0; t < routed.tile_count; ++t) {
          tiles[t] = routed.tiles[t];
          for (int r = 0; r < tiles[t].rows; ++r)
            sorted_slots[tiles[t].first_row + r] = routed.sorted_slots[tiles[t].first_row + r];
        }
      }
      })",
                      {"-I" RTJIT_SOURCE_DIR "/templates"});
  }

  // The mangled name of the kernel with this one in it.
  std::string kernel(const std::string& name) const {
    static const std::string kEntry = ".entry ";
    const std::string& ptx = emulator_.ptx();
    for (size_t at = ptx.find(kEntry); at != std::string::npos; at = ptx.find(kEntry, at + 1)) {
      const size_t begin = at + kEntry.size();
      const std::string mangled = ptx.substr(begin, ptx.find('(', begin) - begin);
      if (mangled.find(name) != std::string::npos) return mangled;
    }
    return name;
  }

  template <class... Arguments>
  void run(const std::string& name, int blocks, const Arguments&... arguments) {
    const Status status = emulator_.run(name, blocks, 512, 0, arguments...);
    ASSERT_TRUE(status.ok()) << status.error().message;
  }

  // `slots_per_block` 0: by the kernel for few slots.
  void check(int slots, int experts, int slots_per_block) {
    SCOPED_TRACE(std::to_string(slots) + " slots, " + std::to_string(experts) + " experts, " +
                 std::to_string(slots_per_block) + " per block");
    std::mt19937 random(static_cast<unsigned>(slots * 31 + experts));
    std::vector<int32_t> ids(static_cast<size_t>(slots));
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<unsigned>(experts + 2)) - 1;
    const Sorted right = expected(ids, experts);

    const auto given = emulator_.buffer(ids);
    const auto sorted = emulator_.empty<int32_t>(right.slots.size());
    const EmulatorBuffer<Tile> tiles[2] = {emulator_.empty<Tile>(right.tiles[0].size()),
                                           emulator_.empty<Tile>(right.tiles[1].size())};
    const auto tile_counts = emulator_.empty<int32_t>(2);
    const DevicePtr none = 0;
    const int64_t stride = 0;
    if (slots_per_block == 0) {
      run(kernel("align_small"), 1, given, none, 4, slots, 1, experts, 0, sorted, tiles[0], tiles[1],
          tile_counts, kBlockM[0], kBlockM[1], none, stride, 0, none, none, none, 0, none, 4, none);
    } else {
      const int blocks = (slots + slots_per_block - 1) / slots_per_block;
      const auto counts = emulator_.empty<int32_t>(static_cast<size_t>(blocks * experts));
      run(kernel("align_count"), blocks, given, none, 4, slots, 1, experts, 0, slots_per_block, counts);
      run(kernel("align_place"), blocks, given, none, 4, slots, 1, experts, 0, slots_per_block, counts,
          sorted, tiles[0], tiles[1], tile_counts, kBlockM[0], kBlockM[1], none, stride, 0, none, none, none,
          0, none, 4, none);
    }
    EXPECT_EQ(emulator_.read(sorted), right.slots);
    for (int list = 0; list < 2; ++list) {
      EXPECT_EQ(emulator_.read(tile_counts)[static_cast<size_t>(list)],
                static_cast<int>(right.tiles[list].size()));
      EXPECT_TRUE(emulator_.read(tiles[list]) == right.tiles[list]) << "list " << list;
    }
    if (slots > kFewSlots) return;
    for (int list = 0; list < 2; ++list) {
      const auto own_sorted = emulator_.empty<int32_t>(right.slots.size());
      const auto own_tiles = emulator_.empty<Tile>(right.tiles[list].size());
      const auto own_count = emulator_.empty<int32_t>(1);
      run(kernel("route_few"), 1, given, slots, experts, kBlockM[list], own_sorted, own_tiles, own_count);
      EXPECT_EQ(emulator_.read(own_sorted), right.slots);
      EXPECT_EQ(emulator_.read(own_count)[0], static_cast<int>(right.tiles[list].size()));
      EXPECT_TRUE(emulator_.read(own_tiles) == right.tiles[list]) << "own list " << list;
    }
  }

  Emulator emulator_{"sm_90a"};
};

TEST_F(Align, OneWarpSortsAFewSlots) {
  for (int slots : {1, 2, 7, 31, 32, 33, 50, 63, 64}) {
    for (int experts : {1, 2, 5, 128, 1024}) check(slots, experts, 0);
  }
}

TEST_F(Align, OneBlockSortsMore) {
  for (int slots : {65, 512, 513, 4096}) {
    for (int experts : {1, 3, 128, 1000}) check(slots, experts, 0);
  }
}

TEST_F(Align, ManyBlocksSortInRounds) {
  check(4100, 128, 2048);
  check(5000, 1000, 512);
  check(9000, 6, 8192);  // two rounds, and a block with one
  check(12300, 700, 12320);
}

}  // namespace
}  // namespace rtjit

#include "emulator/grid.h"

#include <algorithm>
#include <memory>
#include <thread>

#include "base/text.h"
#include "emulator/cluster.h"

namespace rtjit::emu {
namespace {

Error resource_error(const Launch& launch, std::string detail) {
  Report report;
  report.kind = FaultKind::resources;
  report.kernel = launch.program->kernel;
  report.detail = std::move(detail);
  return report.error();
}

// Registers are given out to warps in units.
int64_t registers_of(const Launch& launch, const TargetLimits& limits) {
  int64_t warps = (launch.threads() + 31) / 32, unit = std::max(1, limits.register_unit_per_warp);
  return (int64_t(launch.registers) * 32 + unit - 1) / unit * unit * warps;
}

template <class Sizes>
std::string shape(const Sizes& of) {
  return fmt::format("{}x{}x{}", of[0], of[1], of[2]);
}

Status check_dimensions(const Launch& launch, const TargetLimits& limits) {
  // Of each dimension; the same on every target.
  constexpr std::array<uint32_t, 3> kGrid{0x7fffffff, 65535, 65535}, kBlock{1024, 1024, 64};
  const auto &grid = launch.grid, &block = launch.block;
  if (std::count(grid.begin(), grid.end(), 0u) + std::count(block.begin(), block.end(), 0u) > 0)
    return resource_error(launch, "a grid or block dimension is 0");
  const uint64_t threads = uint64_t(block[0]) * block[1] * block[2];
  if (threads > static_cast<uint64_t>(limits.threads_per_block))
    return resource_error(
        launch, fmt::format("{} threads per block, the limit is {}", threads, limits.threads_per_block));
  for (size_t i = 0; i < 3; ++i) {
    if (grid[i] > kGrid[i])
      return resource_error(launch,
                            fmt::format("a grid of {} blocks, the limit is {}", shape(grid), shape(kGrid)));
    if (block[i] > kBlock[i])
      return resource_error(
          launch, fmt::format("a block of {} threads, the limit is {}", shape(block), shape(kBlock)));
  }
  return {};
}

Status check_cluster(const Launch& launch, const TargetLimits& limits) {
  const Program& program = *launch.program;
  const auto& c = launch.cluster;
  uint64_t blocks = uint64_t(c[0]) * c[1] * c[2];
  const auto& required = program.required_cluster;
  if (required[0] && !std::equal(c.begin(), c.end(), required))
    return resource_error(
        launch, fmt::format("a cluster of {} blocks, the kernel requires {} (.reqnctapercluster)", shape(c),
                            shape(required)));
  if (program.explicit_cluster && !required[0] && blocks <= 1)
    return resource_error(launch, "the kernel must be launched with a cluster (.explicitcluster)");
  if (blocks == 0) return resource_error(launch, "a cluster dimension is 0");
  if (program.max_cluster && blocks > program.max_cluster)
    return resource_error(
        launch, fmt::format("a cluster of {} blocks, the kernel allows {} (.maxclusterrank)", blocks,
                            program.max_cluster));
  if (blocks == 1) return {};
  constexpr uint64_t kNonPortable = 16;
  auto limit = static_cast<uint64_t>(limits.max_cluster);
  if (limit == 0)
    return resource_error(launch, fmt::format("a cluster of {} blocks, the target has none", blocks));
  bool opted_in = launch.strictness.non_portable_clusters;
  if (blocks > (opted_in ? kNonPortable : limit))
    return resource_error(
        launch, opted_in ? fmt::format("a cluster of {} blocks, the target allows {}", blocks, kNonPortable)
                         : fmt::format("a cluster of {} blocks, the target allows {} (up to {} need "
                                       "the opt-in for non-portable sizes)",
                                       blocks, limit, kNonPortable));
  for (size_t i = 0; i < 3; ++i) {
    if (launch.grid[i] % c[i] != 0)
      return resource_error(launch,
                            fmt::format("the grid of {} blocks is not a multiple of the cluster of {}",
                                        shape(launch.grid), shape(c)));
  }
  return {};
}

Status check(const Launch& launch, const TargetLimits& limits) {
  const Program& program = *launch.program;
  if (Status status = check_dimensions(launch, limits); !status.ok()) return status;
  if (program.max_threads && launch.threads() > static_cast<uint32_t>(program.max_threads))
    return resource_error(
        launch, fmt::format("{} threads per block, the kernel is compiled for at most {} (.maxntid)",
                            launch.threads(), program.max_threads));
  if (program.required_threads[0]) {
    for (int i = 0; i < 3; ++i) {
      if (launch.block[i] != static_cast<uint32_t>(program.required_threads[i]))
        return resource_error(launch, "the block is not the one the kernel requires (.reqntid)");
    }
  }
  int64_t shared = static_cast<int64_t>(program.dynamic_shared) + launch.dynamic_smem;
  if (shared > limits.smem_per_block)
    return resource_error(launch, fmt::format("{} B of shared memory, the target allows {} B per block",
                                              with_thousands(shared), with_thousands(limits.smem_per_block)));
  if (launch.registers > limits.registers_per_thread)
    return resource_error(launch, fmt::format("{} registers per thread, the target allows {}",
                                              launch.registers, limits.registers_per_thread));
  if (int64_t registers = registers_of(launch, limits); registers > limits.registers_per_block)
    return resource_error(
        launch, fmt::format("{} registers for {} threads of {} registers, the target allows {} per block",
                            with_thousands(registers), launch.threads(), launch.registers,
                            with_thousands(limits.registers_per_block)));
  return check_cluster(launch, limits);
}

// One worker: takes clusters in order. A cluster that runs long shares the worker with later ones, because
// blocks of a grid may wait for each other (stream-K, grid barriers) as far as they can be resident together.
void work(Launch& launch, std::atomic<uint32_t>& next, uint32_t count) {
  constexpr size_t kResident = 64;
  constexpr int kPatience = 4000;  // slices before another cluster is started beside it
  std::vector<std::unique_ptr<Cluster>> resident, spare;
  int slices = 0;
  size_t wanted = 1;
  while (!launch.stop) {
    while (resident.size() < wanted) {
      uint32_t index = next.fetch_add(1);
      if (index >= count) break;
      if (spare.empty()) spare.push_back(std::make_unique<Cluster>());
      resident.push_back(std::move(spare.back()));
      spare.pop_back();
      resident.back()->start(&launch, index);
    }
    if (resident.empty()) return;
    for (size_t i = 0; i < resident.size() && !launch.stop;) {
      if (resident[i]->run_slice()) {
        ++i;
        continue;
      }
      spare.push_back(std::move(resident[i]));
      resident.erase(resident.begin() + static_cast<long>(i));
      slices = 0;
      wanted = 1;
    }
    if (++slices > kPatience && wanted < kResident) {
      slices = 0;
      ++wanted;
    }
  }
}

}  // namespace

Status run_grid(Launch& launch, const TargetLimits& limits, int host_threads) {
  if (Status status = check(launch, limits); !status.ok()) return status;
  uint64_t blocks = static_cast<uint64_t>(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  if (blocks > 0xffffffffu) return resource_error(launch, "the grid has more than 2^32 - 1 blocks");
  auto count = static_cast<uint32_t>(blocks / (launch.cluster[0] * launch.cluster[1] * launch.cluster[2]));
  std::atomic<uint32_t> next{0};
  int threads =
      host_threads > 0 ? host_threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  threads = static_cast<int>(std::min<uint64_t>(static_cast<uint64_t>(threads), count));
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back([&] { work(launch, next, count); });
  work(launch, next, count);
  for (std::thread& thread : others) thread.join();
  if (launch.report) return launch.report->error();
  return {};
}

}  // namespace rtjit::emu

#include "emulator/memory_access.h"

#include <algorithm>

namespace rtjit::emu {

bool report_conflict(Warp& w, const Op& op, const RaceDetector::Conflict& conflict, const char* wants,
                     int lane) {
  const char* other = conflict.other_wrote ? "wrote" : "read";
  u64 address = w.block().shared_address_of(conflict.offset);
  auto report = [&](FaultKind kind, std::string detail) {
    w.fault(op, kind, std::move(detail), lane, &address);
  };
  switch (conflict.kind) {
    case RaceDetector::Kind::proxy:
      report(FaultKind::proxy_fence,
             fmt::format(
                 "{} wrote this shared memory at PTX line {} through the generic proxy; this instruction "
                 "goes through the asynchronous one, and no fence.proxy.async lies between",
                 who_raced(w.block(), conflict), conflict.other_line));
      break;
    case RaceDetector::Kind::lanes:
      report(FaultKind::race,
             fmt::format(
                 "lane {} {} shared memory that {} of the same warp {} at PTX line {}, and no __syncwarp() "
                 "lies between",
                 lane, wants,
                 conflict.other_lane == kWholeWarp ? std::string("another lane")
                                                   : fmt::format("lane {}", conflict.other_lane),
                 other, conflict.other_line));
      break;
    default:
      report(FaultKind::race,
             fmt::format("warp {} {} shared memory that {} {} at PTX line {}, and nothing orders the two",
                         w.index(), wants, who_raced(w.block(), conflict), other, conflict.other_line));
  }
  return false;
}

bool check_writers(Warp& w, const Op& op, u64 address, u32 bytes, int lane, Path path, bool write) {
  Block& block = w.block();
  Launch& launch = block.launch();
  const WriteRecord::Writer writer =
      launch.record->find(launch.memory->offset(address), bytes, block.linear_index());
  if (!writer.any) return true;
  u64 at = kGlobalBase + writer.offset;
  const auto& grid = launch.grid;
  std::string who = fmt::format("block ({},{},{})", writer.block % grid[0], writer.block / grid[0] % grid[1],
                                writer.block / (grid[0] * grid[1]));
  if (path == Path::non_coherent) {
    w.fault(op, FaultKind::race,
            fmt::format("a load by the non-coherent path (.nc) of memory that {} wrote in this launch", who),
            lane, &at);
    return false;
  }
  if (writer.block != block.linear_index() && !block.may_have_met(writer.block)) {
    w.fault(op, FaultKind::race,
            fmt::format(
                "this block {} global memory that {} wrote in this launch, and has done nothing that could "
                "order the two",
                write ? "writes" : "reads", who),
            lane, &at);
    return false;
  }
  if (path == Path::async && !writer.async && !launch.async_fenced.load(std::memory_order_relaxed)) {
    w.fault(
        op, FaultKind::proxy_fence,
        fmt::format("{} wrote this global memory in this launch through the generic proxy; this instruction "
                    "goes through the asynchronous one, and nobody has made a fence.proxy.async",
                    who),
        lane, &at);
    return false;
  }
  return true;
}

namespace {

// Calls f(address, bytes) for the aligned pieces of a span until one returns false.
template <class F>
bool each_aligned_piece(u64 address, u32 bytes, F f) {
  for (u64 end = address + bytes; address < end;) {
    u64 next = std::min(end, (address / 32 + 1) * 32);
    if (!f(address, static_cast<u32>(next - address))) return false;
    address = next;
  }
  return true;
}

}  // namespace

bool check_blocks_read_span(Warp& w, const Op& op, u64 address, u32 bytes, int lane, Path path) {
  if (!w.block().launch().record) return true;
  return each_aligned_piece(
      address, bytes, [&](u64 at, u32 count) { return check_blocks_read(w, op, at, count, lane, path); });
}

bool note_blocks_write_span(Warp& w, const Op& op, u64 address, const uint8_t* value, u32 bytes, int lane) {
  if (!w.block().launch().record) return true;
  GlobalMemory& memory = *w.block().launch().memory;
  return each_aligned_piece(address, bytes, [&](u64 at, u32 count) {
    bool unchanged = std::memcmp(memory.data(at), value + (at - address), count) == 0;
    return note_blocks_write(w, op, at, count, lane, Path::async, unchanged);
  });
}

}  // namespace rtjit::emu

#include "emulator/control_flow.h"

#include <algorithm>

#include "emulator/program.h"

namespace rtjit::emu {
namespace {

struct BasicBlock {
  uint32_t first = 0, last = 0;  // ops
  std::vector<int> successors, predecessors;
};

struct Graph {
  std::vector<BasicBlock> blocks;
  std::vector<int> block_of;  // op -> block
};

Graph build(const std::vector<FlowNode>& nodes) {
  std::vector<bool> leader(nodes.size() + 1, false);
  leader[0] = true;
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (uint32_t target : nodes[i].targets) leader[target] = true;
    if (!nodes[i].targets.empty() || !nodes[i].falls_through) leader[i + 1] = true;
  }
  Graph graph;
  graph.block_of.resize(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (leader[i]) graph.blocks.push_back({static_cast<uint32_t>(i), 0, {}, {}});
    graph.blocks.back().last = static_cast<uint32_t>(i);
    graph.block_of[i] = static_cast<int>(graph.blocks.size()) - 1;
  }
  for (size_t b = 0; b < graph.blocks.size(); ++b) {
    const FlowNode& node = nodes[graph.blocks[b].last];
    std::vector<int> next;
    for (uint32_t target : node.targets) next.push_back(graph.block_of[target]);
    if (node.falls_through && graph.blocks[b].last + 1 < nodes.size())
      next.push_back(static_cast<int>(b) + 1);
    std::sort(next.begin(), next.end());
    next.erase(std::unique(next.begin(), next.end()), next.end());
    for (int s : next) graph.blocks[s].predecessors.push_back(static_cast<int>(b));
    graph.blocks[b].successors = std::move(next);
  }
  return graph;
}

}  // namespace

std::vector<uint32_t> meeting_points(const std::vector<FlowNode>& nodes) {
  Graph graph = build(nodes);
  int count = static_cast<int>(graph.blocks.size()), exit = count;
  // Post-order of the reversed graph from a virtual exit behind every block without successors.
  std::vector<int> order, position(count + 1, -1);
  std::vector<std::vector<int>> reverse(count + 1);
  for (int b = 0; b < count; ++b) {
    for (int s : graph.blocks[b].successors) reverse[s].push_back(b);
    if (graph.blocks[b].successors.empty()) reverse[exit].push_back(b);
  }
  std::vector<std::pair<int, size_t>> stack{{exit, 0}};
  std::vector<bool> seen(count + 1, false);
  seen[exit] = true;
  while (!stack.empty()) {
    auto& [block, next] = stack.back();
    if (next < reverse[block].size()) {
      int into = reverse[block][next++];
      if (!seen[into]) {
        seen[into] = true;
        stack.push_back({into, 0});
      }
    } else {
      position[block] = static_cast<int>(order.size());
      order.push_back(block);
      stack.pop_back();
    }
  }
  // Cooper, Harvey and Kennedy's iteration.
  std::vector<int> dominator(count + 1, -1);
  dominator[exit] = exit;
  for (bool changed = true; changed;) {
    changed = false;
    for (auto it = order.rbegin(); it != order.rend(); ++it) {
      int b = *it;
      if (b == exit) continue;
      int best = -1;
      auto consider = [&](int s) {
        if (position[s] < 0 || dominator[s] < 0) return;
        if (best < 0) {
          best = s;
          return;
        }
        int x = best, y = s;
        while (x != y) {
          while (position[x] < position[y]) x = dominator[x];
          while (position[y] < position[x]) y = dominator[y];
        }
        best = x;
      };
      for (int s : graph.blocks[b].successors) consider(s);
      if (graph.blocks[b].successors.empty()) consider(exit);
      if (best >= 0 && dominator[b] != best) dominator[b] = best, changed = true;
    }
  }
  std::vector<uint32_t> points(nodes.size(), kNone);
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].targets.empty()) continue;
    int d = dominator[graph.block_of[i]];
    if (d >= 0 && d != exit) points[i] = graph.blocks[d].first;
  }
  return points;
}

uint32_t assign_slots(const std::vector<FlowNode>& nodes, const std::vector<uint8_t>& classes,
                      std::vector<uint32_t>* offsets) {
  Graph graph = build(nodes);
  size_t registers = classes.size(), words = (registers + 63) / 64, count = graph.blocks.size();
  using Bits = std::vector<uint64_t>;
  std::vector<Bits> gen(count, Bits(words)), kill(count, Bits(words)), live_in(count, Bits(words)),
      live_out(count, Bits(words));
  auto set = [](Bits& bits, uint32_t r) { bits[r / 64] |= uint64_t(1) << (r % 64); };
  auto has = [](const Bits& bits, uint32_t r) { return bits[r / 64] >> (r % 64) & 1; };
  for (size_t b = 0; b < count; ++b) {
    for (uint32_t i = graph.blocks[b].first; i <= graph.blocks[b].last; ++i) {
      for (uint32_t r : nodes[i].uses) {
        if (!has(kill[b], r)) set(gen[b], r);
      }
      for (uint32_t r : nodes[i].defs) {
        if (nodes[i].conditional_def) {
          if (!has(kill[b], r)) set(gen[b], r);
        } else {
          set(kill[b], r);
        }
      }
    }
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t b = count; b-- > 0;) {
      for (size_t w = 0; w < words; ++w) {
        uint64_t out = 0;
        for (int s : graph.blocks[b].successors) out |= live_in[s][w];
        live_out[b][w] = out;
        uint64_t in = gen[b][w] | (out & ~kill[b][w]);
        if (in != live_in[b][w]) live_in[b][w] = in, changed = true;
      }
    }
  }
  // One interval per register over the program order, widened to whole blocks where it is live through their
  // edges.
  std::vector<uint32_t> start(registers, kNone), end(registers, 0);
  auto touch = [&](uint32_t r, uint32_t at) {
    start[r] = start[r] == kNone ? at : std::min(start[r], at);
    end[r] = std::max(end[r], at);
  };
  for (size_t b = 0; b < count; ++b) {
    const BasicBlock& block = graph.blocks[b];
    for (size_t w = 0; w < words; ++w) {
      for (uint64_t bits = live_in[b][w]; bits; bits &= bits - 1)
        touch(static_cast<uint32_t>(w * 64) + static_cast<uint32_t>(__builtin_ctzll(bits)), block.first * 2);
      for (uint64_t bits = live_out[b][w]; bits; bits &= bits - 1)
        touch(static_cast<uint32_t>(w * 64) + static_cast<uint32_t>(__builtin_ctzll(bits)),
              block.last * 2 + 2);
    }
    for (uint32_t i = block.first; i <= block.last; ++i) {
      for (uint32_t r : nodes[i].uses) touch(r, i * 2 + (nodes[i].keep_apart ? 1 : 0));
      for (uint32_t r : nodes[i].defs) touch(r, i * 2 + 1);
    }
  }
  std::vector<uint32_t> by_start;
  for (uint32_t r = 0; r < registers; ++r) {
    if (start[r] != kNone && classes[r]) by_start.push_back(r);
  }
  std::stable_sort(by_start.begin(), by_start.end(),
                   [&](uint32_t a, uint32_t b) { return start[a] < start[b]; });
  offsets->assign(registers, kNone);
  uint32_t total = 0;
  // 64-bit slots first, then 32-bit, then predicates, so that everything is aligned to its size.
  for (uint8_t width : {64, 32, 1}) {
    uint32_t bytes = width == 64 ? 256 : width == 32 ? 128 : 4;
    std::vector<std::pair<uint32_t, uint32_t>> busy;  // (end, offset)
    std::vector<uint32_t> available;
    for (uint32_t r : by_start) {
      if (classes[r] != width) continue;
      for (size_t i = 0; i < busy.size();) {
        if (busy[i].first < start[r]) {
          available.push_back(busy[i].second);
          busy[i] = busy.back();
          busy.pop_back();
        } else {
          ++i;
        }
      }
      uint32_t offset;
      if (available.empty()) {
        offset = total;
        total += bytes;
      } else {
        offset = available.back();
        available.pop_back();
      }
      (*offsets)[r] = offset;
      busy.push_back({end[r], offset});
    }
  }
  return (total + 255) / 256 * 256;
}

}  // namespace rtjit::emu

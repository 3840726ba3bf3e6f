// Loads and stores of every state space, with vectors and cache hints.
#include <cstring>

#include "emulator/async_copy.h"
#include "emulator/memory_access.h"

namespace rtjit::emu {
namespace {

using Kind = Type::Kind;
using ptx::Operand;
using ptx::Space;

constexpr u32 kMostBytes = 32;  // of one access
constexpr u32 kSigned = 1, kWideRegister = 2, kNarrow16 = 4, kStrong = 8, kNonCoherent = 16;

// One element from memory to a lane's register; registers may be wider than the type.
template <int Bytes>
inline void put(Warp& w, u32 slot, int lane, const uint8_t* from, u32 mods) {
  if (slot == kNone) return;
  if constexpr (Bytes == 8) {
    std::memcpy(&w.reg<u64>(slot)[lane], from, 8);
  } else {
    u32 value = 0;
    std::memcpy(&value, from, Bytes);
    if (mods & kSigned) value = static_cast<u32>(sign_extend<Bytes * 8>(value));
    if (mods & kWideRegister)
      w.reg<u64>(slot)[lane] = mods & kSigned ? static_cast<u64>(s64(s32(value))) : value;
    else
      w.reg<u32>(slot)[lane] = mods & kNarrow16 ? value & 0xffff : value;
  }
}

template <Space S>
void order_strong(Warp& w) {
  w.block().races.synchronise(w.who());
  w.block().met_cluster = true;
  if constexpr (S == Space::global || S == Space::none) w.block().met_others = true;
}

template <Space S, int Bytes>
void run_load(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  const u32 count = op.list_size, total = Bytes * count;
  if (op.mods & kStrong) order_strong<S>(w);
  [[maybe_unused]] const Path path = op.mods & kNonCoherent ? Path::non_coherent : Path::ordinary;
  bool global_shadow = S == Space::global && !w.block().launch().strictness.uninitialised_global;
  for (u32 mask = w.exec; mask; mask &= mask - 1) {
    int l = std::countr_zero(mask);
    u64 address = lane_address(w, op, l);
    if constexpr (S == Space::shared) address &= 0xffffffff;
    uint8_t* shadow = nullptr;
    const uint8_t* p = w.locate<S>(op, address, l, total, total, Access::read, &shadow);
    if (!p) return;
    if (!is_written(shadow, total) && !global_shadow && !w.check_written(op, shadow, total, l, address))
      return;
    if constexpr (S == Space::shared || S == Space::none) {
      if (!(op.mods & kStrong) && !check_race<false>(w, op, shadow, total, l, l)) return;
    }
    if constexpr (S == Space::global || S == Space::none) {
      if (!(op.mods & kStrong) && !check_blocks_read(w, op, address, total, l, path)) return;
    }
    for (u32 i = 0; i < count; ++i) put<Bytes>(w, list[i], l, p + i * Bytes, op.mods);
  }
}

// A kernel parameter at a fixed place: the same for every lane.
template <int Bytes>
void run_load_parameter(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  const std::vector<uint8_t>& parameters = w.block().launch().parameters;
  u64 offset = op.imm;
  for (u32 i = 0; i < op.list_size; ++i) {
    if (list[i] == kNone) continue;
    const uint8_t* p = parameters.data() + offset + i * Bytes;
    each_lane(w.exec, [&](int l) { put<Bytes>(w, list[i], l, p, op.mods); });
  }
}

template <Space S, int Bytes>
void run_store(Warp& w, const Op& op) {
  const u32* list = w.program().lists.data() + op.list;
  const u32 count = op.list_size, total = Bytes * count;
  if (op.mods & kStrong) order_strong<S>(w);
  for (u32 mask = w.exec; mask; mask &= mask - 1) {
    int l = std::countr_zero(mask);
    u64 address = lane_address(w, op, l);
    if constexpr (S == Space::shared) address &= 0xffffffff;
    uint8_t* shadow = nullptr;
    uint8_t* p = w.locate<S>(op, address, l, total, total, Access::write, &shadow);
    if (!p) return;
    uint8_t value[kMostBytes];
    for (u32 i = 0; i < count; ++i) {
      if (Bytes == 8 || (op.mods & kWideRegister))
        std::memcpy(value + i * Bytes, &w.reg<u64>(list[i])[l], Bytes);
      else
        std::memcpy(value + i * Bytes, &w.reg<u32>(list[i])[l], Bytes);
    }
    if (!may_write(w, op, shadow, total, l, address)) return;
    if constexpr (S == Space::shared || S == Space::none) {
      if (!(op.mods & kStrong) &&
          !check_race<true>(w, op, shadow, total, l, l, std::memcmp(p, value, total) == 0))
        return;
    }
    if constexpr (S == Space::global || S == Space::none) {
      if (!(op.mods & kStrong) &&
          !note_blocks_write(w, op, address, total, l, Path::ordinary, std::memcmp(p, value, total) == 0))
        return;
    }
    std::memcpy(p, value, total);
  }
}

template <Space S>
Handler load_handler(int bytes) {
  switch (bytes) {
    case 1:
      return run_load<S, 1>;
    case 2:
      return run_load<S, 2>;
    case 4:
      return run_load<S, 4>;
    case 8:
      return run_load<S, 8>;
    default:
      return nullptr;
  }
}
template <Space S>
Handler store_handler(int bytes) {
  switch (bytes) {
    case 1:
      return run_store<S, 1>;
    case 2:
      return run_store<S, 2>;
    case 4:
      return run_store<S, 4>;
    case 8:
      return run_store<S, 8>;
    default:
      return nullptr;
  }
}
Handler pick(Space space, int bytes, bool load) {
  switch (space) {
    case Space::global:
    case Space::constant:
      return load ? load_handler<Space::global>(bytes) : store_handler<Space::global>(bytes);
    case Space::shared:
      return load ? load_handler<Space::shared>(bytes) : store_handler<Space::shared>(bytes);
    case Space::local:
      return load ? load_handler<Space::local>(bytes) : store_handler<Space::local>(bytes);
    case Space::param:
      return load ? load_handler<Space::param>(bytes) : store_handler<Space::param>(bytes);
    default:
      return load ? load_handler<Space::none>(bytes) : store_handler<Space::none>(bytes);
  }
}

// .weak .volatile .relaxed.gpu .acquire.sys .mmio .nc and so on: all are ordered as executed.
bool take_ordering(Decoder& d) {
  static constexpr std::string_view kWords[] = {"weak", "volatile", "relaxed", "acquire", "release",
                                                "mmio", "cta",      "cluster", "gpu",     "sys"};
  bool strong = false;
  for (bool found = true; found;) {
    found = false;
    for (std::string_view word : kWords) {
      if (!d.take(word)) continue;
      found = true;
      strong = strong || word != "weak";
    }
  }
  return strong;
}

void decode_access(Decoder& d, bool load) {
  if (take_ordering(d)) d.op.mods |= kStrong;
  bool cluster = false;
  Space space = take_space(d, &cluster);
  bool non_coherent = d.take("nc");
  d.take("unified");
  bool policy = d.has_modifier("L2::cache_hint");
  d.take_cache_hints();
  non_coherent = d.take("nc") || non_coherent;
  d.take_cache_hints();
  if (non_coherent) d.op.mods |= kNonCoherent;
  int vector = d.take("v2") ? 2 : d.take("v4") ? 4 : d.take("v8") ? 8 : 1;
  Type type = d.take_type();
  if (d.failed()) return;
  if (type.bits > 64) return d.fail("128-bit elements are not supported");
  d.expect_operands(2, policy ? 3 : 2);
  size_t data_index = load ? 0 : 1, address_index = load ? 1 : 0;
  const Operand& data = d.operand(data_index);
  std::vector<Operand> elements =
      data.kind == Operand::Kind::vector ? data.elements : std::vector<Operand>{data};
  if (static_cast<int>(elements.size()) != vector)
    return d.fail(fmt::format("{} registers for a vector of {}", elements.size(), vector));
  if (static_cast<u32>(type.bits / 8 * vector) > kMostBytes)
    return d.fail(fmt::format("an access is at most {} bytes", kMostBytes));
  Space symbol_space = decode_address(d, address_index);
  if (cluster) d.op.imm += kSharedWindow;
  // Parameters of calls live in local memory.
  if (space == Space::param && symbol_space == Space::local) space = Space::local;
  for (const Operand& element : elements) {
    int width = d.register_width(element);
    if (width == 0) width = type.bits <= 32 ? 32 : 64;
    if (width == 64 && type.bits < 64) d.op.mods |= kWideRegister;
    if (width == 32 && type.bits == 64) return d.fail("a 64-bit element needs a 64-bit register");
    if (load && d.declared_bits(element) == 16) d.op.mods |= kNarrow16;
    d.add_list(load ? d.destination(element, width) : d.source(element, width, type.kind));
  }
  if (type.is_signed()) d.op.mods |= kSigned;
  int bytes = type.bits / 8;
  if (load && space == Space::param && symbol_space == Space::param) {
    const Operand& base = d.operand(address_index).elements[0];
    std::optional<SymbolAddress> symbol = d.symbol(base.name);
    d.op.imm += symbol ? symbol->address : 0;
    d.op.run = bytes == 1   ? run_load_parameter<1>
               : bytes == 2 ? run_load_parameter<2>
               : bytes == 4 ? run_load_parameter<4>
                            : run_load_parameter<8>;
    return;
  }
  d.op.run = pick(space, bytes, load);
}

}  // namespace

void add_memory_instructions(InstructionTable& table) {
  table["ld"] = table["ldu"] = [](Decoder& d) { decode_access(d, true); };
  table["st"] = [](Decoder& d) {
    if (d.take("async")) return decode_store_async(d);
    decode_access(d, false);
  };
}

}  // namespace rtjit::emu

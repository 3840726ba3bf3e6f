// A kernel decoded for execution: one Op per instruction, operands resolved to byte offsets in the warp's
// register file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "emulator/ptx_ast.h"

namespace rtjit::emu {

class Warp;
struct Op;
using Handler = void (*)(Warp&, const Op&);

inline constexpr uint32_t kNone = 0xffffffffu;

// The register file of a warp is one block of bytes. A predicate takes 4 bytes (a bit per lane), a register
// of up to 32 bits takes 32 x 4 bytes (narrower values zero-extended), a 64-bit one 32 x 8. Constants and
// special registers are slots too, filled when the warp starts, so that handlers see only slots.
struct Op {
  Handler run = nullptr;
  uint32_t d = kNone, a = kNone, b = kNone, c = kNone;
  uint32_t guard = kNone;
  bool guard_negated = false;
  uint8_t small = 0;  // family-specific
  uint16_t list_size = 0;
  uint32_t list = 0;        // first extra operand in Program::lists
  uint32_t mods = 0;        // family-specific
  uint64_t imm = 0;         // family-specific: address offset, table index
  uint32_t target = kNone;  // branches: op index
  uint32_t reconverge = kNone;
  int32_t line = 0, source_line = 0;
};

struct ConstantSlot {
  uint32_t offset = 0;
  uint8_t bits = 32;  // 1 (predicate), 32 or 64
  uint64_t value = 0;
  bool is_shared_address = false;  // counted from the block's place in the shared window
};
enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  clusterid_x,
  clusterid_y,
  clusterid_z,
  nclusterid_x,
  nclusterid_y,
  nclusterid_z,
  cluster_ctaid_x,
  cluster_ctaid_y,
  cluster_ctaid_z,
  cluster_nctaid_x,
  cluster_nctaid_y,
  cluster_nctaid_z,
  cluster_ctarank,
  cluster_nctarank,
  is_explicit_cluster,
  dynamic_smem_size,
  total_smem_size,
  aggr_smem_size,
  reserved_smem_begin,
  reserved_smem_end,
};
struct SpecialSlot {
  uint32_t offset = 0;
  Special special{};
  bool wide = false;
};

struct ParameterLayout {
  std::string name;
  uint32_t offset = 0, bytes = 0;
};

struct Program {
  std::string kernel;
  std::vector<Op> ops;
  std::vector<std::string> opcodes;  // text per op, for reports
  std::vector<uint32_t> lists;
  std::vector<ConstantSlot> constants;
  std::vector<SpecialSlot> specials;
  uint32_t register_bytes = 0;
  std::vector<ParameterLayout> parameters;
  uint32_t parameter_bytes = 0;
  uint32_t static_shared = 0;   // bytes from the start of the block's shared memory
  uint32_t dynamic_shared = 0;  // where extern shared arrays begin
  uint32_t local_bytes = 0;     // per thread, including call parameters
  int max_threads = 0;
  int required_threads[3] = {0, 0, 0};
  uint32_t required_cluster[3] = {0, 0, 0};          // .reqnctapercluster; 0 when not given
  uint32_t max_cluster = 0;                          // .maxclusterrank
  bool explicit_cluster = false;                     // .explicitcluster
  std::vector<std::vector<uint32_t>> branch_tables;  // brx.idx: op indices
};

}  // namespace rtjit::emu

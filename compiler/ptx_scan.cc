#include "compiler/ptx_scan.h"

#include <algorithm>
#include <initializer_list>

#include "compiler/ptx_statements.h"

namespace rtjit {
namespace {

// An opcode cut at its dots: "cp.async.bulk" -> cp, async, bulk. "::" stays within a part.
class Opcode {
 public:
  explicit Opcode(std::string_view text) : text_(text) {
    while (!text.empty()) {
      size_t dot = text.find('.');
      parts_.push_back(text.substr(0, dot));
      text = dot == text.npos ? std::string_view() : text.substr(dot + 1);
    }
    if (parts_.empty()) parts_.push_back({});
  }

  std::string_view base() const { return parts_.front(); }
  bool starts(std::string_view prefix) const {
    return text_.substr(0, prefix.size()) == prefix &&
           (text_.size() == prefix.size() || text_[prefix.size()] == '.');
  }
  bool has(std::string_view part) const {
    return std::find(parts_.begin(), parts_.end(), part) != parts_.end();
  }
  bool any(std::initializer_list<std::string_view> some) const {
    return std::any_of(some.begin(), some.end(), [this](std::string_view part) { return has(part); });
  }
  // Types of cvt: the last part is the source, the one before it the destination.
  std::string_view from_end(size_t index) const {
    return index < parts_.size() ? parts_[parts_.size() - 1 - index] : std::string_view();
  }

 private:
  std::string_view text_;
  std::vector<std::string_view> parts_;
};

using Names = std::vector<std::string_view>;

void bulk_tensor_copy(const Opcode& op, Names& found) {
  bool gather = op.has("tile::gather4");
  if (op.has("prefetch")) {
    found.push_back(gather ? "tma.prefetch.gather4" : "tma.prefetch");
    return;
  }
  if (op.has("tile::scatter4")) {
    found.push_back("tma.tile.scatter4");
  } else if (gather) {
    found.push_back(op.has("shared::cta") ? "tma.tile.gather4" : "tma.tile.gather4.cluster");
  } else if (op.any({"im2col::w", "im2col::w::128"})) {
    found.push_back("tma.im2col.w");
  } else if (op.any({"im2col", "im2col_no_offs"})) {
    found.push_back("tma.im2col");
  } else {
    found.push_back(op.has("mbarrier::complete_tx::bytes") ? "tma.tile.load" : "tma.tile.store");
  }
  if (op.any({"cta_group::1", "cta_group::2"})) found.push_back("tma.cta_group");
}

void copy(const Opcode& op, Names& found) {
  if (op.starts("cp.reduce.async.bulk.tensor")) {
    found.push_back("tma.reduce.add");
  } else if (op.starts("cp.reduce.async.bulk")) {
    found.push_back("cp.reduce.async.bulk");
  } else if (op.starts("cp.async.bulk.commit_group") || op.starts("cp.async.bulk.wait_group")) {
    return;  // mean nothing without a bulk copy, which is found itself
  } else if (op.starts("cp.async.bulk.tensor") || op.starts("cp.async.bulk.prefetch.tensor")) {
    bulk_tensor_copy(op, found);
  } else if (op.starts("cp.async.bulk")) {
    found.push_back("cp.async.bulk");
  } else if (op.starts("cp.async")) {
    found.push_back("cp.async");
  }
  if (op.has("multicast::cluster")) found.push_back("tma.multicast");
}

void matrix_multiply(const Opcode& op, Names& found) {
  bool sparse = op.has("sp") || op.has("sp::ordered_metadata");
  if (op.has("kind::mxf8f6f4")) {
    found.push_back("mma.block_scale.mxf8f6f4");
  } else if (op.has("kind::mxf4")) {
    found.push_back("mma.block_scale.mxf4");
  } else if (op.has("kind::mxf4nvf4")) {
    found.push_back("mma.block_scale.mxf4nvf4");
  } else if (op.has("kind::f8f6f4")) {
    found.push_back("mma.f8f6f4");
  } else if (op.any({"e4m3", "e5m2"})) {
    found.push_back("mma.fp8");
  } else if (op.has("bf16")) {
    if (!sparse) found.push_back("mma.bf16");
  } else if (op.has("tf32")) {
    found.push_back("mma.tf32");
  } else if (op.has("f64")) {
    found.push_back("mma.f64");
  } else if (op.any({"s8", "u8"})) {
    found.push_back(op.has("m8n8k16") ? "mma.int8.k16" : "mma.int8");
  } else if (op.has("f16")) {
    if (op.has("m16n8k8")) found.push_back("mma.f16.k8");
    if (op.any({"m16n8k16", "m16n8k32"})) found.push_back("mma.f16");
  }
  if (sparse) found.push_back("mma.sp.bf16");  // the sparse unit; every type came with it
}

void convert(const Opcode& op, Names& found) {
  std::string_view to = op.from_end(1), from = op.from_end(0);
  auto either = [&](std::string_view a, std::string_view b) {
    return to == a || to == b || from == a || from == b;
  };
  if (from == "e4m3x2" || from == "e5m2x2") found.push_back("cvt.e4m3x2.f16x2");
  if (to == "e4m3x2" || to == "e5m2x2") found.push_back("cvt.f32.e4m3x2");
  if (from == "e2m1x2") found.push_back(to == "bf16x2" ? "cvt.e2m1x2.bf16x2" : "cvt.e2m1x2.f16x2");
  if (to == "e2m1x2") found.push_back("cvt.f32.e2m1x2");
  if (either("e2m3x2", "e3m2x2")) found.push_back("cvt.e2m3x2.f16x2");
  if (from == "ue8m0x2") found.push_back("cvt.ue8m0x2.bf16x2");
  if (to == "ue8m0x2") found.push_back("cvt.f32.ue8m0x2");
  if (to == "bf16x2" && from == "f32") found.push_back("cvt.f32.bf16x2");
}

void tensor_memory(const Opcode& op, Names& found) {
  if (!op.starts("tcgen05.mma")) {
    found.push_back("tcgen05.alloc");
    return;
  }
  bool block_form = op.any({"block16", "block32"});
  if (op.any({"kind::f16", "kind::tf32"})) found.push_back("tcgen05.mma.f16");
  if (op.has("kind::f8f6f4")) found.push_back("tcgen05.mma.f8f6f4");
  if (op.has("kind::i8")) found.push_back("tcgen05.mma.i8");
  if (op.has("kind::mxf8f6f4"))
    found.push_back(block_form ? "tcgen05.mma.mxf8f6f4.block32" : "tcgen05.mma.mxf8f6f4");
  if (op.any({"kind::mxf4", "kind::mxf4nvf4"}))
    found.push_back(block_form ? "tcgen05.mma.mxf4.block32" : "tcgen05.mma.mxf4");
}

void load_or_store(const Opcode& op, Names& found) {
  if (op.starts("st.async")) {
    found.push_back("st.async");
    return;
  }
  bool wide = op.has("v8") || (op.has("v4") && op.any({"b64", "u64", "s64", "f64"}));
  if (wide) found.push_back(op.base() == "ld" ? "ld.global.v8" : "st.global.v8");
}

void atomic(const Opcode& op, Names& found) {
  if (op.starts("red.async")) {
    found.push_back("st.async");
    return;
  }
  if (op.any({"bf16", "bf16x2"})) found.push_back("red.bf16x2");
  if (op.any({"v2", "v4", "v8"}) && op.has("f32")) found.push_back("red.v4.f32");
}

void matrix_transfer(const Opcode& op, Names& found) {
  if (op.base() == "stmatrix") {
    found.push_back(op.has("b8") ? "stmatrix.m16n8.b8" : "stmatrix");
  } else if (op.any({"b4x16_p64", "b6x16_p32"})) {
    found.push_back("ldmatrix.b8x16.b4x16_p64");
  } else {
    found.push_back(op.has("m16n16") ? "ldmatrix.m16n16.b8" : "ldmatrix");
  }
}

void barrier_object(const Opcode& op, Names& found) {
  if (op.has("try_wait")) {
    found.push_back("mbarrier.try_wait");
  } else {
    found.push_back(op.any({"expect_tx", "complete_tx"}) ? "mbarrier.expect_tx" : "mbarrier");
  }
}

void arithmetic(const Opcode& op, Names& found) {
  std::string_view base = op.base();
  bool bf16 = op.any({"bf16", "bf16x2"});
  bool basic = base == "fma" || base == "add" || base == "sub" || base == "mul";
  if (basic && op.has("f32x2")) found.push_back("fma.f32x2");
  if (!bf16) return;
  if (base == "fma" || base == "min" || base == "max" || base == "neg" || base == "abs")
    found.push_back("fma.bf16x2");
  if (basic && base != "fma") found.push_back("add.bf16x2");
  if (base == "ex2") found.push_back("ex2.bf16x2");
  if (base == "tanh") found.push_back("tanh.bf16x2");
}

// Whether the instruction reaches into other blocks of a cluster, or asks about the cluster.
bool uses_cluster(const Opcode& op, std::string_view operands) {
  if (op.starts("barrier.cluster") || op.base() == "mapa" || op.base() == "getctarank") return true;
  // Asynchronous copies name their own block's memory by ".shared::cluster" too.
  bool asynchronous = op.base() == "cp" || op.has("async");
  if (!asynchronous && op.any({"shared::cluster", "cluster"})) return true;
  for (std::string_view name : {"%cluster", "%is_explicit_cluster", "%nclusterid"})
    if (operands.find(name) != operands.npos) return true;
  return false;
}

// The features one instruction needs.
Names features_of(const Opcode& op, std::string_view operands) {
  Names found;
  std::string_view base = op.base();
  if (base == "cp") copy(op, found);
  if (base == "mma" || op.starts("wmma.mma")) matrix_multiply(op, found);
  if (base == "cvt") convert(op, found);
  if (base == "tcgen05") tensor_memory(op, found);
  if (base == "ld" || base == "st") load_or_store(op, found);
  if (base == "red" || base == "atom") atomic(op, found);
  if (base == "ldmatrix" || base == "stmatrix") matrix_transfer(op, found);
  if (base == "mbarrier") barrier_object(op, found);
  if (base == "wgmma") found.push_back("wgmma");
  if (base == "setmaxnreg") found.push_back("setmaxnreg");
  if (op.starts("fence.proxy.async")) found.push_back("fence.proxy.async");
  if (op.starts("tensormap.replace")) found.push_back("tensormap.replace");
  if (base == "clusterlaunchcontrol") found.push_back("clusterlaunchcontrol");
  if (base == "griddepcontrol") found.push_back("griddepcontrol");
  if (base == "redux") found.push_back(op.has("f32") ? "redux.f32" : "redux.s32");
  if (base == "elect") found.push_back("elect.sync");
  if (base == "multimem") found.push_back("multimem");
  if (base == "createpolicy") found.push_back("createpolicy");
  arithmetic(op, found);
  if (uses_cluster(op, operands)) found.push_back("cluster");
  return found;
}

}  // namespace

std::vector<FeatureUse> scan_ptx(std::string_view ptx) {
  std::vector<FeatureUse> uses;
  auto add = [&](std::string_view feature, const PtxStatement& statement) {
    bool known =
        std::any_of(uses.begin(), uses.end(), [&](const FeatureUse& use) { return use.feature == feature; });
    if (!known) uses.push_back({std::string(feature), statement.line, std::string(statement.opcode)});
  };
  for (const PtxStatement& statement : split_ptx(ptx)) {
    if (statement.opcode.front() == '.') {
      bool launches_clusters = statement.rest.find(".explicitcluster") != std::string_view::npos ||
                               statement.rest.find(".reqnctapercluster") != std::string_view::npos;
      if (launches_clusters) add("cluster", statement);
      continue;
    }
    for (std::string_view feature : features_of(Opcode(statement.opcode), statement.rest))
      add(feature, statement);
  }
  return uses;
}

}  // namespace rtjit

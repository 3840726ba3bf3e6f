// A GPU target such as sm_121a and its limits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "templates/launch_plan.h"

namespace rtjit {

struct TargetLimits {
  int64_t smem_per_block = 0;  // opt-in maximum of one block, bytes
  int64_t smem_per_sm = 0;     // bytes, before the reserved 1,024 B per block
  int64_t smem_reserved_per_block = 1024;
  int threads_per_sm = 0;
  int blocks_per_sm = 0;
  int threads_per_block = 1024;
  int registers_per_sm = 65536;
  int registers_per_block = 65536;
  int registers_per_thread = 255;
  int register_unit_per_warp = 256;  // allocation granularity
  int max_cluster = 0;               // portable cluster size; 0 = no clusters
};

// One GPU model of a target: what prediction needs to know about a device that is not present.
struct Sku {
  const char* name;    // "H200"
  const char* target;  // "sm_90a"
  int sm_count;
  int64_t l2_bytes;
  double dram_gb_per_s, boost_ghz, bf16_tflops;
};

class Target {
 public:
  // "sm_90a"; also "90a". Anything else is an error that lists the known targets.
  static Result<Target> parse(std::string_view text);
  static const std::vector<Target>& all();  // every target of the table, ascending

  const std::string& name() const { return name_; }  // "sm_90a"
  int cc() const { return cc_; }                     // 90
  char suffix() const { return suffix_; }            // 'a', 'f' or 0
  const TargetLimits& limits() const { return *limits_; }
  const char* examples() const;  // "H100, H200, GH200"

  // Whether a manifest's target list covers this target: "sm_80+" (cc >= 80), "sm_100a", "sm_120a sm_121a",
  // "sm_12x" (major 12). An error for an unknown pattern.
  Result<bool> matches(std::string_view pattern) const;

  // What formulas read. sm_count is that of `sku_for` the target (predicted) unless a device says otherwise.
  TargetFacts facts() const;
  bool operator==(const Target& other) const { return name_ == other.name_; }

 private:
  std::string name_;
  int cc_ = 0;
  char suffix_ = 0;
  const TargetLimits* limits_ = nullptr;
};

// Every GPU model that prediction knows; docs/targets.md says where the figures come from. The first one of a
// compute capability represents it.
const std::vector<Sku>& all_skus();

// The representative GPU of a target, used when no device is present.
const Sku& representative_sku(const Target& target);

}  // namespace rtjit

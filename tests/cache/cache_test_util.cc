#include "tests/cache/cache_test_util.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace rtjit {

TuningRow sample_row(int number) {
  TuningRow row;
  row.key.template_name = "moe_mxfp4";
  row.key.template_hash = "hash-1";
  row.key.problem = "hidden=2880,intermediate=2880,experts=32,top_k=4";
  row.key.stage = "gemm1";
  row.key.variant = "mma";
  row.key.config = fmt::format("block_m={},block_n=128", number);
  row.key.bucket = int64_t{1} << (number % 14);
  row.key.target = "sm_90a";
  row.key.sku = "sm_90a:sms=132";
  row.verdict = number % 3 == 0 ? Verdict::smem : Verdict::ok;
  row.reason = number % 3 == 0 ? "smem: needs 139,264 B, sm_120a allows 101,376 B per block" : "";
  row.knowledge = number % 3 == 0 ? Knowledge::none : Knowledge::measured;
  row.time_us = 12.5 + number / 7.0;
  row.time_low_us = row.time_us * 0.99;
  row.time_high_us = row.time_us * 1.01;
  row.samples = 30 + number;
  row.verified = true;
  row.rel_l2 = 1e-3;
  row.rel_l2_limit = 1e-2;
  row.max_err = 0.25;
  row.max_err_limit = 0.5;
  row.verified_on = "NVIDIA H200";
  row.smem_bytes = 98304;
  row.smem_limit = 232448;
  row.registers = 168;
  row.stack = 16;
  row.spills = 0;
  row.binary_key = fmt::format("key-{}", number);
  row.compiler = "nvrtc 13.0";
  row.device_name = "NVIDIA H200";
  row.driver = "13.0 (580.1)";
  row.policy = "graph x 10, cold L2";
  row.is_default = number == 1;
  row.updated_unix = 1760000000 + number;
  return row;
}

WinnerRow sample_winner(int64_t bucket) {
  WinnerRow row;
  row.template_name = "moe_mxfp4";
  row.template_hash = "hash-1";
  row.problem = "hidden=2880,intermediate=2880,experts=32,top_k=4";
  row.stage = "gemm1";
  row.bucket = bucket;
  row.target = "sm_90a";
  row.sku = "sm_90a:sms=132";
  row.variant = "mma";
  row.config = "block_m=64,block_n=128";
  row.knowledge = Knowledge::measured;
  row.verified = true;
  row.time_us = 41.5;
  row.why = "fastest of 41 measured; 6 % ahead of the default";
  row.updated_unix = 1760000000;
  return row;
}

Binary sample_binary(const std::string& key, size_t bytes) {
  Binary binary;
  binary.key = key;
  uint32_t state = 12345;
  for (size_t i = 0; i < bytes; ++i) {
    state = state * 1664525u + 1013904223u;
    binary.cubin += static_cast<char>(i % 3 == 0 ? state >> 24 : 0);
  }
  binary.ptx = "// ptx of " + key + "\n" + std::string(bytes / 4, 'p');
  binary.kernels.push_back(
      {"rtjit::moe::gemm1<64>", "_Z5gemm1v", {"_Z5gemm1v", 168, 1024, 16, 4, 8, 2, 256, 9000}});
  binary.kernels.push_back({"rtjit::moe::combine", "_Z7combinev", {}});
  binary.kernels.back().resources.symbol = "_Z7combinev";
  binary.features.push_back({"cp.async", 17, "cp.async.cg.shared.global"});
  binary.log = "ptxas info: \xff not UTF-8";
  binary.compile_ms = 412.5;
  binary.compiler = "nvrtc 13.0";
  return binary;
}

RowKey any_row() {
  RowKey key;
  key.bucket = -1;
  return key;
}

WinnerRow any_winner() {
  WinnerRow row;
  row.bucket = -1;
  return row;
}

std::string describe(const TuningRow& r) {
  const RowKey& k = r.key;
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|", k.template_name, k.template_hash, k.problem, k.stage,
                     k.variant, k.config, k.bucket, k.target, k.sku) +
         fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|", to_string(r.verdict), r.reason,
                     to_string(r.knowledge), r.time_us, r.time_low_us, r.time_high_us, r.samples, r.verified,
                     r.rel_l2, r.rel_l2_limit, r.max_err, r.max_err_limit, r.verified_on) +
         fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", r.smem_bytes, r.smem_limit, r.registers, r.stack,
                     r.spills, r.binary_key, r.compiler, r.device_name, r.driver, r.policy, r.is_default,
                     r.updated_unix);
}

std::string describe(const WinnerRow& r) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", r.template_name, r.template_hash, r.problem,
                     r.stage, r.bucket, r.target, r.sku, r.variant, r.config, to_string(r.knowledge),
                     r.verified, r.time_us, r.why, r.updated_unix);
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

int count_set_aside(const std::string& folder) {
  int count = 0;
  for (const std::string& name : files_in(folder)) {
    const bool companion = name.ends_with("-wal") || name.ends_with("-journal");
    if (name.find(".corrupt-") != std::string::npos && !companion) ++count;
  }
  return count;
}

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  return bytes.str();
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << bytes;
}

pid_t start_child(const std::function<int()>& body) {
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) _exit(body());
  return child;
}

int wait_child(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace rtjit

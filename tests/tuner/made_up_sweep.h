// A database of made-up measurements of tests/data/templates/scale_add.
#pragma once

#include <functional>

#include "cache/store.h"
#include "tests/tuner/fake_device.h"
#include "tests/tuner/scale_add.h"
#include "tuner/candidates.h"

namespace rtjit::test {

// Stores a compiled row for every config that the static gate lets through, and, unless `time` gives 0, a
// measured row per bucket with that time and an interval of `spread` of it to either side.
inline void fill_sweep(Store& store, const std::shared_ptr<const Template>& tmpl,
                       const std::function<double(const SearchContext&, const Candidate&, int64_t)>& time,
                       double spread = 0.01, const std::string& factor = "1.5") {
  DeviceInfo device = fake_device_info("sm_90a");
  SearchContext context{tmpl, *make_problem(*tmpl, {{"a", factor}}), device.target, device.facts(),
                        gpu_facts(device.target, device)};
  auto space = make_stage_space(context, tmpl->stages.front(), tmpl->buckets);
  ASSERT_TRUE(space.ok());
  std::vector<TuningRow> rows;
  for (Candidate& candidate : space->candidates) {
    if (!candidate.gate.ok()) continue;
    CompiledFacts compiled;
    compiled.registers =
        candidate.variant->oracle ? 16 : static_cast<int>(candidate.facts.predicted_registers);
    apply_compiled(context, compiled, 0, &candidate);
    TuningRow row;
    row.key = {tmpl->name,
               tmpl->content_hash,
               context.problem.canonical(),
               candidate.stage->name,
               candidate.variant->name,
               candidate.config_text,
               0,
               device.target.name(),
               device.sku_fingerprint()};
    row.registers = compiled.registers;
    row.binary_key = "key " + candidate.config_text;
    row.compiler = "nvrtc 13.0";
    row.smem_bytes = candidate.facts.smem;
    row.device_name = device.name;
    rows.push_back(row);
    for (int64_t bucket : tmpl->buckets) {
      row.time_us = time(context, candidate, bucket);
      if (row.time_us <= 0) continue;
      row.key.bucket = bucket;
      row.knowledge = Knowledge::measured;
      row.time_low_us = row.time_us * (1 - spread);
      row.time_high_us = row.time_us * (1 + spread);
      row.samples = 21;
      rows.push_back(row);
    }
  }
  Status status = store.put_rows(rows);
  ASSERT_TRUE(status.ok()) << status.error().message;
}

}  // namespace rtjit::test

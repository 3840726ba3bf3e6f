#include "tuner/publisher.h"

#include <algorithm>

#include "tuner/choices.h"
#include "tuner/verify.h"

namespace rtjit {

Status Publisher::put_binary(Candidate* c) {
  if (!published_.insert(c).second) return {};
  auto outcome = binaries_.get(compile_request(context_, *c, limits_.compile_limit), c->compiler);
  if (!outcome) return outcome.error();
  if (!outcome->binary) {
    return make_error(ErrorCode::compile_failed, "stage {} {} {}, which compiled before: {}", c->stage->name,
                      c->variant->name, c->config_text, outcome->reject.reason);
  }
  if (outcome->binary->key != c->binary_key) {  // another compiler than the one that the stored facts are of
    c->binary_key = outcome->binary->key;
    c->compiler = outcome->binary->compiler;
    apply_compiled(context_, compiled_facts(*outcome->binary), limits_.max_spill_bytes, c);
    ledger_.put_soon(ledger_.row(*c, 0));
  }
  ledger_.put_binary(*outcome->binary,
                     c->facts.kernels.empty() ? c->stage->name : c->facts.kernels.front().short_name);
  return {};
}

Status Publisher::put_packing(const std::string& compiler) {
  auto binary = packing_binary(context_, binaries_, limits_, compiler);
  if (!binary) return binary.error();
  if (*binary) ledger_.put_binary(**binary, context_.tmpl->name + ".pack");
  return {};
}

Status Publisher::put_winner(Candidate* c, int64_t bucket, const Ranked& entry, const Judgement& judgement,
                             const std::string& why, std::vector<TuningRow> rows) {
  if (Status status = put_binary(c); !status) return status;
  TuningRow row = ledger_.row(*c, bucket);
  // How it was measured is known since then.
  auto own = std::find_if(rows.begin(), rows.end(), [&](const TuningRow& r) { return r.key == row.key; });
  if (own != rows.end()) {
    row.policy = own->policy;
    rows.erase(own);
  } else if (const TuningRow* known = ledger_.find(*c, bucket);
             known && known->knowledge == Knowledge::measured) {
    row.policy = known->policy;
  }
  row.knowledge = entry.knowledge;
  row.time_us = entry.time_us;
  row.time_low_us = entry.low_us;
  row.time_high_us = entry.high_us;
  row.samples = entry.samples;
  row.is_default = entry.is_default;
  row.verified = judgement.verified;
  row.verified_on = judgement.verified_on;
  row.rel_l2 = judgement.outcome.rel_l2;
  row.max_err = judgement.outcome.max_err;
  const VerifySpec limits = verify_spec(*context_.tmpl, context_.problem, context_.facts);
  row.rel_l2_limit = limits.max_rel_l2;
  row.max_err_limit = limits.max_err_per_rms;
  rows.push_back(std::move(row));
  WinnerRow winner;
  winner.stage = c->stage->name;
  winner.bucket = bucket;
  winner.variant = c->variant->name;
  winner.config = c->config_text;
  winner.knowledge = entry.knowledge;
  winner.verified = judgement.verified;
  winner.time_us = entry.time_us;
  winner.why = why;
  ledger_.put_winner(std::move(winner), std::move(rows));
  return {};
}

}  // namespace rtjit

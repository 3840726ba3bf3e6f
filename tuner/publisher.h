// Puts winners, their rows and their binaries into the store.
#pragma once

#include <set>
#include <string>

#include "base/result.h"
#include "tuner/binary_source.h"
#include "tuner/judge.h"
#include "tuner/ledger.h"
#include "tuner/ranking.h"

namespace rtjit {

// Everything given outlives it.
class Publisher {
 public:
  Publisher(const SearchContext& context, const TuneLimits& limits, BinarySource& binaries, Ledger& ledger)
      : context_(context), limits_(limits), binaries_(binaries), ledger_(ledger) {}

  // The binary of a config that will be launched; once each.
  Status put_binary(Candidate* candidate);
  // The kernels that pack weights. `compiler`: see BinarySource::get.
  Status put_packing(const std::string& compiler);
  // Row, binary and winner, in an order that never leaves a winner without the others. `rows`: of configs
  // that it was compared with and, if it is among them, of its own; written with the winner or not at all.
  Status put_winner(Candidate* candidate, int64_t bucket, const Ranked& entry, const Judgement& judgement,
                    const std::string& why, std::vector<TuningRow> rows = {});

 private:
  const SearchContext& context_;
  const TuneLimits& limits_;
  BinarySource& binaries_;
  Ledger& ledger_;
  std::set<const Candidate*> published_;
};

}  // namespace rtjit

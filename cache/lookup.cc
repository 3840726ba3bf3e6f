#include "cache/lookup.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "cache/sku.h"

namespace rtjit {
namespace {

constexpr double kNeighbour = 1.0 + 1e-9;  // a factor of two, in powers of two

// How far a bucket is, in powers of two.
double distance(int64_t a, int64_t b) {
  return std::abs(std::log2(static_cast<double>(std::max<int64_t>(a, 1))) -
                  std::log2(static_cast<double>(std::max<int64_t>(b, 1))));
}

int64_t sm_count_of(const std::string& sku) {
  const std::optional<SkuFacts> facts = parse_sku(sku);
  return facts ? facts->sm_count : 0;
}

Provenance provenance_of(const WinnerRow& winner, const LookupRequest& request) {
  if (winner.knowledge != Knowledge::measured) return Provenance::predicted;
  return winner.sku == request.sku ? Provenance::measured_here : Provenance::measured_nearby;
}

// What orders candidates; the smallest is used.
struct Rank {
  bool far = false;  // a bucket beyond the neighbours: only when nothing nearer is known at any level
  double far_steps = 0;
  Provenance provenance = Provenance::predicted;
  bool other_bucket = false;
  int64_t sm_difference = 0;
  double bucket_steps = 0;
  bool other_sku = false;  // among predictions
  const WinnerRow* winner = nullptr;

  auto key() const {
    // The last fields make the order total, so that every process chooses the same.
    return std::tie(far, far_steps, provenance, other_bucket, sm_difference, bucket_steps, other_sku,
                    winner->bucket, winner->sku);
  }
};

Rank rank(const WinnerRow& winner, const LookupRequest& request) {
  Rank rank;
  rank.winner = &winner;
  rank.bucket_steps = distance(winner.bucket, request.bucket);
  rank.far = rank.bucket_steps > kNeighbour;
  rank.far_steps = rank.far ? rank.bucket_steps : 0;
  rank.provenance = provenance_of(winner, request);
  rank.other_bucket = winner.bucket != request.bucket;
  if (rank.provenance == Provenance::measured_nearby) {
    const int64_t here = sm_count_of(request.sku);
    rank.sm_difference = here > 0 ? std::abs(sm_count_of(winner.sku) - here) : 0;
  }
  rank.other_sku = winner.sku != request.sku;
  return rank;
}

bool usable(const WinnerRow& winner, const LookupRequest& request) {
  if (winner.bucket < 1 || winner.stage != request.stage) return false;
  return winner.knowledge == Knowledge::predicted ||
         (winner.knowledge == Knowledge::measured && winner.verified);
}

bool has_failed(const std::vector<TuningRow>& rows, const WinnerRow& winner, const LookupRequest& request) {
  return std::any_of(rows.begin(), rows.end(), [&](const TuningRow& row) {
    const int64_t bucket = row.key.bucket;
    return failed_when_run(row.verdict) &&
           (bucket == 0 || bucket == winner.bucket || bucket == request.bucket);
  });
}

std::string device_words(const Found& found) {
  const int64_t sms = sm_count_of(found.winner.sku);
  std::string name = found.row ? found.row->device_name : "";
  if (name.empty()) name = fmt::format("another {} device", found.winner.target);
  return sms > 0 ? fmt::format("{} ({} SMs)", name, sms) : name;
}

std::string sentence(const Found& found, const LookupRequest& request) {
  std::string text;
  switch (found.provenance) {
    case Provenance::measured_here:
      text = "measured on this device model";
      break;
    case Provenance::measured_nearby: {
      text = fmt::format("measured on {}", device_words(found));
      const int64_t here = sm_count_of(request.sku);
      if (here > 0) text += fmt::format("; this device has {}", here);
      break;
    }
    case Provenance::predicted:
      text = fmt::format("predicted for {}, not measured", found.winner.target);
      break;
    case Provenance::fallback_default:
      text = "nothing is stored; the default";
      break;
  }
  if (found.winner.bucket != request.bucket) {
    text +=
        fmt::format("; for bucket {}, as none is known for bucket {}", found.winner.bucket, request.bucket);
  }
  return text;
}

// The row that the winner was chosen from.
std::optional<TuningRow> row_of(const std::vector<TuningRow>& rows, const WinnerRow& winner) {
  for (const TuningRow& row : rows) {
    if (row.key.bucket == winner.bucket && row.key.sku == winner.sku) return row;
  }
  return std::nullopt;
}

// An empty field would fit everything, winners of an older template among it.
Status check_request(const LookupRequest& request) {
  if (request.template_name.empty() || request.template_hash.empty() || request.stage.empty() ||
      request.target.empty() || request.bucket < 1) {
    return make_error(
        ErrorCode::invalid_argument,
        "a lookup needs template name, template hash, stage, target and a bucket >= 1; came: '{}', '{}', "
        "'{}', '{}', {}",
        request.template_name, request.template_hash, request.stage, request.target, request.bucket);
  }
  return {};
}

}  // namespace

const char* to_string(Provenance provenance) {
  switch (provenance) {
    case Provenance::measured_here:
      return "measured_here";
    case Provenance::measured_nearby:
      return "measured_nearby";
    case Provenance::predicted:
      return "predicted";
    case Provenance::fallback_default:
      return "fallback_default";
  }
  return "unknown";
}

LookupRequest make_lookup(const Template& tmpl, const Problem& problem, const Stage& stage, int64_t bucket,
                          const std::string& target, const std::string& sku) {
  return {tmpl.name, tmpl.content_hash, problem.canonical(), stage.name, std::max<int64_t>(bucket, 1), target,
          sku};
}

Result<std::optional<Found>> lookup_winner(const Store& store, const LookupRequest& request) {
  StoredProblem stored(store, request.template_name, request.template_hash, request.problem, request.target);
  return lookup_winner(stored, request);
}

Result<std::optional<Found>> lookup_winner(StoredProblem& stored, const LookupRequest& request) {
  if (Status status = check_request(request); !status.ok()) return status.error();
  Result<const std::vector<WinnerRow>*> winners = stored.winners();
  if (!winners.ok()) return winners.error();
  std::vector<Rank> candidates;
  for (const WinnerRow& winner : **winners) {
    if (usable(winner, request)) candidates.push_back(rank(winner, request));
  }
  std::sort(candidates.begin(), candidates.end(),
            [](const Rank& a, const Rank& b) { return a.key() < b.key(); });
  for (const Rank& candidate : candidates) {
    Found found;
    found.winner = *candidate.winner;
    const WinnerRow& winner = found.winner;
    Result<const std::vector<TuningRow>*> rows = stored.rows({winner.stage, winner.variant, winner.config});
    if (!rows.ok()) return rows.error();
    if (has_failed(**rows, winner, request)) continue;
    found.row = row_of(**rows, winner);
    found.provenance = candidate.provenance;
    found.sentence = sentence(found, request);
    return std::optional<Found>(std::move(found));
  }
  return std::optional<Found>();
}

}  // namespace rtjit

#include "tuner/ranking.h"

#include <algorithm>

namespace rtjit {
namespace {

bool faster(const Ranked& a, const Ranked& b) {
  if ((a.time_us > 0) != (b.time_us > 0)) return a.time_us > 0;
  return a.time_us < b.time_us;
}

bool tied(const Ranked& fastest, const Ranked& other, double fraction) {
  if (fastest.time_us <= 0) return other.time_us <= 0;
  if (other.time_us <= 0) return false;
  if (fastest.settled && !other.settled) return false;
  if (other.time_us <= fastest.time_us * (1 + fraction)) return true;
  if (fastest.settled) return false;
  bool measured = fastest.samples > 1 && other.samples > 1;
  return measured && other.low_us <= fastest.high_us && other.time_us <= fastest.time_us * (1 + 3 * fraction);
}

const Ranked* find_if(const std::vector<Ranked>& ranked, bool Ranked::*what) {
  auto found = std::find_if(ranked.begin(), ranked.end(), [&](const Ranked& r) { return r.*what; });
  return found == ranked.end() ? nullptr : &*found;
}

// What goes on serving although something is faster, or null: what serves so far, or the default config where
// that is faster.
const Ranked* kept(const std::vector<Ranked>& ranked, const Ranked& fastest, const TieRule& rule) {
  auto near = [&](const Ranked* entry, double time, double fraction) {
    return entry && entry->time_us > 0 && entry->time_us <= time * (1 + fraction);
  };
  const Ranked* incumbent = find_if(ranked, &Ranked::is_incumbent);
  const Ranked* reference = find_if(ranked, &Ranked::is_default);
  if (!near(incumbent, fastest.time_us, rule.keep)) return nullptr;
  return near(reference, incumbent->time_us, 0) ? reference : incumbent;
}

// Smaller numbers first, in the manifest's order of parameters; choices by their place in the list.
int compare_configs(const Candidate& a, const Candidate& b) {
  if (a.variant != b.variant)
    return a.variant < b.variant ? -1 : 1;  // elements of one vector: the manifest's order
  for (size_t i = 0; i < a.config.values().size() && i < b.config.values().size(); ++i) {
    const Value& left = a.config.values()[i].second;
    const Value& right = b.config.values()[i].second;
    if (left == right) continue;
    const auto& values = a.variant->parameters[i].values;
    auto place = [&](const Value& value) {
      return std::find(values.begin(), values.end(), value) - values.begin();
    };
    if (std::holds_alternative<std::string>(left)) return place(left) < place(right) ? -1 : 1;
    return left < right ? -1 : 1;
  }
  return a.config_text.compare(b.config_text);
}

bool preferred(const StageSpace& space, const Ranked& a, const Ranked& b) {
  if (a.is_default != b.is_default) return a.is_default;
  const Candidate& left = space.candidates[static_cast<size_t>(a.candidate)];
  const Candidate& right = space.candidates[static_cast<size_t>(b.candidate)];
  int64_t left_smem = left.facts.smem + left.compiled.static_smem;
  int64_t right_smem = right.facts.smem + right.compiled.static_smem;
  if (left_smem != right_smem) return left_smem < right_smem;
  if (left.registers() != right.registers()) return left.registers() < right.registers();
  return compare_configs(left, right) < 0;
}

}  // namespace

std::vector<Ranked> rank_finalists(std::span<const Prospect> prospects, Knowledge knowledge) {
  std::vector<Ranked> ranked;
  for (size_t index : finalists(prospects)) {
    const Prospect& prospect = prospects[index];
    Ranked entry;
    entry.candidate = static_cast<int>(index);
    entry.time_us = prospect.time_us;
    entry.low_us = prospect.low_us;
    entry.high_us = prospect.high_us;
    entry.samples = prospect.samples;
    entry.knowledge = prospect.time_us > 0 ? knowledge : Knowledge::none;
    entry.is_default = prospect.is_default;
    entry.is_incumbent = prospect.is_incumbent;
    ranked.push_back(entry);
  }
  return ranked;
}

int choose_winner(const StageSpace& space, const std::vector<Ranked>& ranked, const TieRule& rule) {
  if (ranked.empty()) return -1;
  auto fastest = std::min_element(ranked.begin(), ranked.end(), faster);
  if (const Ranked* stays = kept(ranked, *fastest, rule)) return static_cast<int>(stays - ranked.data());
  int winner = -1;
  for (size_t i = 0; i < ranked.size(); ++i) {
    if (!tied(*fastest, ranked[i], rule.fraction)) continue;
    if (winner < 0 || preferred(space, ranked[i], ranked[static_cast<size_t>(winner)]))
      winner = static_cast<int>(i);
  }
  return winner;
}

std::string explain_choice(const std::vector<Ranked>& ranked, int winner, const TieRule& rule,
                           int rejected_when_run, int looked_at) {
  const Ranked& chosen = ranked[static_cast<size_t>(winner)];
  const Ranked* reference = find_if(ranked, &Ranked::is_default);
  int known = 0, tied_with = 0;
  auto fastest = std::min_element(ranked.begin(), ranked.end(), faster);
  for (const Ranked& entry : ranked) {
    known += entry.time_us > 0 && entry.knowledge == chosen.knowledge;
    tied_with += tied(*fastest, entry, rule.fraction);
  }
  known = std::max(known, looked_at);
  std::string text;
  if (chosen.time_us <= 0) {
    text = chosen.is_default ? "the default config; no time is known" : "no time is known";
  } else {
    const bool stays = kept(ranked, *fastest, rule) == &chosen;
    if (known == 1) {
      text = fmt::format("the only one {}", to_string(chosen.knowledge));
    } else if (stays && chosen.time_us > fastest->time_us) {
      text = fmt::format("{:.1f} % behind the fastest of {} {}, {}",
                         100 * (chosen.time_us / fastest->time_us - 1), known, to_string(chosen.knowledge),
                         chosen.is_incumbent ? "kept" : "faster than what served");
    } else {
      text = fmt::format("fastest of {} {}", known, to_string(chosen.knowledge));
      if (stays && chosen.is_incumbent) text += ", kept";
    }
    if (!stays && tied_with > 1) {
      text += fmt::format("; {} tied, {}", tied_with,
                          chosen.is_default ? "the default goes first" : "leanest taken");
    }
    if (chosen.is_default) {
      if (tied_with <= 1 || stays) text += "; it is the default";
    } else if (reference && reference->time_us > 0) {
      text += fmt::format("; {:.0f} % ahead of the default", 100 * (reference->time_us / chosen.time_us - 1));
    }
  }
  if (rejected_when_run > 0) text += fmt::format("; {} failed when run", rejected_when_run);

  return text;
}

}  // namespace rtjit

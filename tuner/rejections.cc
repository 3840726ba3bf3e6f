#include "tuner/rejections.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <tuple>

#include "base/text.h"

namespace rtjit {
namespace {

// How much more than the limit it needs, as a part of the limit; 0 where no limit on a number is exceeded.
double excess(const ExplainEntry& entry) {
  if (entry.verdict == Verdict::smem && entry.smem_limit > 0) {
    return -static_cast<double>(entry.smem_left()) / static_cast<double>(entry.smem_limit);
  }
  if (entry.verdict == Verdict::registers && entry.registers_limit > 0) {
    return -static_cast<double>(entry.registers_left()) / entry.registers_limit;
  }
  return 0;
}

// Of verdicts, from near to fitting to far from it.
int distance(Verdict verdict) {
  switch (verdict) {
    case Verdict::smem:
    case Verdict::registers:
    case Verdict::spill:
      return 1;
    case Verdict::constraint:
      return 2;
    case Verdict::feature:
      return 3;
    default:  // it compiled, or should have
      return 0;
  }
}

}  // namespace

std::vector<std::string> split_reasons(std::string_view sentence) {
  std::vector<std::string> reasons;
  int depth = 0;
  size_t begin = 0;
  for (size_t i = 0; i < sentence.size(); ++i) {
    if (sentence[i] == '(') ++depth;
    if (sentence[i] == ')') --depth;
    if (depth > 0 || sentence.substr(i, 2) != "; ") continue;
    reasons.emplace_back(sentence.substr(begin, i - begin));
    begin = i + 2;
  }
  if (begin < sentence.size()) reasons.emplace_back(sentence.substr(begin));
  return reasons;
}

std::string reason_kind(std::string_view reason) {
  std::string kind;
  int depth = 0;
  bool in_number = false;
  char before = ' ';
  for (char c : reason) {
    if (c == ')') --depth;
    const auto in_word = [](char d) { return std::isalnum(static_cast<unsigned char>(d)) || d == '_'; };
    const bool digit = std::isdigit(static_cast<unsigned char>(c));
    const bool begins = digit && !in_number && !in_word(before);  // scatter4 is a name
    in_number = begins || (in_number && (digit || c == ',' || c == '.'));
    before = c;
    if (depth <= 0 && c != '(' && c != ')') {
      if (begins) kind += '#';
      if (!in_number) kind += c;
    }
    if (c == '(') ++depth;
  }
  return std::string(trim(kind));
}

std::string shared_reason(const std::vector<std::string>& sentences) {
  std::vector<std::string> shared;
  for (size_t i = 0; i < sentences.size(); ++i) {
    std::vector<std::string> reasons = split_reasons(sentences[i]);
    if (i == 0) shared = std::move(reasons);
    std::erase_if(shared, [&](const std::string& reason) {
      return i > 0 && std::find(reasons.begin(), reasons.end(), reason) == reasons.end();
    });
    if (shared.empty()) return "";
  }
  return shared.empty() ? "" : shared.front();
}

std::vector<Rejection> group_rejections(const std::vector<ExplainEntry>& entries) {
  struct Group {
    Rejection rejection;
    std::pair<size_t, double> nearest;  // number of reasons, excess
    size_t variant = 0;                 // in the order of the entries
  };
  std::map<std::tuple<std::string, std::string, std::string>, Group> groups;
  std::map<std::pair<std::string, std::string>, size_t> variants;
  for (const ExplainEntry& entry : entries) {
    const size_t variant = variants.try_emplace({entry.stage, entry.variant}, variants.size()).first->second;
    if (entry.verdict == Verdict::ok) continue;
    const std::vector<std::string> reasons = split_reasons(entry.reason);
    Group& group = groups[{entry.stage, entry.variant, reasons.empty() ? "" : reason_kind(reasons.front())}];
    const std::pair<size_t, double> near(reasons.size(), excess(entry));
    if (group.rejection.configs++ == 0 || near < group.nearest) {
      group.nearest = near;
      group.rejection.nearest = &entry;
    }
    group.rejection.stage = entry.stage;
    group.rejection.variant = entry.variant;
    group.rejection.verdict = entry.verdict;
    group.variant = variant;
  }
  std::vector<Group> sorted;
  for (auto& [key, group] : groups) sorted.push_back(std::move(group));
  const auto order = [](const Group& g) {
    return std::tuple(g.variant, distance(g.rejection.verdict), g.nearest.second, -g.rejection.configs);
  };
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const Group& a, const Group& b) { return order(a) < order(b); });
  std::vector<Rejection> rejections;
  for (Group& group : sorted) rejections.push_back(std::move(group.rejection));
  return rejections;
}

}  // namespace rtjit

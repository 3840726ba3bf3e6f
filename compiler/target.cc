#include "compiler/target.h"

#include <algorithm>
#include <optional>

#include "base/text.h"
#include "compiler/target_table.h"

namespace rtjit {
namespace {

std::string known_targets() {
  std::vector<std::string> names;
  for (const Target& target : Target::all()) names.push_back(target.name());
  return join(names, " ");
}

const ArchitectureRow* find_row(int cc) {
  for (const ArchitectureRow& row : architecture_rows())
    if (row.cc == cc) return &row;
  return nullptr;
}

// Whether one element of a target list covers `target`; nothing when it is not a pattern.
std::optional<bool> element_covers(std::string_view element, const Target& target) {
  if (!element.starts_with("sm_") || element.size() < 5) return std::nullopt;
  char last = element.back();
  if (last != '+' && last != 'x') {
    Result<Target> exact = Target::parse(element);
    if (!exact) return std::nullopt;
    return *exact == target;
  }
  std::optional<int64_t> number = parse_int(element.substr(3, element.size() - 4));
  if (!number) return std::nullopt;
  if (last == '+') {  // this compute capability and all later ones, any suffix
    if (!find_row(static_cast<int>(*number))) return std::nullopt;
    return target.cc() >= *number;
  }
  auto is_generation = [&](const Target& known) { return known.cc() / 10 == *number; };
  const std::vector<Target>& known = Target::all();
  if (std::none_of(known.begin(), known.end(), is_generation)) return std::nullopt;
  return is_generation(target);
}

}  // namespace

const std::vector<Target>& Target::all() {
  static const std::vector<Target> targets = [] {
    std::vector<Target> made;
    for (const ArchitectureRow& row : architecture_rows()) {
      std::string suffixes(row.suffixes);
      for (char suffix : std::string(1, 0) + suffixes) {
        Target target;
        target.name_ = "sm_" + std::to_string(row.cc);
        if (suffix) target.name_ += suffix;
        target.cc_ = row.cc;
        target.suffix_ = suffix;
        target.limits_ = &row.limits;
        made.push_back(std::move(target));
      }
    }
    return made;
  }();
  return targets;
}

Result<Target> Target::parse(std::string_view text) {
  std::string wanted(trim(text));
  if (!wanted.starts_with("sm_")) wanted = "sm_" + wanted;
  for (const Target& target : all())
    if (target.name_ == wanted) return target;
  return make_error(ErrorCode::invalid_argument, "unknown target '{}'; known targets: {}", text,
                    known_targets());
}

const char* Target::examples() const { return find_row(cc_)->examples; }

Result<bool> Target::matches(std::string_view pattern) const {
  std::string list(pattern);
  std::replace(list.begin(), list.end(), ',', ' ');
  bool matched = false, empty = true;
  for (const std::string& element : split(list, ' ')) {
    if (element.empty()) continue;
    empty = false;
    std::optional<bool> covers = element_covers(element, *this);
    if (!covers) {
      return make_error(ErrorCode::invalid_argument,
                        "target pattern '{}': '{}' is none of 'sm_80+' (that and later ones), 'sm_12x' (one "
                        "generation) or a target; known targets: {}",
                        pattern, element, known_targets());
    }
    matched |= *covers;
  }
  if (empty) return make_error(ErrorCode::invalid_argument, "target pattern is empty; for example 'sm_80+'");
  return matched;
}

TargetFacts Target::facts() const {
  TargetFacts facts;
  facts.cc = cc_;
  facts.major = cc_ / 10;
  facts.smem_per_block = limits_->smem_per_block;
  facts.smem_per_sm = limits_->smem_per_sm;
  facts.sm_count = representative_sku(*this).sm_count;
  facts.threads_per_sm = limits_->threads_per_sm;
  facts.registers_per_sm = limits_->registers_per_sm;
  facts.has_griddepcontrol = cc_ >= 90;
  return facts;
}

const Sku& representative_sku(const Target& target) {
  const std::vector<Sku>& skus = all_skus();
  for (const Sku& sku : skus) {
    Result<Target> of = Target::parse(sku.target);
    if (of && of->cc() == target.cc()) return sku;
  }
  return skus.front();  // unreachable: a test checks that every target has one
}

}  // namespace rtjit

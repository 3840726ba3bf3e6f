#include "compiler/ptxas_log.h"

#include <charconv>
#include <cstdint>

#include "base/text.h"

namespace rtjit {
namespace {

// What stands between `before` and `after`; empty when either is missing.
std::string_view between(std::string_view text, std::string_view before, std::string_view after) {
  size_t begin = text.find(before);
  if (begin == text.npos) return {};
  begin += before.size();
  size_t end = text.find(after, begin);
  return end == text.npos ? std::string_view() : text.substr(begin, end - begin);
}

// The integer that stands right before `unit`: number_before("Used 10 registers, ", " registers") is 10.
int number_before(std::string_view text, std::string_view unit) {
  size_t end = text.find(unit);
  if (end == text.npos) return 0;
  size_t begin = end;
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') --begin;
  return static_cast<int>(parse_int(text.substr(begin, end - begin)).value_or(0));
}

// "0x18c01" or "101377" at the start of the text.
long long number_at(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x")) {
    text.remove_prefix(2);
    base = 16;
  }
  long long value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

template <typename Visitor>
void each_line(std::string_view text, Visitor visit) {
  while (!text.empty()) {
    size_t end = text.find('\n');
    visit(text.substr(0, end));
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
  }
}

PtxasRefusal parse_error_line(std::string_view line) {
  PtxasRefusal refusal;
  refusal.line = static_cast<int>(number_at(between(line, "line ", ";")));
  size_t too_much = line.find("uses too much shared data (");
  if (too_much != line.npos) {
    refusal.kind = PtxasRefusal::Kind::smem;
    std::string_view numbers = line.substr(line.find('(', too_much) + 1);
    refusal.number = number_at(numbers);
    refusal.limit = number_at(trim(numbers.substr(std::min(numbers.find(',') + 1, numbers.size()))));
    return refusal;
  }
  if (line.find("Register allocation failed") != line.npos) {
    refusal.kind = PtxasRefusal::Kind::registers;
    refusal.number = number_at(between(line, "register count of '", "'"));
    return refusal;
  }
  if (line.find("Insufficient registers (") !=
      line.npos) {  // one instruction alone needs more than there are
    refusal.kind = PtxasRefusal::Kind::registers;
    refusal.number = number_at(between(line, "Insufficient registers (", ")"));
    return refusal;
  }
  for (std::string_view said :
       {"not supported on .target", "requires .target", "cannot be compiled for architecture"}) {
    if (line.find(said) == line.npos) continue;
    refusal.kind = PtxasRefusal::Kind::feature;
    for (std::string_view what : {"Feature '", "Instruction '", "Modifier '"})
      if (refusal.words.empty()) refusal.words = between(line, what, "'");
    return refusal;
  }
  refusal.kind = PtxasRefusal::Kind::other;
  refusal.words = trim(line);
  return refusal;
}

}  // namespace

std::vector<PtxasKernelFacts> parse_ptxas_log(std::string_view log) {
  std::vector<PtxasKernelFacts> kernels;
  bool own_properties =
      false;  // whether "Function properties" speaks of the entry rather than of a called function
  each_line(log, [&](std::string_view line) {
    if (line.find("Compiling entry function") != line.npos) {
      kernels.push_back({});
      kernels.back().symbol = between(line, "function '", "'");
      own_properties = false;
    } else if (kernels.empty()) {
      return;
    } else if (size_t at = line.find("Function properties for "); at != line.npos) {
      own_properties = trim(line.substr(at + 24)) == kernels.back().symbol;
    } else if (line.find("bytes stack frame") != line.npos && own_properties) {
      kernels.back().stack = number_before(line, " bytes stack frame");
      kernels.back().spill_stores = number_before(line, " bytes spill stores");
      kernels.back().spill_loads = number_before(line, " bytes spill loads");
    } else if (line.find("Used ") != line.npos) {
      kernels.back().registers = number_before(line, " registers");
      kernels.back().barriers = number_before(line, " barriers");
      kernels.back().smem = number_before(line, " bytes smem");
    }
  });
  return kernels;
}

PtxasRefusal parse_ptxas_refusal(std::string_view log) {
  PtxasRefusal found;
  each_line(log, [&](std::string_view line) {
    bool speaks = line.find("ptxas") != line.npos;
    bool refuses = line.find("error") != line.npos || line.find("fatal") != line.npos;
    if (!speaks || !refuses) return;
    PtxasRefusal refusal = parse_error_line(line);
    if (found.kind == PtxasRefusal::Kind::none || refusal.kind < found.kind) found = refusal;
  });
  return found;
}

}  // namespace rtjit

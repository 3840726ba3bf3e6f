#include "compiler/feature_gate.h"

#include <cctype>

#include "base/hash.h"

namespace rtjit {
namespace {

// "gemm<64, 128, Store::scatter4>" -> "gemm<, , Store::scatter4>"; digits within names stay.
std::string without_numbers(std::string_view expression) {
  std::string kept;
  bool in_name = false, in_number = false;
  for (char c : expression) {
    bool digit = std::isdigit(static_cast<unsigned char>(c));
    bool word = digit || std::isalpha(static_cast<unsigned char>(c)) || c == '_';
    if (!word) in_name = in_number = false;
    if (word && !in_name && !in_number) (digit ? in_number : in_name) = true;
    if (!in_number) kept += c;
  }
  return kept;
}

}  // namespace

std::string feature_gate_key(const CompileRequest& request, const std::vector<std::string>& reachable) {
  ContentHash hash;
  hash.add(request.target.name()).add(request.source);
  for (const std::string& expression : request.name_expressions) hash.add(without_numbers(expression));
  for (const std::string& path : reachable) hash.add(path).add(request.tmpl->sources.at(path));
  return hash.hex();
}

bool FeatureGate::passed(const std::string& key) const {
  std::lock_guard lock(mutex_);
  return passed_.count(key) != 0;
}

void FeatureGate::pass(const std::string& key) {
  std::lock_guard lock(mutex_);
  passed_.insert(key);
}

}  // namespace rtjit

// Small templates made in memory, for tests that compile.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "compiler/compile.h"

namespace rtjit {

// A request for one kernel of "demo/kernel.cuh", whose content is `source`.
inline CompileRequest make_request(const std::string& source, const std::string& name_expression,
                                   const std::string& target = "sm_90a",
                                   std::map<std::string, std::string> more_sources = {}) {
  auto tmpl = std::make_shared<Template>();
  tmpl->name = "demo";
  tmpl->sources = std::move(more_sources);
  tmpl->sources["demo/kernel.cuh"] = source;
  CompileRequest request;
  request.tmpl = tmpl;
  request.source = "demo/kernel.cuh";
  request.name_expressions = {name_expression};
  request.target = *Target::parse(target);
  return request;
}

// Takes about four times as long per two more levels; the front end cannot be interrupted. 12: about a second
// and a half, 20: hours.
inline CompileRequest slow_request(int levels) {
  return make_request(
      "template <int N, int M> struct Tree { static constexpr int sum = Tree<N - 1, M * 2>::sum + Tree<N - "
      "1, M * 2 + "
      "1>::sum; };\n"
      "template <int M> struct Tree<0, M> { static constexpr int sum = M; };\n"
      "template <int N> __global__ void grow(int* p) { *p = Tree<N, 1>::sum; }\n",
      "grow<" + std::to_string(levels) + ">");
}

}  // namespace rtjit

// The C++ name of a specialised kernel: "ns::kernel<64, 128, ns::Layout::interleaved>".
#pragma once

#include <span>
#include <string>
#include <vector>

#include "templates/formula.h"
#include "templates/manifest.h"

namespace rtjit {

class KernelName {
 public:
  // `variant` is null for packing. `symbols` are those of the values given to expression().
  static Result<KernelName> create(const LaunchSpec& launch, const Template& tmpl, const Variant* variant,
                                   const SymbolTable& symbols);

  Result<std::string> expression(const Problem& problem, const Config& config,
                                 std::span<const int64_t> values, const SymbolTable& symbols) const;
  // Without namespaces and template arguments.
  std::string base_name() const;

 private:
  struct Argument {
    Formula formula;
    std::string choice, cpp;  // when not empty: the choice's name and the C++ enum of its values
  };
  std::string kernel_;
  std::vector<Argument> arguments_;
};

}  // namespace rtjit

// Compares an output with the reference's, as VerifySpec says.
#pragma once

#include <span>
#include <string>

#include "templates/manifest.h"
#include "tuner/inputs.h"

namespace rtjit {

struct Comparison {
  bool ok = false;
  std::string reason;        // "" when ok
  double rel_l2 = 0;         // ||out - ref|| / ||ref|| over the elements that are finite in both
  double max_err = 0;        // max |out - ref| / rms(ref)
  int64_t compared = 0;      // elements
  int64_t different = 0;     // those of them with another value than the reference's, by however little
  bool informative = false;  // the reference has a finite element that is not zero
};

// `shape` describes both; NaN and infinities must be at the same places, rows that are all zero in the
// reference must be exactly zero, both metrics within the limits.
Comparison compare_output(const HostTensor& shape, std::span<const unsigned char> reference,
                          std::span<const unsigned char> output, const VerifySpec& limits);

bool same_bytes(std::span<const unsigned char> a, std::span<const unsigned char> b);

}  // namespace rtjit

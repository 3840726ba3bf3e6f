// Cases of one instruction per thread, from a line of PTX.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tests/silicon/case.h"

namespace rtjit::silicon {

// `text` computes %d (and %e) from %a, %b, %c. "<x|y>" stands for one case per alternative. An operand's type
// is the last type of the instruction's name, or what `types` says ("d=b32 a=f16x2"). %e is compared only
// when it is used. Besides, a thread finds there: %i its number, %lane, %s the shared address of 16 bytes of
// its own, %m the global address of 16 zeroed bytes of its own, %in and %block_s and %block_m the first bytes
// of these (of the block's); %t0 to %t7 (32 bits), %q0 to %q7 (64), %h0 to %h7 (16), %p0 to %p3 (predicates),
// and an mbarrier `bar` that nobody has initialised. Four blocks of 256 threads.
void add_forms(std::vector<Case>* cases, std::string_view text, std::string_view types = "",
               const Bound& bound = {}, Element element = Element::bits);

// All alternatives of a text.
std::vector<std::string> alternatives(std::string_view text);

inline constexpr size_t kFormThreads = 1024;

}  // namespace rtjit::silicon

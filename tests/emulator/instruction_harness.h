// Runs one instruction on many inputs and compares every result with a scalar oracle.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "emulator/emulator.h"

namespace rtjit {

// Bit patterns worth trying, for integers and floats of every width.
template <class T>
std::vector<T> corner_values() {
  if constexpr (sizeof(T) == 8) {
    return {0,
            1,
            2,
            31,
            32,
            63,
            64,
            0x7fffffffffffffff,
            0x8000000000000000,
            0xffffffffffffffff,
            0x3ff0000000000000,
            0xbff0000000000000,
            0x7ff0000000000000,
            0xfff0000000000000,
            0x0010000000000000,
            0x000fffffffffffff,
            0x7fefffffffffffff,
            0x41dfffffffc00000,
            0x3fe0000000000000};
  } else if constexpr (sizeof(T) == 4) {
    return {0,          1,          2,          5,          31,         32,         33,         0x7fffffff,
            0x80000000, 0xffffffff, 0x3f800000, 0xbf800000, 0x3f000000, 0x7f800000, 0xff800000, 0x7fc00000,
            0x00800000, 0x007fffff, 0x00000001, 0x80000001, 0x7f7fffff, 0x4f000000, 0x3f808000, 0x3f818000,
            0x33800000, 0x477fe000, 0x477ff000, 0x43e00000, 0x43e80001, 0x3c003c00, 0x7c000001};
  } else {
    return {0,      1,      0x7fff, 0x8000, 0xffff, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x0400,
            0x03ff, 0x7bff, 0x3f80, 0xbf80, 0x7f80, 0xff80, 0x0080, 0x007f, 0x7f7f, 0x3800};
  }
}

// The corners crossed among the first inputs, then random bits, half of them with moderate exponents.
template <class A, class B, class C>
void make_inputs(std::vector<A>* a, std::vector<B>* b, std::vector<C>* c) {
  std::mt19937_64 generator(12345);
  auto x = corner_values<A>();
  auto y = corner_values<B>();
  auto z = corner_values<C>();
  size_t k = 0;
  for (A i : x) {
    for (B j : y) {
      a->push_back(i);
      b->push_back(j);
      c->push_back(z[k++ % z.size()]);
    }
  }
  auto tame = [&](auto value) {
    using T = decltype(value);
    if (generator() % 2) return value;
    if (sizeof(T) == 4) return static_cast<T>((value & 0x80ffffff) | (0x3c + generator() % 6) << 24);
    if (sizeof(T) == 2) return static_cast<T>((value & 0x83ff) | (0x2c + generator() % 32) << 8);
    return static_cast<T>((value & 0x800fffffffffffffull) | (0x3f0ull + generator() % 32) << 52);
  };
  while (a->size() < 4096) {
    a->push_back(tame(static_cast<A>(generator())));
    b->push_back(tame(static_cast<B>(generator())));
    c->push_back(tame(static_cast<C>(generator())));
  }
}

// `text` computes %d from %a, %b, %c. D, A, B, C are unsigned integers of the registers' widths.
template <class D, class A, class B, class C, class F>
void check_instruction(const std::string& text, F oracle, const std::string& target = "sm_90a") {
  auto declare = [](const char* name, size_t bytes) {
    return ".reg .b" + std::to_string(bytes * 8) + " " + name + ";\n";
  };
  auto load = [](const char* name, size_t bytes, int parameter) {
    std::string n = std::to_string(parameter);
    return "ld.param.u64 %p" + n + ", [k_" + n + "];\nmad.wide.u32 %p" + n + ", %i, " +
           std::to_string(bytes) + ", %p" + n + ";\nld.global.b" + std::to_string(bytes * 8) + " " + name +
           ", [%p" + n + "];\n";
  };
  std::string ptx = ".version 8.7\n.target " + target +
                    "\n.address_size 64\n.visible .entry k(.param .u64 k_0, .param .u64 k_1, .param .u64 "
                    "k_2, .param .u64 k_3) {\n"
                    ".reg .b64 %p<4>;\n.reg .b32 %i, %n, %t;\n.reg .pred %q, %q2;\n";
  ptx += declare("%d", sizeof(D)) + declare("%a", sizeof(A)) + declare("%b", sizeof(B)) +
         declare("%c", sizeof(C));
  ptx += "mov.u32 %i, %ctaid.x;\nmov.u32 %n, %ntid.x;\nmov.u32 %t, %tid.x;\nmad.lo.u32 %i, %i, %n, %t;\n";
  ptx += load("%a", sizeof(A), 1) + load("%b", sizeof(B), 2) + load("%c", sizeof(C), 3);
  ptx += text + "\nld.param.u64 %p0, [k_0];\nmad.wide.u32 %p0, %i, " + std::to_string(sizeof(D)) +
         ", %p0;\nst.global.b" + std::to_string(sizeof(D) * 8) + " [%p0], %d;\nret;\n}\n";
  Emulator emulator(target);
  emulator.load(ptx);
  std::vector<A> a;
  std::vector<B> b;
  std::vector<C> c;
  make_inputs(&a, &b, &c);
  auto da = emulator.buffer(a);
  auto db = emulator.buffer(b);
  auto dc = emulator.buffer(c);
  auto dd = emulator.buffer(std::vector<D>(a.size(), 0));
  Status status = emulator.run("k", static_cast<int>(a.size() / 128), 128, 0, dd, da, db, dc);
  ASSERT_TRUE(status.ok()) << text << ": " << status.error().message;
  std::vector<D> results = emulator.read(dd);
  int wrong = 0;
  for (size_t i = 0; i < a.size() / 128 * 128 && wrong < 5; ++i) {
    D expected = static_cast<D>(oracle(a[i], b[i], c[i]));
    if (results[i] != expected) {
      ++wrong;
      ADD_FAILURE() << text << std::hex << " a=" << uint64_t(a[i]) << " b=" << uint64_t(b[i])
                    << " c=" << uint64_t(c[i]) << ": got " << uint64_t(results[i]) << ", expected "
                    << uint64_t(expected);
    }
  }
}

}  // namespace rtjit

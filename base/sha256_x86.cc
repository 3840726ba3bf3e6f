// SHA-256 with the instructions that x86 processors have for it since 2017 or so.
#include "base/sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

namespace rtjit {
namespace {

// The instructions want the state as (f, e, b, a) and (h, g, d, c), from the lowest lane up.
__attribute__((target("sha,sse4.1,ssse3"))) void compress_x86(Sha256::State& state,
                                                              const unsigned char* blocks, size_t count) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  auto* stored = reinterpret_cast<__m128i*>(state.data());
  const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(stored), 0xB1);
  const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(stored + 1), 0x1B);
  __m128i feba = _mm_alignr_epi8(badc, hgfe, 8);
  __m128i hgdc = _mm_blend_epi16(hgfe, badc, 0xF0);
  for (; count > 0; --count, blocks += Sha256::kBlock) {
    const __m128i feba_before = feba, hgdc_before = hgdc;
    __m128i w[4];  // the next 16 words
    for (int i = 0; i < 4; ++i) {
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks) + i), big_endian);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {  // four rounds each
      __m128i& now = w[i % 4];
      const __m128i rounds = _mm_loadu_si128(reinterpret_cast<const __m128i*>(kSha256Rounds) + i);
      const __m128i sum = _mm_add_epi32(now, rounds);
      hgdc = _mm_sha256rnds2_epu32(hgdc, feba, sum);
      feba = _mm_sha256rnds2_epu32(feba, hgdc, _mm_shuffle_epi32(sum, 0x0E));
      if (i >= 12) continue;
      const __m128i &second = w[(i + 1) % 4], &third = w[(i + 2) % 4], &last = w[(i + 3) % 4];
      const __m128i seven_back = _mm_alignr_epi8(last, third, 4);
      now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, second), seven_back), last);
    }
    feba = _mm_add_epi32(feba, feba_before);
    hgdc = _mm_add_epi32(hgdc, hgdc_before);
  }
  const __m128i abef = _mm_shuffle_epi32(feba, 0x1B), ghcd = _mm_shuffle_epi32(hgdc, 0xB1);
  _mm_storeu_si128(stored, _mm_blend_epi16(abef, ghcd, 0xF0));
  _mm_storeu_si128(stored + 1, _mm_alignr_epi8(ghcd, abef, 8));
}

bool has_instructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kSsse3 = 1u << 9, kSse41 = 1u << 19, kSha = 1u << 29;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSsse3) == 0 || (c & kSse41) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kSha) != 0;
}

}  // namespace

Sha256::Compress Sha256::accelerated() { return has_instructions() ? compress_x86 : nullptr; }

}  // namespace rtjit
#else
namespace rtjit {
Sha256::Compress Sha256::accelerated() { return nullptr; }
}  // namespace rtjit
#endif

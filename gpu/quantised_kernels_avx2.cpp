#include "gpu/quantised_kernels.hpp"

#if defined(__x86_64__)
#include <cstring>
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")

namespace troupe {

namespace {

#include "gpu/vectors_avx2.inl"

constexpr int fast_rows = 4;

struct ivec {
  __m256i a, b;
};
using numbers = ivec;

inline __m256i half_at(const std::uint8_t* p) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
}
inline numbers load_numbers(const std::uint8_t* p) { return {half_at(p), half_at(p + 32)}; }
inline numbers low_bits(numbers x) {
  const __m256i mask = _mm256_set1_epi8(15);
  return {_mm256_and_si256(x.a, mask), _mm256_and_si256(x.b, mask)};
}
inline numbers high_bits(numbers x) {
  return low_bits({_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)});
}
inline ivec spread_int(int x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
inline ivec plus_int(ivec x, ivec y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline ivec times_256(ivec x) { return {_mm256_slli_epi32(x.a, 8), _mm256_slli_epi32(x.b, 8)}; }
inline ivec over_256(ivec x) { return {_mm256_srai_epi32(x.a, 8), _mm256_srai_epi32(x.b, 8)}; }
/// Sums of two products must fit 16 bits: numbers of 7 bits do (2 * 127 * 128), so the eighth is taken apart (2 * 128 * 128, at least).
template <int BITS>
inline __m256i dot(__m256i sum, __m256i w, __m256i x) {
  const __m256i seven = _mm256_set1_epi8(127), ones = _mm256_set1_epi16(1);
  if constexpr (BITS < 8) return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), ones));
  const __m256i low = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_and_si256(w, seven), x), ones);
  const __m256i high = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_andnot_si256(seven, w), x), ones);
  return _mm256_add_epi32(sum, _mm256_add_epi32(low, high));
}
template <int BITS>
inline ivec dot(ivec sum, numbers w, const std::int8_t* four) {
  int bits;
  std::memcpy(&bits, four, 4);
  const __m256i x = _mm256_set1_epi32(bits);
  return {dot<BITS>(sum.a, w.a, x), dot<BITS>(sum.b, w.b, x)};
}
inline ivec number_of(numbers w, int j) {
  const __m256i mask = _mm256_set1_epi32(255);
  return {_mm256_and_si256(_mm256_srli_epi32(w.a, 8 * j), mask),
          _mm256_and_si256(_mm256_srli_epi32(w.b, 8 * j), mask)};
}
inline vec to_float(ivec x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline vec load_halves(const std::uint8_t* p) {
  const auto* at = reinterpret_cast<const __m128i*>(p);
  return {_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at + 1))};
}
inline vec size_of(vec x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}
inline ivec nearest(vec x) {
  return {_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)};
} // MXCSR's default: ties to even
inline void store_bytes(std::int8_t* to, ivec x) {
  alignas(32) std::int32_t all[lanes];
  _mm256_store_si256(reinterpret_cast<__m256i*>(all), x.a);
  _mm256_store_si256(reinterpret_cast<__m256i*>(all + 8), x.b);
  for (int i = 0; i < lanes; ++i) to[i] = static_cast<std::int8_t>(all[i]);
}
inline int sum_int(ivec x) {
  alignas(32) std::int32_t all[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(all), _mm256_add_epi32(x.a, x.b));
  int sum = 0;
  for (int one : all) sum += one;
  return sum;
}

inline void multiply_opened(const float* x, std::ptrdiff_t x_stride, int rows, const float* panels, int in,
                            int count, float* y, std::ptrdiff_t y_stride, bool add) {
  avx2_kernels.multiply_panels(x, x_stride, rows, panels, in, count, y, y_stride, add);
}

} // namespace

#define UNROLLED _Pragma("GCC unroll 16")
#include "gpu/quantised_kernels.inl"

#pragma GCC pop_options

const quantised_kernels avx2_quantised_kernels{multiply_exact, multiply_fast, quantise};

} // namespace troupe
#else
namespace troupe {
const quantised_kernels avx2_quantised_kernels{};
}
#endif

#include "gpu/quantised_kernels.hpp"

#if defined(__x86_64__)
// g++ 12 takes the deliberately undefined registers of its own intrinsics for mistakes (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <cstring>
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")

namespace troupe {

namespace {

#include "gpu/vectors_avx512.inl"

constexpr int fast_rows = 16; // 16 sums, 8 groups of weights, 8 temporaries

struct ivec {
  __m512i v;
};
using numbers = ivec;

inline numbers load_numbers(const std::uint8_t* p) { return {_mm512_load_si512(p)}; }
inline numbers low_bits(numbers a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
inline numbers high_bits(numbers a) {
  return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))};
}
inline ivec spread_int(int x) { return {_mm512_set1_epi32(x)}; }
inline ivec plus_int(ivec a, ivec b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline ivec times_256(ivec a) { return {_mm512_slli_epi32(a.v, 8)}; }
inline ivec over_256(ivec a) { return {_mm512_srai_epi32(a.v, 8)}; }
template <int BITS>
inline ivec dot(ivec sum, numbers w, const std::int8_t* four) {
  int x;
  std::memcpy(&x, four, 4);
  return {_mm512_dpbusd_epi32(sum.v, w.v, _mm512_set1_epi32(x))};
}
inline ivec number_of(numbers w, int j) {
  return {_mm512_and_si512(_mm512_srli_epi32(w.v, static_cast<unsigned>(8 * j)), _mm512_set1_epi32(255))};
}
inline vec to_float(ivec a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline vec load_halves(const std::uint8_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline vec size_of(vec a) { return {_mm512_abs_ps(a.v)}; }
inline ivec nearest(vec a) {
  return {_mm512_cvt_roundps_epi32(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline void store_bytes(std::int8_t* to, ivec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(a.v));
}
inline int sum_int(ivec a) { return _mm512_reduce_add_epi32(a.v); }

inline void multiply_opened(const float* x, std::ptrdiff_t x_stride, int rows, const float* panels, int in,
                            int count, float* y, std::ptrdiff_t y_stride, bool add) {
  avx512_kernels.multiply_panels(x, x_stride, rows, panels, in, count, y, y_stride, add);
}

} // namespace

#define UNROLLED _Pragma("GCC unroll 16")
#include "gpu/quantised_kernels.inl"

#pragma GCC pop_options

const quantised_kernels avx512_quantised_kernels{multiply_exact, multiply_fast, quantise};

} // namespace troupe
#else
namespace troupe {
const quantised_kernels avx512_quantised_kernels{};
}
#endif

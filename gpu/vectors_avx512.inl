// 16 float32 lanes for this instruction set; inside of the including file's unnamed namespace.

struct vec {
  __m512 v;
};

inline vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, vec a) { _mm512_storeu_ps(p, a.v); }
inline vec spread(float x) { return {_mm512_set1_ps(x)}; }
inline vec fused(vec a, vec b, vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline vec fused_negative(vec a, vec b, vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline vec plus(vec a, vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline vec minus(vec a, vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline vec times(vec a, vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline vec over(vec a, vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline vec larger(vec a, vec b) { return {_mm512_max_ps(a.v, b.v)}; }
inline vec smaller(vec a, vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline vec zero_below(vec x, float limit, vec y) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, _mm512_set1_ps(limit), _CMP_GE_OQ), y.v)};
}
inline vec scale_by_power(vec y, vec shifted) {
  return {_mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_castps_si512(y.v), _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23)))};
}
inline __m256 upper(__m512 a) { return _mm512_extractf32x8_ps(a, 1); }
inline float sum(vec a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), upper(a.v));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float greatest(vec a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), upper(a.v));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

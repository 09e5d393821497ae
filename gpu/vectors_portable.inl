// 16 float32 lanes for this instruction set; inside of the including file's unnamed namespace.

struct vec {
  float at[lanes];
};

#ifdef __FP_FAST_FMAF
inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
#else
/// a*b + c rounded once, without an FMA unit: the product is exact in double; the sum is rounded to odd (its
/// last bit set when inexact), after which rounding to float32 cannot double-round (Boldo and Melquiond
/// 2008).
inline float fused(float a, float b, float c) {
  const double product = static_cast<double>(a) * b, addend = c;
  const double total = product + addend;
  const double part = total - product;
  const double lost = (product - (total - part)) + (addend - part); // Knuth's two-sum: exact
  const auto bits = std::bit_cast<std::int64_t>(total);
  const bool even_and_inexact = lost != 0 && (bits & 1) == 0 && lost - lost == 0;
  const std::int64_t away = ((lost > 0) == (total > 0)) ? 1 : -1;
  return static_cast<float>(std::bit_cast<double>(bits + (even_and_inexact ? away : 0)));
}

/// Could rounding this double to float32 be a second rounding that goes wrong? Only from the middle between
/// two floats, or where floats are denormal and their middles elsewhere.
inline bool needs_care(double total) {
  constexpr std::uint64_t low = (1u << 29) - 1, middle = 1u << 28,
                          smallest_normal = std::uint64_t{1023 - 126} << 52;
  const auto bits = std::bit_cast<std::uint64_t>(total);
  return (bits & low) == middle || (bits & ~(std::uint64_t{1} << 63)) - 1 < smallest_normal - 1;
}
#endif

template <class Operation>
inline vec each(Operation operation) {
  vec out;
  for (int i = 0; i < lanes; ++i) out.at[i] = operation(i);
  return out;
}

inline vec load(const float* p) {
  return each([&](int i) { return p[i]; });
}
inline void store(float* p, const vec& x) {
  for (int i = 0; i < lanes; ++i) p[i] = x.at[i];
}
inline vec spread(float x) {
  return each([&](int) { return x; });
}
inline vec fused(const vec& x, const vec& y, const vec& z) {
#ifndef __FP_FAST_FMAF
  double totals[lanes];
  for (int i = 0; i < lanes; ++i) totals[i] = static_cast<double>(x.at[i]) * y.at[i] + z.at[i];
  bool care = false;
  for (int i = 0; i < lanes; ++i) care |= needs_care(totals[i]);
  if (!care) return each([&](int i) { return static_cast<float>(totals[i]); });
#endif
  return each([&](int i) { return fused(x.at[i], y.at[i], z.at[i]); });
}
inline vec fused_negative(const vec& x, const vec& y, const vec& z) {
  return fused(each([&](int i) { return -x.at[i]; }), y, z);
}
inline vec plus(const vec& x, const vec& y) {
  return each([&](int i) { return x.at[i] + y.at[i]; });
}
inline vec minus(const vec& x, const vec& y) {
  return each([&](int i) { return x.at[i] - y.at[i]; });
}
inline vec times(const vec& x, const vec& y) {
  return each([&](int i) { return x.at[i] * y.at[i]; });
}
inline vec over(const vec& x, const vec& y) {
  return each([&](int i) { return x.at[i] / y.at[i]; });
}
inline vec larger(const vec& x, const vec& y) {
  return each([&](int i) { return x.at[i] > y.at[i] ? x.at[i] : y.at[i]; });
}
inline vec smaller(const vec& x, const vec& y) {
  return each([&](int i) { return x.at[i] < y.at[i] ? x.at[i] : y.at[i]; });
}
inline vec zero_below(const vec& x, float limit, const vec& y) {
  return each([&](int i) { return x.at[i] >= limit ? y.at[i] : 0.0f; });
}
inline vec scale_by_power(const vec& y, const vec& shifted) {
  return each([&](int i) {
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(y.at[i]) +
                                (std::bit_cast<std::uint32_t>(shifted.at[i]) << 23));
  });
}
inline float sum(vec x) {
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x.at[i] += x.at[i + half];
  return x.at[0];
}
inline float greatest(vec x) {
  for (int half = lanes / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) x.at[i] = x.at[i] > x.at[i + half] ? x.at[i] : x.at[i + half];
  return x.at[0];
}

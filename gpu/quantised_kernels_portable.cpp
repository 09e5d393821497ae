#include "gpu/quantised_kernels.hpp"

#include "gpu/files/half.hpp"
#include <bit>
#include <cmath>
#include <cstring>

namespace troupe {

namespace {

#include "gpu/vectors_portable.inl"

constexpr int fast_rows = 1;

struct ivec {
  std::int32_t at[lanes];
};
struct numbers {
  std::uint8_t at[lanes * 4];
};

template <class Out, class Operation>
inline Out filled(Operation operation) {
  Out out;
  for (int i = 0; i < static_cast<int>(sizeof(out.at) / sizeof(out.at[0])); ++i) out.at[i] = operation(i);
  return out;
}

inline numbers load_numbers(const std::uint8_t* p) {
  numbers out;
  std::memcpy(out.at, p, sizeof out.at);
  return out;
}
inline numbers low_bits(const numbers& x) {
  return filled<numbers>([&](int i) { return static_cast<std::uint8_t>(x.at[i] & 15); });
}
inline numbers high_bits(const numbers& x) {
  return filled<numbers>([&](int i) { return static_cast<std::uint8_t>(x.at[i] >> 4); });
}
inline ivec spread_int(int x) {
  return filled<ivec>([&](int) { return x; });
}
inline ivec plus_int(const ivec& x, const ivec& y) {
  return filled<ivec>([&](int i) { return x.at[i] + y.at[i]; });
}
inline ivec times_256(const ivec& x) {
  return filled<ivec>([&](int i) { return x.at[i] * 256; });
}
inline ivec over_256(const ivec& x) { // rounds down
  return filled<ivec>([&](int i) { return x.at[i] >> 8; });
}
template <int BITS>
inline ivec dot(const ivec& sum, const numbers& w, const std::int8_t* x) {
  return filled<ivec>([&](int i) {
    return sum.at[i] + w.at[4 * i] * x[0] + w.at[4 * i + 1] * x[1] + w.at[4 * i + 2] * x[2] +
           w.at[4 * i + 3] * x[3];
  });
}
inline ivec number_of(const numbers& w, int j) {
  return filled<ivec>([&](int i) { return w.at[4 * i + j]; });
}
inline vec to_float(const ivec& x) {
  return filled<vec>([&](int i) { return static_cast<float>(x.at[i]); });
}
inline vec load_halves(const std::uint8_t* p) {
  std::uint16_t halves[lanes];
  std::memcpy(halves, p, sizeof halves);
  return filled<vec>([&](int i) { return from_float16(halves[i]); });
}
inline vec size_of(const vec& x) {
  return filled<vec>([&](int i) { return std::abs(x.at[i]); });
}
inline ivec nearest(const vec& x) { // the default rounding: ties to even
  return filled<ivec>([&](int i) { return static_cast<std::int32_t>(std::nearbyint(x.at[i])); });
}
inline void store_bytes(std::int8_t* to, const ivec& x) {
  for (int i = 0; i < lanes; ++i) to[i] = static_cast<std::int8_t>(x.at[i]);
}
inline int sum_int(const ivec& x) {
  int sum = 0;
  for (int one : x.at) sum += one;
  return sum;
}

inline void multiply_opened(const float* x, std::ptrdiff_t x_stride, int rows, const float* panels, int in,
                            int count, float* y, std::ptrdiff_t y_stride, bool add) {
  portable_kernels.multiply_panels(x, x_stride, rows, panels, in, count, y, y_stride, add);
}

} // namespace

#define UNROLLED
#include "gpu/quantised_kernels.inl"

const quantised_kernels portable_quantised_kernels{multiply_exact, multiply_fast, quantise};

} // namespace troupe

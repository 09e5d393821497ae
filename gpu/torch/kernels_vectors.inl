// Part of kernels_body.inl: vectors, exp, and small matrix products.

using index = std::int64_t;
constexpr index lanes = TROUPE_LANES;
constexpr index block_rows = TROUPE_BLOCK_ROWS;
constexpr index query_block = 16; // rows of scores computed at once; a multiple of block_rows and of lanes
typedef float vec __attribute__((vector_size(TROUPE_LANES * 4)));
typedef std::int32_t ivec __attribute__((vector_size(TROUPE_LANES * 4)));

#define TROUPE_INLINE [[gnu::always_inline]] inline

TROUPE_INLINE vec all(float x) { return vec{} + x; }
TROUPE_INLINE vec load(const float* p) {
  vec v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
TROUPE_INLINE void store(float* p, vec v) { __builtin_memcpy(p, &v, sizeof v); }
TROUPE_INLINE vec load(const float* p, index n) {
  if (n == lanes) return load(p);
  vec v{};
  for (index i = 0; i < n; ++i) v[i] = p[i];
  return v;
}
TROUPE_INLINE void store(float* p, vec v, index n) {
  if (n == lanes) return store(p, v);
  for (index i = 0; i < n; ++i) p[i] = v[i];
}
/// Calls f(i, how many) for each vector of n floats.
template <class F>
TROUPE_INLINE void strips(index n, F f) {
  index i = 0;
  for (; i + lanes <= n; i += lanes) f(i, lanes);
  if (i < n) f(i, n - i);
}
TROUPE_INLINE float sum(vec v) {
  float s = 0;
  for (index i = 0; i < lanes; ++i) s += v[i];
  return s;
}
TROUPE_INLINE vec larger(vec a, vec b) { return a > b ? a : b; }
TROUPE_INLINE float largest(vec v) {
  float m = v[0];
  for (index i = 1; i < lanes; ++i) m = v[i] > m ? v[i] : m;
  return m;
}
TROUPE_INLINE index round_up(index n, index to) { return (n + to - 1) / to * to; }
TROUPE_INLINE void clear(float* p, index n) {
  __builtin_memset(p, 0, static_cast<std::size_t>(n) * sizeof(float));
}

/// exp, about 1 ulp (Cephes' expf), for -86 .. 88 and clamped there; a NaN stays one.
TROUPE_INLINE vec exponential(vec x) {
  x = x < all(-86.f) ? all(-86.f) : x;
  x = x > all(88.f) ? all(88.f) : x;
  const vec magic = all(12582912.f); // 1.5 * 2^23: adding it rounds to an integer
  vec n = x * all(1.44269504088896341f) + magic;
  const ivec power = (ivec)n - (ivec)magic;
  n -= magic;
  const vec r = x - n * all(0.693359375f) + n * all(2.12194440e-4f);
  vec p = all(1.9875691500e-4f);
  p = p * r + all(1.3981999507e-3f);
  p = p * r + all(8.3334519073e-3f);
  p = p * r + all(4.1665795894e-2f);
  p = p * r + all(1.6666665459e-1f);
  p = p * r + all(5.0000001201e-1f);
  p = p * r * r + r + all(1.f);
  return (vec)((ivec)p + (power << 23));
}

// -- small matrix products

template <int R, int C>
TROUPE_INLINE void block(const float* a, index a_row, index a_col, const float* b, index b_row, index depth,
                         float* c, index c_row, bool accumulate) {
  vec s[R][C];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) s[r][j] = accumulate ? load(c + r * c_row + j * lanes) : vec{};
  for (index k = 0; k < depth; ++k) {
    vec right[C];
    for (int j = 0; j < C; ++j) right[j] = load(b + k * b_row + j * lanes);
    for (int r = 0; r < R; ++r) {
      const vec left = all(a[r * a_row + k * a_col]);
      for (int j = 0; j < C; ++j) s[r][j] += left * right[j];
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < C; ++j) store(c + r * c_row + j * lanes, s[r][j]);
}

/// c[m, n] (+)= a[m, depth] b[depth, n]. m is a multiple of block_rows, n of lanes; a has any strides.
void product(index m, index n, index depth, const float* a, index a_row, index a_col, const float* b,
             index b_row, float* c, index c_row, bool accumulate) {
  for (index i = 0; i < m; i += block_rows) {
    index j = 0;
    for (; j + 2 * lanes <= n; j += 2 * lanes)
      block<block_rows, 2>(a + i * a_row, a_row, a_col, b + j, b_row, depth, c + i * c_row + j, c_row,
                           accumulate);
    if (j < n)
      block<block_rows, 1>(a + i * a_row, a_row, a_col, b + j, b_row, depth, c + i * c_row + j, c_row,
                           accumulate);
  }
}

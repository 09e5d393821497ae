// The kernels themselves, once, over a type `vec` of 16 float32 lanes that the including file defines for its instruction
// set. Every multiplication that feeds an addition is written as a fused one, so that no compiler can contract differently.

namespace {

inline vec exponential(vec x) {
  constexpr float log2_e = 1.44269504088896341f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  constexpr float round = 12582912.0f; // 1.5 * 2^23: the sum's low bits are the nearest whole number
  const vec bounded = smaller(x, spread(88.0f));
  const vec shifted = fused(bounded, spread(log2_e), spread(round));
  const vec whole = minus(shifted, spread(round));
  vec r = fused_negative(whole, spread(ln2_high), bounded);
  r = fused_negative(whole, spread(ln2_low), r);
  vec p = spread(1.9875691500e-4f); // Cephes' polynomial for exp(r) - 1 - r, |r| <= ln(2)/2
  p = fused(p, r, spread(1.3981999507e-3f));
  p = fused(p, r, spread(8.3334519073e-3f));
  p = fused(p, r, spread(4.1665795894e-2f));
  p = fused(p, r, spread(1.6666665459e-1f));
  p = fused(p, r, spread(5.0000001201e-1f));
  const vec y = plus(fused(p, times(r, r), r), spread(1.0f));
  return zero_below(x, -86.0f, scale_by_power(y, shifted));
}

/// ROWS x PANELS outputs at once, all in registers.
template <int ROWS, int PANELS>
inline void multiply_tile(const float* x, std::ptrdiff_t x_stride, const float* w, int in, float* y,
                          std::ptrdiff_t y_stride, bool add) {
  vec sums[ROWS][PANELS];
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < PANELS; ++p) sums[r][p] = spread(0.0f);
  const std::ptrdiff_t panel = static_cast<std::ptrdiff_t>(in) * lanes;
  for (int k = 0; k < in; ++k) {
    vec weights[PANELS];
#pragma GCC unroll 8
    for (int p = 0; p < PANELS; ++p) weights[p] = load(w + p * panel + static_cast<std::ptrdiff_t>(k) * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r) {
      const vec input = spread(x[r * x_stride + k]);
#pragma GCC unroll 8
      for (int p = 0; p < PANELS; ++p) sums[r][p] = fused(input, weights[p], sums[r][p]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
    for (int p = 0; p < PANELS; ++p) {
      float* to = y + r * y_stride + p * lanes;
      store(to, add ? plus(load(to), sums[r][p]) : sums[r][p]);
    }
}

template <int PANELS>
inline void multiply_rows(const float* x, std::ptrdiff_t x_stride, int rows, const float* w, int in, float* y,
                          std::ptrdiff_t y_stride, bool add) {
  for (; rows >= tile_rows; rows -= tile_rows, x += tile_rows * x_stride, y += tile_rows * y_stride)
    multiply_tile<tile_rows, PANELS>(x, x_stride, w, in, y, y_stride, add);
  switch (rows) {
  case 5: return multiply_tile<5, PANELS>(x, x_stride, w, in, y, y_stride, add);
  case 4: return multiply_tile<4, PANELS>(x, x_stride, w, in, y, y_stride, add);
  case 3: return multiply_tile<3, PANELS>(x, x_stride, w, in, y, y_stride, add);
  case 2: return multiply_tile<2, PANELS>(x, x_stride, w, in, y, y_stride, add);
  case 1: return multiply_tile<1, PANELS>(x, x_stride, w, in, y, y_stride, add);
  }
}

void multiply_panels(const float* x, std::ptrdiff_t x_stride, int rows, const float* panels, int in, int count, float* y,
                     std::ptrdiff_t y_stride, bool add) {
  const std::ptrdiff_t panel = static_cast<std::ptrdiff_t>(in) * lanes;
  for (; count >= tile_panels; count -= tile_panels, panels += tile_panels * panel, y += tile_panels * lanes)
    multiply_rows<tile_panels>(x, x_stride, rows, panels, in, y, y_stride, add);
  for (; count > 0; --count, panels += panel, y += lanes)
    multiply_rows<1>(x, x_stride, rows, panels, in, y, y_stride, add);
}

void multiply(const float* x, std::ptrdiff_t x_stride, int rows, const packed_matrix& w, float* y,
              std::ptrdiff_t y_stride, bool add) {
  multiply_panels(x, x_stride, rows, w.data.data(), w.in, w.out / lanes, y, y_stride, add);
}

void rms_norm(const float* x, const float* weight, float* y, int n, float eps) {
  vec squares = spread(0.0f);
  for (int i = 0; i < n; i += lanes) squares = fused(load(x + i), load(x + i), squares);
  const float scale = 1.0f / __builtin_sqrtf(sum(squares) / static_cast<float>(n) + eps);
  for (int i = 0; i < n; i += lanes) store(y + i, times(times(load(x + i), spread(scale)), load(weight + i)));
}

void rotate(float* head, const float* cosine, const float* sine, int half) {
  int i = 0;
  for (; i + lanes <= half; i += lanes) {
    const vec a = load(head + i), b = load(head + half + i), c = load(cosine + i), s = load(sine + i);
    store(head + i, fused_negative(b, s, times(a, c)));
    store(head + half + i, fused(a, s, times(b, c)));
  }
  for (; i < half; ++i) {
    const float a = head[i], b = head[half + i];
    head[i] = fused(-b, sine[i], a * cosine[i]);
    head[half + i] = fused(a, sine[i], b * cosine[i]);
  }
}

template <int BLOCKS>
inline void score_blocks(const float* q, const attention_past& past, int first, int head_dim, float scale, float* scores) {
  vec dots[BLOCKS];
#pragma GCC unroll 8
  for (int b = 0; b < BLOCKS; ++b) dots[b] = spread(0.0f);
  for (int d = 0; d < head_dim; ++d) {
    const vec query = spread(q[d]);
#pragma GCC unroll 8
    for (int b = 0; b < BLOCKS; ++b) {
      const float* block = past.blocks[first + b] + static_cast<std::ptrdiff_t>(d) * lanes;
      dots[b] = fused(query, load(block + past.key_offset), dots[b]);
    }
  }
#pragma GCC unroll 8
  for (int b = 0; b < BLOCKS; ++b) store(scores + (first + b) * lanes, times(dots[b], spread(scale)));
}

/// PARTS * 16 dimensions of the weighted sum of values, divided by `total`.
template <int PARTS>
inline void mix_values(const attention_past& past, std::ptrdiff_t offset, int row, const float* weights, float total, float* out) {
  vec sums[4][PARTS];
#pragma GCC unroll 8
  for (int u = 0; u < 4; ++u)
#pragma GCC unroll 8
    for (int p = 0; p < PARTS; ++p) sums[u][p] = spread(0.0f);
  const int whole = past.positions / lanes;
  for (int block = 0; block <= whole; ++block) {
    const int count = block < whole ? lanes : past.positions % lanes;
    if (count == 0) break;
    const float* values = past.blocks[block] + offset;
    const float* weight = weights + block * lanes;
    int j = 0;
    for (; j + 4 <= count; j += 4)
#pragma GCC unroll 8
      for (int u = 0; u < 4; ++u)
#pragma GCC unroll 8
        for (int p = 0; p < PARTS; ++p) {
          const float* value = values + (j + u) * row + p * lanes;
          sums[u][p] = fused(spread(weight[j + u]), load(value), sums[u][p]);
        }
#pragma GCC unroll 8
    for (int u = 0; u < 3; ++u)
      if (j + u < count)
#pragma GCC unroll 8
        for (int p = 0; p < PARTS; ++p)
          sums[u][p] = fused(spread(weight[j + u]), load(values + (j + u) * row + p * lanes), sums[u][p]);
  }
#pragma GCC unroll 8
  for (int p = 0; p < PARTS; ++p)
    store(out + p * lanes, over(plus(plus(sums[0][p], sums[1][p]), plus(sums[2][p], sums[3][p])), spread(total)));
}

void attend(const float* q, const attention_past& past, int head_dim, float scale, float* scores, float* out) {
  const int blocks = (past.positions + lanes - 1) / lanes;
  int b = 0;
  for (; b + 4 <= blocks; b += 4) score_blocks<4>(q, past, b, head_dim, scale, scores);
  for (; b + 2 <= blocks; b += 2) score_blocks<2>(q, past, b, head_dim, scale, scores);
  if (b < blocks) score_blocks<1>(q, past, b, head_dim, scale, scores);
  for (int i = past.positions; i < blocks * lanes; ++i) scores[i] = -__builtin_inff();
  for (int i = 0; i < past.first; ++i) scores[i] = -__builtin_inff(); // weighs nothing in the sums below
  vec top = load(scores);
  for (int i = lanes; i < blocks * lanes; i += lanes) top = larger(top, load(scores + i));
  const vec most = spread(greatest(top));
  vec totals = spread(0.0f);
  for (int i = 0; i < blocks * lanes; i += lanes) {
    const vec e = exponential(minus(load(scores + i), most));
    totals = plus(totals, e);
    store(scores + i, e);
  }
  const float total = sum(totals);
  const int row = padded(head_dim);
  std::ptrdiff_t at = 0;
  for (; at + 2 * lanes <= row; at += 2 * lanes)
    mix_values<2>(past, past.value_offset + at, row, scores, total, out + at);
  if (at < row) mix_values<1>(past, past.value_offset + at, row, scores, total, out + at);
}

void swiglu(const float* gate, const float* up, float* out, int n) {
  for (int i = 0; i < n; i += lanes) {
    const vec g = load(gate + i);
    const vec e = exponential(minus(spread(0.0f), g));
    store(out + i, times(over(g, plus(spread(1.0f), e)), load(up + i)));
  }
}

float maximum(const float* x, int n) {
  vec top = load(x);
  for (int i = lanes; i < n; i += lanes) top = larger(top, load(x + i));
  return greatest(top);
}

void exponentials(const float* x, float offset, float scale, float* out, int n) {
  for (int i = 0; i < n; i += lanes)
    store(out + i, exponential(times(minus(load(x + i), spread(offset)), spread(scale))));
}

} // namespace

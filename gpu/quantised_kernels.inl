// The kernels over quantised weights, once, over the types `vec` (16 float32), `ivec` (16 int32) and `numbers` (16 outputs x 4 numbers of
// one byte) that the including file defines for its instruction set. UNROLLED goes before loops that are worth it there.

namespace {

/// The numbers of one block of one panel: 8 groups.
template <int BITS>
inline void open_block(const std::uint8_t* from, numbers* to) {
UNROLLED
  for (int i = 0; i < BITS; ++i) {
    const numbers both = load_numbers(from + 64 * i);
    if constexpr (BITS == 8)
      to[i] = both;
    else
      to[2 * i] = low_bits(both), to[2 * i + 1] = high_bits(both);
  }
}

template <int ROWS, int BITS, bool MINIMUM>
inline void fast_tile(const quantised_rows& x, int row, const std::uint8_t* scales, const std::uint8_t* from, int blocks, int zero, float* y,
                      std::ptrdiff_t y_stride, bool add) {
  vec sums[ROWS];
UNROLLED
  for (int r = 0; r < ROWS; ++r) sums[r] = spread(0.0f);
  const std::ptrdiff_t stride = blocks;
  const std::ptrdiff_t first = row * stride;
  for (int b = 0; b < blocks; ++b, scales += MINIMUM ? 64 : 32, from += 64 * BITS) {
    numbers w[8];
    open_block<BITS>(from, w);
    const vec scale = load_halves(scales);
UNROLLED
    for (int r = 0; r < ROWS; ++r) {
      const std::ptrdiff_t at = first + r * stride + b;
      const std::int8_t* in = x.numbers.data() + at * 2 * quantised_matrix::block;
      ivec low = spread_int(-zero * x.sums[static_cast<std::size_t>(at)]), high = spread_int(0);
UNROLLED
      for (int i = 0; i < 8; ++i) {
        low = dot<BITS>(low, w[i], in + 4 * i);
        high = dot<BITS>(high, w[i], in + quantised_matrix::block + 4 * i);
      }
      sums[r] = fused(to_float(plus_int(low, times_256(high))), times(scale, spread(x.scales[static_cast<std::size_t>(at)])), sums[r]);
      if constexpr (MINIMUM)
        sums[r] = fused(load_halves(scales + 32), spread(x.offsets[static_cast<std::size_t>(at)]), sums[r]);
    }
  }
UNROLLED
  for (int r = 0; r < ROWS; ++r) {
    float* to = y + (row + r) * y_stride;
    store(to, add ? plus(load(to), sums[r]) : sums[r]);
  }
}

template <int BITS, bool MINIMUM>
void fast_panels(const quantised_rows& x, int rows, const quantised_matrix& w, int begin, int end, float* y, std::ptrdiff_t y_stride,
                 bool add) {
  for (int p = begin; p < end; ++p) {
    const std::uint8_t* scales = w.panel(p);
    const std::uint8_t* from = scales + w.numbers_at();
    float* to = y + p * lanes;
    int row = 0;
    if constexpr (fast_rows >= 16)
      for (; row + 16 <= rows; row += 16)
        fast_tile<16, BITS, MINIMUM>(x, row, scales, from, w.blocks(), w.zero, to, y_stride, add);
    if constexpr (fast_rows >= 8)
      for (; row + 8 <= rows; row += 8) fast_tile<8, BITS, MINIMUM>(x, row, scales, from, w.blocks(), w.zero, to, y_stride, add);
    if constexpr (fast_rows >= 4)
      for (; row + 4 <= rows; row += 4) fast_tile<4, BITS, MINIMUM>(x, row, scales, from, w.blocks(), w.zero, to, y_stride, add);
    if constexpr (fast_rows >= 2)
      for (; row + 2 <= rows; row += 2) fast_tile<2, BITS, MINIMUM>(x, row, scales, from, w.blocks(), w.zero, to, y_stride, add);
    for (; row < rows; ++row) fast_tile<1, BITS, MINIMUM>(x, row, scales, from, w.blocks(), w.zero, to, y_stride, add);
  }
}

void multiply_fast(const quantised_rows& x, int rows, const quantised_matrix& w, int begin, int end, float* y, std::ptrdiff_t y_stride,
                   bool add) {
  if (w.bits == 4)
    (w.has_minimum ? fast_panels<4, true> : fast_panels<4, false>)(x, rows, w, begin, end, y, y_stride, add);
  else
    (w.has_minimum ? fast_panels<8, true> : fast_panels<8, false>)(x, rows, w, begin, end, y, y_stride, add);
}

/// Calls use(k, the weights of input k) for every input of a panel.
template <int BITS, bool MINIMUM, class Use>
inline void each_input(const quantised_matrix& w, int panel, Use use) {
  const std::uint8_t* scales = w.panel(panel);
  const std::uint8_t* from = scales + w.numbers_at();
  const ivec zero = spread_int(-w.zero);
  for (int b = 0; b < w.blocks(); ++b, scales += MINIMUM ? 64 : 32, from += 64 * BITS) {
    numbers groups[8];
    open_block<BITS>(from, groups);
    const vec scale = load_halves(scales);
    const vec minimum = MINIMUM ? load_halves(scales + 32) : spread(0.0f);
UNROLLED
    for (int i = 0; i < 8; ++i)
UNROLLED
      for (int j = 0; j < 4; ++j) {
        const vec weight = times(to_float(plus_int(number_of(groups[i], j), zero)), scale);
        use(b * quantised_matrix::block + 4 * i + j, MINIMUM ? plus(weight, minimum) : weight);
      }
  }
}

template <int ROWS, int BITS, bool MINIMUM>
inline void exact_tile(const float* x, std::ptrdiff_t x_stride, const quantised_matrix& w, int panel, float* y, std::ptrdiff_t y_stride,
                       bool add) {
  vec sums[ROWS];
UNROLLED
  for (int r = 0; r < ROWS; ++r) sums[r] = spread(0.0f);
  each_input<BITS, MINIMUM>(w, panel, [&](int k, vec weight) {
UNROLLED
    for (int r = 0; r < ROWS; ++r) sums[r] = fused(spread(x[r * x_stride + k]), weight, sums[r]);
  });
UNROLLED
  for (int r = 0; r < ROWS; ++r) {
    float* to = y + r * y_stride + panel * lanes;
    store(to, add ? plus(load(to), sums[r]) : sums[r]);
  }
}

/// Few rows take the weights as they are opened; many share panels that are opened once.
template <int BITS, bool MINIMUM>
void exact_panels(const float* x, std::ptrdiff_t x_stride, int rows, const quantised_matrix& w, int begin, int end, float* y,
                  std::ptrdiff_t y_stride, bool add, float* scratch) {
  if (rows <= 4) {
    for (int p = begin; p < end; ++p) switch (rows) {
      case 1: exact_tile<1, BITS, MINIMUM>(x, x_stride, w, p, y, y_stride, add); break;
      case 2: exact_tile<2, BITS, MINIMUM>(x, x_stride, w, p, y, y_stride, add); break;
      case 3: exact_tile<3, BITS, MINIMUM>(x, x_stride, w, p, y, y_stride, add); break;
      case 4: exact_tile<4, BITS, MINIMUM>(x, x_stride, w, p, y, y_stride, add); break;
      }
    return;
  }
  const std::ptrdiff_t panel = std::ptrdiff_t{w.in} * lanes;
  for (int p = begin; p < end; p += 4) {
    const int count = end - p < 4 ? end - p : 4;
    for (int i = 0; i < count; ++i)
      each_input<BITS, MINIMUM>(w, p + i, [&](int k, vec weight) { store(scratch + i * panel + k * lanes, weight); });
    multiply_opened(x, x_stride, rows, scratch, w.in, count, y + p * lanes, y_stride, add);
  }
}

void multiply_exact(const float* x, std::ptrdiff_t x_stride, int rows, const quantised_matrix& w, int begin, int end, float* y,
                    std::ptrdiff_t y_stride, bool add, float* scratch) {
  if (w.bits == 4)
    (w.has_minimum ? exact_panels<4, true> : exact_panels<4, false>)(x, x_stride, rows, w, begin, end, y, y_stride, add, scratch);
  else
    (w.has_minimum ? exact_panels<8, true> : exact_panels<8, false>)(x, x_stride, rows, w, begin, end, y, y_stride, add, scratch);
}

void quantise(const float* x, int n, quantised_rows& to, int row) {
  const int blocks = to.in / quantised_matrix::block;
  for (int b = 0; b < blocks; ++b) {
    const int from = b * quantised_matrix::block;
    const vec first = from < n ? load(x + from) : spread(0.0f), second = from + lanes < n ? load(x + from + lanes) : spread(0.0f);
    const float most = greatest(larger(size_of(first), size_of(second)));
    const auto at = static_cast<std::size_t>(row) * static_cast<std::size_t>(blocks) + static_cast<std::size_t>(b);
    const vec steps = spread(most > 1e-30f ? quantised_rows::largest / most : 0.0f); // no infinite steps
    const ivec numbers[2] = {nearest(times(first, steps)), nearest(times(second, steps))};
    std::int8_t* numbers_to = to.numbers.data() + at * 2 * quantised_matrix::block;
UNROLLED
    for (int i = 0; i < 2; ++i) {
      store_bytes(numbers_to + i * lanes, numbers[i]);
      store_bytes(numbers_to + quantised_matrix::block + i * lanes, over_256(plus_int(numbers[i], spread_int(128))));
    }
    to.sums[at] = sum_int(plus_int(numbers[0], numbers[1]));
    to.scales[at] = most / quantised_rows::largest;
    to.offsets[at] = to.scales[at] * static_cast<float>(to.sums[at]);
  }
}

} // namespace

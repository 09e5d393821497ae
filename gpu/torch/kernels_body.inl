// The kernels of one instruction set. Included once by each kernels_*.cpp, which sets TROUPE_LANES (floats
// per vector), TROUPE_BLOCK_ROWS (rows of a register block), TROUPE_KERNELS (the table's name) and the target
// before it. It uses nothing of the standard library: an inline function compiled here for a newer processor
// must not be the one that others get.

namespace troupe::torch_detail {
namespace TROUPE_KERNELS_NAMESPACE {
namespace {

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
// -------------------------------------------------------------------------------------------

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

// -- normalisation and activation
// --------------------------------------------------------------------------------------

void rms_norm(const float* x, const float* delta, const float* weight, float epsilon, index rows, index width,
              float* sums, float* normed, float* rstd) {
  for (index r = 0; r < rows; ++r, x += width, normed += width) {
    vec squares{};
    const float* from = x;
    if (delta) {
      strips(width, [&](index i, index n) {
        const vec v = load(x + i, n) + load(delta + i, n);
        store(sums + i, v, n);
        squares += v * v;
      });
      from = sums, delta += width, sums += width;
    } else {
      strips(width, [&](index i, index n) {
        const vec v = load(x + i, n);
        squares += v * v;
      });
    }
    const float scale = 1.f / __builtin_sqrtf(sum(squares) / static_cast<float>(width) + epsilon);
    rstd[r] = scale;
    strips(width,
           [&](index i, index n) { store(normed + i, load(from + i, n) * scale * load(weight + i, n), n); });
  }
}

void rms_norm_backward(const float* x, const float* weight, const float* rstd, const float* d_sum,
                       const float* d_normed, index rows, index width, float* d_x, float* d_weight) {
  for (index r = 0; r < rows; ++r, x += width, d_normed += width, d_x += width) {
    const float scale = rstd[r];
    vec dots{};
    strips(width, [&](index i, index n) {
      const vec v = load(x + i, n), d = load(d_normed + i, n);
      dots += d * load(weight + i, n) * v;
      store(d_weight + i, load(d_weight + i, n) + d * v * scale, n);
    });
    const float share = sum(dots) * scale * scale * scale / static_cast<float>(width);
    strips(width, [&](index i, index n) {
      vec d = load(d_normed + i, n) * load(weight + i, n) * scale - load(x + i, n) * share;
      if (d_sum) d += load(d_sum + i, n);
      store(d_x + i, d, n);
    });
    if (d_sum) d_sum += width;
  }
}

void swiglu(const float* gate_up, index rows, index width, float* out) {
  for (index r = 0; r < rows; ++r, gate_up += 2 * width, out += width)
    strips(width, [&](index i, index n) {
      const vec gate = load(gate_up + i, n), up = load(gate_up + width + i, n);
      store(out + i, gate / (all(1.f) + exponential(-gate)) * up, n);
    });
}

void swiglu_backward(const float* gate_up, const float* d_out, index rows, index width, float* d_gate_up) {
  for (index r = 0; r < rows; ++r, gate_up += 2 * width, d_out += width, d_gate_up += 2 * width)
    strips(width, [&](index i, index n) {
      const vec gate = load(gate_up + i, n), up = load(gate_up + width + i, n), d = load(d_out + i, n);
      const vec sigmoid = all(1.f) / (all(1.f) + exponential(-gate));
      store(d_gate_up + i, d * up * sigmoid * (all(1.f) + gate * (all(1.f) - sigmoid)), n);
      store(d_gate_up + width + i, d * gate * sigmoid, n);
    });
}

// -- attention
// ---------------------------------------------------------------------------------------------------------

struct sequence_view {
  index first, length, padded; // rows of the batch; padded to whole query blocks
};
TROUPE_INLINE sequence_view view(const attention_shape& shape, index s) {
  const index first = shape.offsets[s], length = shape.offsets[s + 1] - first;
  return {first, length, round_up(length, query_block)};
}

/// Copies one head out of the batch, rotated by its position (angle_sign 1, or -1 to rotate back) and scaled.
TROUPE_INLINE void rotate_row(const attention_shape& shape, index position, const float* from, float scale,
                              float angle_sign, float* to) {
  const index half = shape.dim / 2;
  const float *cosines = shape.cosines + position * half, *sines = shape.sines + position * half;
  strips(half, [&](index i, index n) {
    const vec low = load(from + i, n) * scale, high = load(from + half + i, n) * scale;
    const vec c = load(cosines + i, n), s = load(sines + i, n) * angle_sign;
    store(to + i, low * c - high * s, n);
    store(to + half + i, high * c + low * s, n);
  });
}

TROUPE_INLINE void load_head(const attention_shape& shape, const sequence_view& seq, const float* from,
                             index row_width, bool rotated, float scale, float* to, index to_width) {
  if (to_width != shape.dim) clear(to, seq.padded * to_width);
  for (index t = 0; t < seq.length; ++t) {
    const float* row = from + (seq.first + t) * row_width;
    if (rotated)
      rotate_row(shape, t, row, scale, 1.f, to + t * to_width);
    else
      strips(shape.dim, [&](index i, index n) { store(to + t * to_width + i, load(row + i, n), n); });
  }
  clear(to + seq.length * to_width, (seq.padded - seq.length) * to_width);
}

TROUPE_INLINE void transpose(const float* from, index rows, index columns, index from_width, float* to) {
  for (index c = 0; c < columns; ++c)
    for (index r = 0; r < rows; ++r) to[c * rows + r] = from[r * from_width + c];
}

index attention_scratch(index longest, index dim) {
  const index t = round_up(longest, query_block), d = round_up(dim, lanes);
  return 8 * t * d + 2 * query_block * t + query_block * d + 2 * t;
}

void attention(const attention_shape& shape, const float* qkv, float* out, float* log_sums, float* scratch) {
  const index dim = shape.dim, wide = round_up(dim, lanes), group = shape.heads / shape.kv_heads;
  const index row_width = (shape.heads + 2 * shape.kv_heads) * dim, out_width = shape.heads * dim;
  const float scale = 1.f / __builtin_sqrtf(static_cast<float>(dim));
  for (index s = 0; s < shape.sequences; ++s) {
    const auto seq = view(shape, s);
    const index t = seq.padded;
    float *q = scratch, *k = q + t * wide, *v = k + t * wide, *k_t = v + t * wide, *scores = k_t + t * wide;
    float* result = scores + query_block * t;
    for (index kv = 0; kv < shape.kv_heads; ++kv) {
      load_head(shape, seq, qkv + (shape.heads + kv) * dim, row_width, true, 1.f, k, wide);
      load_head(shape, seq, qkv + (shape.heads + shape.kv_heads + kv) * dim, row_width, false, 1.f, v, wide);
      transpose(k, t, dim, wide, k_t);
      for (index h = kv * group; h < (kv + 1) * group; ++h) {
        load_head(shape, seq, qkv + h * dim, row_width, true, scale, q, wide);
        for (index i0 = 0; i0 < seq.length; i0 += query_block) {
          const index columns = i0 + query_block;
          product(query_block, columns, dim, q + i0 * wide, wide, 1, k_t, t, scores, t, false);
          vec inverse[query_block / lanes + 1];
          float* inverse_sums = reinterpret_cast<float*>(inverse);
          for (index r = 0; r < query_block; ++r) {
            float* row = scores + r * t;
            const index n = i0 + r + 1;
            for (index j = n; j < columns; ++j) row[j] = -1e30f; // the future
            vec tops = load(row);
            for (index j = lanes; j < columns; j += lanes) tops = larger(tops, load(row + j));
            const float top = largest(tops);
            vec sums{};
            for (index j = 0; j < columns; j += lanes) {
              const vec e = exponential(load(row + j) - top);
              store(row + j, e);
              sums += e;
            }
            const float total = sum(sums);
            inverse_sums[r] = 1.f / total;
            if (i0 + r < seq.length)
              log_sums[(seq.first + i0 + r) * shape.heads + h] = top + __builtin_logf(total);
          }
          product(query_block, wide, columns, scores, t, 1, v, wide, result, wide, false);
          for (index r = 0; r < query_block && i0 + r < seq.length; ++r) {
            float* to = out + (seq.first + i0 + r) * out_width + h * dim;
            strips(dim, [&](index i, index n) {
              store(to + i, load(result + r * wide + i, n) * inverse_sums[r], n);
            });
          }
        }
      }
    }
  }
  const index used = shape.offsets[shape.sequences];
  clear(out + used * out_width, (shape.rows - used) * out_width);
}

void attention_backward(const attention_shape& shape, const float* qkv, const float* out,
                        const float* log_sums, const float* d_out, float* d_qkv, float* scratch) {
  const index dim = shape.dim, wide = round_up(dim, lanes), group = shape.heads / shape.kv_heads;
  const index row_width = (shape.heads + 2 * shape.kv_heads) * dim, out_width = shape.heads * dim;
  const float scale = 1.f / __builtin_sqrtf(static_cast<float>(dim));
  for (index s = 0; s < shape.sequences; ++s) {
    const auto seq = view(shape, s);
    const index t = seq.padded;
    float *q = scratch, *k = q + t * wide, *v = k + t * wide, *k_t = v + t * wide, *v_t = k_t + t * wide;
    float *d_o = v_t + t * wide, *d_k = d_o + t * wide, *d_v = d_k + t * wide, *p = d_v + t * wide;
    float *d_p = p + query_block * t, *d_q = d_p + query_block * t;
    for (index kv = 0; kv < shape.kv_heads; ++kv) {
      const index k_at = (shape.heads + kv) * dim, v_at = k_at + shape.kv_heads * dim;
      load_head(shape, seq, qkv + k_at, row_width, true, 1.f, k, wide);
      load_head(shape, seq, qkv + v_at, row_width, false, 1.f, v, wide);
      transpose(k, t, dim, wide, k_t);
      transpose(v, t, dim, wide, v_t);
      clear(d_k, t * wide);
      clear(d_v, t * wide);
      for (index h = kv * group; h < (kv + 1) * group; ++h) {
        load_head(shape, seq, qkv + h * dim, row_width, true, scale, q, wide);
        load_head(shape, seq, d_out + h * dim, out_width, false, 1.f, d_o, wide);
        for (index i0 = 0; i0 < seq.length; i0 += query_block) {
          const index columns = i0 + query_block;
          product(query_block, columns, dim, q + i0 * wide, wide, 1, k_t, t, p, t, false);
          product(query_block, columns, dim, d_o + i0 * wide, wide, 1, v_t, t, d_p, t, false);
          for (index r = 0; r < query_block; ++r) {
            float *prob = p + r * t, *grad = d_p + r * t;
            const index i = i0 + r, n = i < seq.length ? i + 1 : 0;
            if (n > 0) {
              const index row = seq.first + i;
              const float log_sum = log_sums[row * shape.heads + h];
              vec dots{};
              strips(dim, [&](index c, index m) {
                dots += load(out + row * out_width + h * dim + c, m) * load(d_o + i * wide + c, m);
              });
              const float dot = sum(dots);
              for (index j = 0; j < n; j += lanes) {
                const vec e = exponential(load(prob + j) - log_sum);
                store(prob + j, e);
                store(grad + j, e * (load(grad + j) - dot));
              }
            }
            clear(prob + n, columns - n);
            clear(grad + n, columns - n);
          }
          product(query_block, wide, columns, d_p, t, 1, k, wide, d_q, wide, false);
          product(columns, wide, query_block, d_p, 1, t, q + i0 * wide, wide, d_k, wide, true);
          product(columns, wide, query_block, p, 1, t, d_o + i0 * wide, wide, d_v, wide, true);
          for (index r = 0; r < query_block && i0 + r < seq.length; ++r)
            rotate_row(shape, i0 + r, d_q + r * wide, scale, -1.f,
                       d_qkv + (seq.first + i0 + r) * row_width + h * dim);
        }
      }
      for (index r = 0; r < seq.length; ++r) {
        float* to = d_qkv + (seq.first + r) * row_width;
        rotate_row(shape, r, d_k + r * wide, 1.f, -1.f, to + k_at);
        strips(dim, [&](index i, index n) { store(to + v_at + i, load(d_v + r * wide + i, n), n); });
      }
    }
  }
  const index used = shape.offsets[shape.sequences];
  clear(d_qkv + used * row_width, (shape.rows - used) * row_width);
}

// -- the output distribution
// -------------------------------------------------------------------------------------------

void softmax_logprobs(float* logits, const std::int64_t* targets, const float* inverse_temperatures,
                      index rows, index width, float* logprobs, float* entropies, float* inverse_sums) {
  for (index r = 0; r < rows; ++r, logits += width) {
    logprobs[r] = entropies[r] = inverse_sums[r] = 0;
    if (targets[r] < 0) continue;
    const float sharpness = inverse_temperatures[r];
    vec tops = all(logits[0]);
    index whole = 0;
    for (; whole + lanes <= width; whole += lanes) tops = larger(tops, load(logits + whole));
    float top = largest(tops);
    for (; whole < width; ++whole) top = logits[whole] > top ? logits[whole] : top;
    const float target = (logits[targets[r]] - top) * sharpness;
    vec sums{}, products{};
    strips(width, [&](index i, index n) {
      const vec z = (load(logits + i, n) - top) * sharpness;
      vec e = exponential(z);
      for (index l = n; l < lanes; ++l) e[l] = 0;
      store(logits + i, e, n);
      sums += e;
      products += e * z;
    });
    const float total = sum(sums), log_total = __builtin_logf(total);
    logprobs[r] = target - log_total;
    entropies[r] = log_total - sum(products) / total;
    inverse_sums[r] = 1.f / total;
  }
}

void softmax_logprobs_backward(float* exponentials, const std::int64_t* targets,
                               const float* inverse_temperatures, const float* inverse_sums,
                               const float* d_logprobs, index rows, index width) {
  for (index r = 0; r < rows; ++r, exponentials += width) {
    if (targets[r] < 0) {
      clear(exponentials, width);
      continue;
    }
    const float d = d_logprobs[r] * inverse_temperatures[r], scale = -d * inverse_sums[r];
    strips(width, [&](index i, index n) { store(exponentials + i, load(exponentials + i, n) * scale, n); });
    exponentials[targets[r]] += d;
  }
}

// -- tables and the optimizer
// ------------------------------------------------------------------------------------------

void gather_rows(const float* table, const std::int64_t* ids, const float* also, float scale, index rows,
                 index width, float* out) {
  for (index r = 0; r < rows; ++r, out += width) {
    const float* from = ids[r] < 0 ? nullptr : table + ids[r] * width;
    strips(width, [&](index i, index n) {
      vec v = from ? load(from + i, n) : vec{};
      if (also) v += load(also + r * width + i, n);
      store(out + i, v * scale, n);
    });
  }
}

void scatter_rows(const float* from, const std::int64_t* ids, float scale, index rows, index width,
                  float* table) {
  for (index r = 0; r < rows; ++r, from += width) {
    if (ids[r] < 0) continue;
    float* to = table + ids[r] * width;
    strips(width, [&](index i, index n) { store(to + i, load(to + i, n) + load(from + i, n) * scale, n); });
  }
}

void add(float* to, const float* from, index n) {
  strips(n, [&](index i, index m) { store(to + i, load(to + i, m) + load(from + i, m), m); });
}

double sum_of_squares(const float* x, index n) {
  double total = 0;
  constexpr index piece = 1024; // float32 inside a piece, float64 between pieces
  for (index start = 0; start < n; start += piece) {
    vec squares{};
    strips(n - start < piece ? n - start : piece, [&](index i, index m) {
      const vec v = load(x + start + i, m);
      squares += v * v;
    });
    total += static_cast<double>(sum(squares));
  }
  return total;
}

void adamw(float* weights, const float* gradient, float* moment1, float* moment2, index n,
           const adamw_numbers& with) {
  const adamw_numbers a = with;
  const float step = a.learning_rate / a.correction1, inverse_root = 1.f / a.root_correction2;
  for (index i = 0; i < n; ++i) {
    const float g = gradient[i] * a.gradient_scale;
    const float m = moment1[i] + (g - moment1[i]) * (1.f - a.beta1);
    const float v = moment2[i] * a.beta2 + g * g * (1.f - a.beta2);
    moment1[i] = m, moment2[i] = v;
    weights[i] = weights[i] * a.decay - step * m / (__builtin_sqrtf(v) * inverse_root + a.epsilon);
  }
}

} // namespace
} // namespace TROUPE_KERNELS_NAMESPACE

const kernel_table TROUPE_KERNELS = {
    TROUPE_KERNELS_NAME,
    TROUPE_KERNELS_NAMESPACE::rms_norm,
    TROUPE_KERNELS_NAMESPACE::rms_norm_backward,
    TROUPE_KERNELS_NAMESPACE::swiglu,
    TROUPE_KERNELS_NAMESPACE::swiglu_backward,
    TROUPE_KERNELS_NAMESPACE::attention,
    TROUPE_KERNELS_NAMESPACE::attention_backward,
    TROUPE_KERNELS_NAMESPACE::attention_scratch,
    TROUPE_KERNELS_NAMESPACE::softmax_logprobs,
    TROUPE_KERNELS_NAMESPACE::softmax_logprobs_backward,
    TROUPE_KERNELS_NAMESPACE::gather_rows,
    TROUPE_KERNELS_NAMESPACE::scatter_rows,
    TROUPE_KERNELS_NAMESPACE::add,
    TROUPE_KERNELS_NAMESPACE::sum_of_squares,
    TROUPE_KERNELS_NAMESPACE::adamw,
};

} // namespace troupe::torch_detail

// Part of kernels_body.inl: rotary attention over sequences laid end to end.

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

/// The first position that a query at `position` sees.
TROUPE_INLINE index first_seen(const attention_shape& shape, index position) {
  return shape.window > 0 && position + 1 > shape.window ? position + 1 - shape.window : 0;
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
          const index skip = first_seen(shape, i0) / query_block * query_block; // nobody here sees these
          product(query_block, columns - skip, dim, q + i0 * wide, wide, 1, k_t + skip, t, scores + skip, t,
                  false);
          vec inverse[query_block / lanes + 1];
          float* inverse_sums = reinterpret_cast<float*>(inverse);
          for (index r = 0; r < query_block; ++r) {
            float* row = scores + r * t;
            const index n = i0 + r + 1;
            for (index j = n; j < columns; ++j) row[j] = -1e30f; // the future
            for (index j = skip; j < first_seen(shape, i0 + r); ++j) row[j] = -1e30f;
            vec tops = load(row + skip);
            for (index j = skip + lanes; j < columns; j += lanes) tops = larger(tops, load(row + j));
            const float top = largest(tops);
            vec sums{};
            for (index j = skip; j < columns; j += lanes) {
              const vec e = exponential(load(row + j) - top);
              store(row + j, e);
              sums += e;
            }
            const float total = sum(sums);
            inverse_sums[r] = 1.f / total;
            if (i0 + r < seq.length)
              log_sums[(seq.first + i0 + r) * shape.heads + h] = top + __builtin_logf(total);
          }
          product(query_block, wide, columns - skip, scores + skip, t, 1, v + skip * wide, wide, result, wide,
                  false);
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
          const index skip = first_seen(shape, i0) / query_block * query_block, seen = columns - skip;
          product(query_block, seen, dim, q + i0 * wide, wide, 1, k_t + skip, t, p + skip, t, false);
          product(query_block, seen, dim, d_o + i0 * wide, wide, 1, v_t + skip, t, d_p + skip, t, false);
          for (index r = 0; r < query_block; ++r) {
            float *prob = p + r * t, *grad = d_p + r * t;
            const index i = i0 + r, n = i < seq.length ? i + 1 : skip;
            if (i < seq.length) {
              const index row = seq.first + i;
              const float log_sum = log_sums[row * shape.heads + h];
              vec dots{};
              strips(dim, [&](index c, index m) {
                dots += load(out + row * out_width + h * dim + c, m) * load(d_o + i * wide + c, m);
              });
              const float dot = sum(dots);
              for (index j = skip; j < n; j += lanes) {
                const vec e = exponential(load(prob + j) - log_sum);
                store(prob + j, e);
                store(grad + j, e * (load(grad + j) - dot));
              }
              const index unseen = first_seen(shape, i) - skip;
              clear(prob + skip, unseen);
              clear(grad + skip, unseen);
            }
            clear(prob + n, columns - n);
            clear(grad + n, columns - n);
          }
          product(query_block, wide, seen, d_p + skip, t, 1, k + skip * wide, wide, d_q, wide, false);
          product(seen, wide, query_block, d_p + skip, 1, t, q + i0 * wide, wide, d_k + skip * wide, wide, true);
          product(seen, wide, query_block, p + skip, 1, t, d_o + i0 * wide, wide, d_v + skip * wide, wide, true);
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

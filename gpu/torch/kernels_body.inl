// The kernels of one instruction set. Included once by each kernels_*.cpp, which sets TROUPE_LANES (floats
// per vector), TROUPE_BLOCK_ROWS (rows of a register block), TROUPE_KERNELS (the table's name) and the target
// before it. It uses nothing of the standard library: an inline function compiled here for a newer processor
// must not be the one that others get.

namespace troupe::torch_detail {
namespace TROUPE_KERNELS_NAMESPACE {
namespace {

#include "gpu/torch/kernels_vectors.inl"

// -- normalisation and activation

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

#include "gpu/torch/kernels_attention.inl"

// -- the output distribution

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

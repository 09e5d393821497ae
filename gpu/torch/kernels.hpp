#pragma once

#include <cstdint>

namespace troupe::torch_detail {

/// Rotary attention over sequences laid end to end: rows [offsets[s], offsets[s+1]) of `qkv` are sequence s,
/// and each row is [heads * dim | kv_heads * dim | kv_heads * dim]. cosines and sines are [positions, dim /
/// 2]. With a window, a position sees itself and window - 1 before it.
struct attention_shape {
  const std::int32_t* offsets;
  std::int64_t sequences, rows; ///< rows >= offsets[sequences]; what lies behind is padding
  std::int64_t heads, kv_heads, dim;
  const float *cosines, *sines;
  std::int64_t window; ///< 0: all
};

struct adamw_numbers {
  float learning_rate, beta1, beta2, epsilon, decay; ///< decay: 1 - learning_rate * weight_decay
  float gradient_scale;                              ///< of the clip by global norm
  float correction1, root_correction2;               ///< 1 - beta1^t, sqrt(1 - beta2^t)
};

/// The fused float32 pieces of a training step that dense matrix products do not cover, one thread each; one
/// table per instruction set. Sums run in one fixed order: the same input gives the same bits. Row-major, no
/// aliasing unless said.
struct kernel_table {
  const char* name;
  /// sum = x + delta (delta may be null: then `sum` is not written and x is normed); normed = sum * rstd *
  /// weight.
  void (*rms_norm)(const float* x, const float* delta, const float* weight, float epsilon, std::int64_t rows,
                   std::int64_t width, float* sum, float* normed, float* rstd);
  /// d_x = d_sum + the norm's part (d_sum may be null); adds to d_weight.
  void (*rms_norm_backward)(const float* sum, const float* weight, const float* rstd, const float* d_sum,
                            const float* d_normed, std::int64_t rows, std::int64_t width, float* d_x,
                            float* d_weight);
  /// out = silu(gate) * up; gate_up is [rows, 2 * width].
  void (*swiglu)(const float* gate_up, std::int64_t rows, std::int64_t width, float* out);
  void (*swiglu_backward)(const float* gate_up, const float* d_out, std::int64_t rows, std::int64_t width,
                          float* d_gate_up);
  /// out [rows, heads * dim]; log_sums [rows, heads] is kept for the backward pass.
  void (*attention)(const attention_shape& shape, const float* qkv, float* out, float* log_sums,
                    float* scratch);
  void (*attention_backward)(const attention_shape& shape, const float* qkv, const float* out,
                             const float* log_sums, const float* d_out, float* d_qkv, float* scratch);
  /// Floats that `scratch` must hold for sequences of at most this length.
  std::int64_t (*attention_scratch)(std::int64_t longest, std::int64_t dim);
  /// Turns logits [rows, width] into exp(z - max z), z = logits * inverse_temperatures[row]. targets -1:
  /// padding, gives 0.
  void (*softmax_logprobs)(float* logits, const std::int64_t* targets, const float* inverse_temperatures,
                           std::int64_t rows, std::int64_t width, float* logprobs, float* entropies,
                           float* inverse_sums);
  /// In place: exponentials become the gradient of the logits.
  void (*softmax_logprobs_backward)(float* exponentials, const std::int64_t* targets,
                                    const float* inverse_temperatures, const float* inverse_sums,
                                    const float* d_logprobs, std::int64_t rows, std::int64_t width);
  /// out[i] = scale * table[ids[i]] (+ scale * also[i]); a negative id gives zeros.
  void (*gather_rows)(const float* table, const std::int64_t* ids, const float* also, float scale,
                      std::int64_t rows, std::int64_t width, float* out);
  /// table[ids[i]] += scale * from[i], in the order of i; a negative id adds nothing.
  void (*scatter_rows)(const float* from, const std::int64_t* ids, float scale, std::int64_t rows,
                       std::int64_t width, float* table);
  void (*add)(float* to, const float* from, std::int64_t n);
  double (*sum_of_squares)(const float* x, std::int64_t n);
  void (*adamw)(float* weights, const float* gradient, float* moment1, float* moment2, std::int64_t n,
                const adamw_numbers& numbers);
};

/// The best table this machine can run (AVX-512, AVX2 + FMA, portable).
const kernel_table& kernels();

extern const kernel_table kernels_avx512, kernels_avx2, kernels_portable;

} // namespace troupe::torch_detail

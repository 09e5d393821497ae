#pragma once

#include <ATen/core/Tensor.h>
#include <utility>

namespace troupe::torch_detail {

/// What attention must know of a batch whose sequences lie end to end.
struct attention_layout {
  at::Tensor offsets;        ///< int32 [sequences + 1], rows of the batch; rows behind the last are padding
  at::Tensor cosines, sines; ///< float [positions, dim / 2]
  std::int64_t longest = 0;  ///< of the sequences
  std::int64_t heads = 0, kv_heads = 0, dim = 0;
  std::int64_t window = 0; ///< a position sees itself and window - 1 before it; 0: all
};

/// The pieces a model is made of, differentiable. Two tables with the same meaning: `fused` (float32 on the
/// CPU: own kernels and oneDNN's matrix product) and `reference` (plain ATen, any type and device; the oracle
/// of the tests).
///   OPS-1  Both give the same values and gradients up to rounding.
///   OPS-2  Rows that are padding give no gradient.
struct operations {
  /// (table[tokens] + table[previous] map^T) * scale; previous -1: none. `map` may be undefined: then
  /// table[tokens] * scale.
  at::Tensor (*embed)(const at::Tensor& table, const at::Tensor& map, const at::Tensor& tokens,
                      const at::Tensor& previous, double scale);
  /// x weight^T + bias; the bias may be undefined.
  at::Tensor (*linear)(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
  at::Tensor (*rms_norm)(const at::Tensor& x, const at::Tensor& weight, double epsilon);
  /// {x + delta, rms_norm(x + delta)}
  std::pair<at::Tensor, at::Tensor> (*add_rms_norm)(const at::Tensor& x, const at::Tensor& delta,
                                                    const at::Tensor& weight, double epsilon);
  /// qkv with the norm of each head of query and key (Qwen3); values as they are.
  at::Tensor (*norm_heads)(const at::Tensor& qkv, const at::Tensor& query_weight,
                           const at::Tensor& key_weight, const attention_layout& layout, double epsilon);
  /// Causal, rotary, grouped-query attention inside each sequence: [rows, (heads + 2 kv) dim] -> [rows, heads
  /// * dim].
  at::Tensor (*attention)(const at::Tensor& qkv, const attention_layout& layout);
  at::Tensor (*swiglu)(const at::Tensor& gate_up);                        ///< [rows, 2 f] -> [rows, f]
  at::Tensor (*select_rows)(const at::Tensor& x, const at::Tensor& rows); ///< -1 gives a row of zeros
  /// log softmax(h weight^T * inverse_temperature)[target] and the entropy of that distribution (without
  /// gradient). target -1: padding, gives 0. The fused tables hold at most `most_logits` numbers of logits at
  /// once: where there are more, they are computed in pieces, and again for the gradient.
  std::pair<at::Tensor, at::Tensor> (*token_logprobs)(const at::Tensor& h, const at::Tensor& weight,
                                                      const at::Tensor& targets,
                                                      const at::Tensor& inverse_temperatures,
                                                      std::int64_t most_logits);
};

extern const operations fused_operations, reference_operations;
/// fused_operations whose matrix products take bfloat16 and add up in float32; everything else is float32. Fast where the
/// processor has AVX512_BF16 or AMX.
extern const operations bfloat16_operations;

} // namespace troupe::torch_detail

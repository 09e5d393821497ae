#pragma once

#include "gpu/torch/layout.hpp"
#include "gpu/torch/operations.hpp"
#include <functional>

namespace troupe::torch_detail {

/// What low-rank adapters add to a fused matrix's product: (x a^T) b^T * scale for each of its projections; one without an
/// adapter has undefined tensors. No parts: nothing is added.
struct low_rank {
  struct part {
    std::int64_t rows = 0;
    at::Tensor a, b; ///< [rank, in], [rows, rank]
  };
  std::vector<part> parts;
  double scale = 1;
};

/// The weights of a model as it multiplies them. Leaves of the autograd graph where they are to be trained.
struct model_parameters {
  struct layer {
    at::Tensor input_norm, qkv, o, post_norm, gate_up, down;
    at::Tensor qkv_bias, q_norm, k_norm, o_bias; ///< undefined where the family has none
    low_rank qkv_low, o_low, gate_up_low, down_low;
  };
  at::Tensor embedding, previous_map; ///< previous_map is undefined where the config has none
  std::vector<layer> layers;
  at::Tensor final_norm, head; ///< head is the embedding where they are tied
};

/// Parameters whose tensors `tensor_of` gives, called for the layout's matrices in their order; [rows] where a matrix has no columns.
model_parameters arrange_parameters(const model_config& config, const flat_layout& layout,
                                    const std::function<at::Tensor(const flat_layout::matrix&)>& tensor_of);

/// Views into `flat`, a tensor of layout.total numbers of any floating type. Gradients land in `gradient`
/// (same size) if it is defined: then every view is a leaf that requires one.
model_parameters view_parameters(const model_config& config, const flat_layout& layout,
                                 const at::Tensor& flat, const at::Tensor& gradient);

/// Cosines and sines of all rotary angles (gpu/rope.hpp), computed in double.
struct rope_tables {
  at::Tensor cosines, sines; ///< float [positions, dim / 2]
};
rope_tables make_rope_tables(const model_config& config);

/// Some whole sequences end to end, and which of their tokens are asked about. Rows and queries are padded to
/// a multiple of 32, so that matrix products meet few different sizes (oneDNN compiles a kernel for each).
struct packed_batch {
  at::Tensor tokens, previous; ///< int64 [rows]; previous -1 at the start of a sequence
  at::Tensor offsets;          ///< int32 [sequences + 1]
  std::int64_t longest = 0;
  at::Tensor query_rows;           ///< int64 [queries]: the row whose output predicts the target; -1: padding
  at::Tensor targets;              ///< int64 [queries]; -1: padding
  at::Tensor inverse_temperatures; ///< float [queries]
  std::int64_t queries = 0;        ///< without the padding
};

struct model_output {
  at::Tensor logprobs;  ///< [queries], with gradient
  at::Tensor entropies; ///< [queries], of the tempered distribution, without gradient
};

struct run_settings {
  /// Keep what enters each layer, and compute the layer again for its gradient: the same bits, a third more
  /// work, a fraction of the memory (activation checkpointing, Chen et al. 2016).
  bool recompute_layers = false;
  std::int64_t most_logits = std::int64_t{1} << 26; ///< numbers held at once (256 MiB)
};

/// A decoder-only transformer of one of the families of model_config. A pure function of parameters and batch.
/// Until its gradient is taken, config, parameters and rope stay where they are.
model_output run_model(const model_config& config, const model_parameters& parameters,
                       const rope_tables& rope, const packed_batch& batch, const operations& ops,
                       const run_settings& settings = {});

} // namespace troupe::torch_detail

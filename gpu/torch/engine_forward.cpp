#include "gpu/torch/engine_forward.hpp"

#include "gpu/cpu_kernels.hpp"
#include <ATen/TensorIndexing.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <cmath>
#include <limits>

namespace troupe::torch_detail {

namespace {

using at::Tensor;

/// What the layers of one pass share.
struct pass_state {
  const model_config& config;
  const pass_inputs& in;
  Tensor cosines, sines; ///< [places, 1, head_dim / 2]
  Tensor all,
      windowed; ///< bool [sequences, 1, group * length, width * 16]: what a query sees; windowed: undefined without a window
};

/// x W^T (+ bias), in the weights' type with the result in float32.
Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias = {}) {
  auto out = at::matmul(x.to(weight.scalar_type()), weight.t()).to(at::kFloat);
  return bias.defined() ? out.add_(bias) : out;
}

Tensor norm(const Tensor& x, const Tensor& weight, const model_config& config) {
  return at::rms_norm(x, {x.size(-1)}, weight, config.rms_norm_eps);
}

/// x [places, heads, head_dim], rotate-half.
Tensor rotated(const Tensor& x, const pass_state& now) {
  const auto half = x.size(2) / 2;
  const auto low = x.narrow(2, 0, half), high = x.narrow(2, half, half);
  return at::cat({low * now.cosines - high * now.sines, high * now.cosines + low * now.sines}, 2);
}

/// A query of head h shares keys with the others of its group: they stand side by side as queries of one head, row g * length + i.
Tensor visible(const model_config& config, const pass_inputs& in, int window) {
  const auto group = config.num_attention_heads / config.num_key_value_heads;
  const auto keys = at::arange(in.width * lanes, in.positions.options());
  const auto queries = in.positions.view({in.sequences, 1, 1, in.length, 1});
  auto out = keys <= queries;
  if (window > 0) out = out.logical_and_(keys > queries - window);
  return out.expand({in.sequences, 1, group, in.length, in.width * lanes})
      .reshape({in.sequences, 1, group * in.length, in.width * lanes});
}

/// [sequences, kv heads, width * 16, head_dim]: what a sequence's blocks hold, in order of position.
Tensor gathered(const Tensor& cache, const pass_inputs& in) {
  return cache.index_select(0, in.table.reshape(-1))
      .view({in.sequences, in.width * lanes, cache.size(2), cache.size(3)})
      .transpose(1, 2);
}

Tensor attention(const pass_state& now, const model_parameters::layer& layer, int index, const Tensor& qkv,
                 const paged_cache& cache) {
  const auto& c = now.config;
  const auto& in = now.in;
  const std::int64_t heads = c.num_attention_heads, kv_heads = c.num_key_value_heads, dim = c.head_dim,
                     group = heads / kv_heads, places = in.sequences * in.length;
  const auto parts = qkv.view({places, heads + 2 * kv_heads, dim});
  auto q = parts.narrow(1, 0, heads), k = parts.narrow(1, heads, kv_heads);
  if (layer.q_norm.defined()) q = norm(q, layer.q_norm, c), k = norm(k, layer.k_norm, c);
  q = rotated(q, now), k = rotated(k, now);

  auto keys = cache.keys(index), values = cache.values(index);
  const auto type = keys.scalar_type();
  keys.index_put_({in.blocks, in.slots}, k.to(type));
  values.index_put_({in.blocks, in.slots}, parts.narrow(1, heads + kv_heads, kv_heads).to(type));

  const auto queries = q.to(type)
                           .view({in.sequences, in.length, kv_heads, group, dim})
                           .permute({0, 2, 3, 1, 4})
                           .reshape({in.sequences, kv_heads, group * in.length, dim});
  const bool window = c.sliding_window > 0 && index >= c.first_window_layer;
  const auto mixed = at::scaled_dot_product_attention(queries, gathered(keys, in), gathered(values, in),
                                                      window ? now.windowed : now.all);
  return mixed.view({in.sequences, kv_heads, group, in.length, dim})
      .permute({0, 3, 1, 2, 4})
      .reshape({places, heads * dim});
}

Tensor embedded(const pass_state& now, const model_parameters& p) {
  const auto& in = now.in;
  auto x = p.embedding.index_select(0, in.tokens).to(at::kFloat);
  if (!p.previous_map.defined()) return x;
  const auto before = p.embedding.index_select(0, in.previous.clamp_min(0)) *
                      in.previous.ge(0).unsqueeze(1).to(p.embedding.scalar_type());
  return (x + product(before, p.previous_map)) * std::sqrt(static_cast<double>(now.config.hidden_size));
}

/// Logits are not rounded to bfloat16, which has eight bits for them: CUDA's product gives its float32 sums as they are.
Tensor logits_of(const Tensor& h, const Tensor& head, int vocabulary) {
  const auto type = head.scalar_type();
  const auto out = type == at::kFloat ? at::mm(h, head.t())
                   : head.is_cuda()   ? at::mm(h.to(type), head.t(), at::kFloat)
                                      : at::mm(h.to(type).to(at::kFloat), head.t().to(at::kFloat));
  const int padding = padded(vocabulary) - vocabulary;
  return padding == 0 ? out : at::constant_pad_nd(out, {0, padding}, -std::numeric_limits<float>::infinity());
}

} // namespace

pass_inputs pass_inputs::view(const Tensor& all, std::int64_t sequences, std::int64_t length,
                              std::int64_t width, std::int64_t wanted) {
  std::int64_t used = 0;
  const auto next = [&](std::int64_t count) {
    used += count;
    return all.narrow(0, used - count, count);
  };
  pass_inputs out{.sequences = sequences, .length = length, .width = width};
  const auto places = sequences * length;
  out.tokens = next(places), out.previous = next(places), out.positions = next(places);
  out.blocks = next(places), out.slots = next(places);
  out.table = next(sequences * width).view({sequences, width});
  if (wanted > 0) out.wanted = next(wanted);
  return out;
}

Tensor engine_logits(const model_config& config, const model_parameters& parameters, const rope_tables& rope,
                     const paged_cache& cache, const pass_inputs& in) {
  pass_state now{.config = config, .in = in};
  now.cosines = rope.cosines.index_select(0, in.positions).unsqueeze(1);
  now.sines = rope.sines.index_select(0, in.positions).unsqueeze(1);
  now.all = visible(config, in, 0);
  if (config.sliding_window > 0) now.windowed = visible(config, in, config.sliding_window);

  auto x = embedded(now, parameters);
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    const auto& layer = parameters.layers[static_cast<std::size_t>(i)];
    const auto qkv = product(norm(x, layer.input_norm, config), layer.qkv, layer.qkv_bias);
    x = x + product(attention(now, layer, i, qkv, cache), layer.o, layer.o_bias);
    const auto gate_up = product(norm(x, layer.post_norm, config), layer.gate_up);
    const auto width = gate_up.size(1) / 2;
    x = x + product(at::silu(gate_up.narrow(1, 0, width)) * gate_up.narrow(1, width, width), layer.down);
  }
  if (in.wanted.defined()) x = x.index_select(0, in.wanted);
  return logits_of(norm(x, parameters.final_norm, config), parameters.head, config.vocab_size);
}

} // namespace troupe::torch_detail

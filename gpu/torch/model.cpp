#include "gpu/torch/model.hpp"

#include <ATen/ops/empty.h>
#include <cmath>

namespace troupe::torch_detail {

model_parameters view_parameters(const model_config& config, const flat_layout& layout,
                                 const at::Tensor& flat, const at::Tensor& gradient) {
  std::size_t at = 0;
  const auto next = [&] {
    const auto& m = layout.matrices.at(at++);
    const auto size = m.columns == 0 ? m.rows : m.rows * m.columns;
    const auto shape =
        m.columns == 0 ? std::vector<std::int64_t>{m.rows} : std::vector<std::int64_t>{m.rows, m.columns};
    auto leaf = flat.narrow(0, m.offset, size).view(shape).detach();
    if (gradient.defined()) {
      leaf.set_requires_grad(true);
      leaf.mutable_grad() = gradient.narrow(0, m.offset, size).view(shape);
    }
    return leaf;
  };
  model_parameters p;
  p.embedding = next();
  if (config.previous_token_map) p.previous_map = next();
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    auto& l = p.layers.emplace_back();
    for (auto* tensor : {&l.input_norm, &l.qkv, &l.o, &l.post_norm, &l.gate_up, &l.down}) *tensor = next();
  }
  p.final_norm = next();
  p.head = config.tie_word_embeddings ? p.embedding : next();
  return p;
}

rope_tables make_rope_tables(const model_config& config) {
  const std::int64_t positions = config.max_position_embeddings, half = config.head_dim / 2;
  rope_tables t{at::empty({positions, half}, at::kFloat), at::empty({positions, half}, at::kFloat)};
  auto *cosines = t.cosines.data_ptr<float>(), *sines = t.sines.data_ptr<float>();
  for (std::int64_t p = 0; p < positions; ++p)
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / config.head_dim;
      const double angle = static_cast<double>(p) * std::pow(config.rope_theta, exponent);
      cosines[p * half + i] = static_cast<float>(std::cos(angle));
      sines[p * half + i] = static_cast<float>(std::sin(angle));
    }
  return t;
}

model_output run_model(const model_config& config, const model_parameters& parameters,
                       const rope_tables& rope, const packed_batch& batch, const operations& ops) {
  const attention_layout layout{.offsets = batch.offsets,
                                .cosines = rope.cosines,
                                .sines = rope.sines,
                                .longest = batch.longest,
                                .heads = config.num_attention_heads,
                                .kv_heads = config.num_key_value_heads,
                                .dim = config.head_dim};
  const double epsilon = config.rms_norm_eps;
  const double scale = config.previous_token_map ? std::sqrt(static_cast<double>(config.hidden_size)) : 1.0;
  auto x = ops.embed(parameters.embedding, parameters.previous_map, batch.tokens, batch.previous, scale);
  auto h = ops.rms_norm(x, parameters.layers.front().input_norm, epsilon);
  for (std::size_t i = 0; i < parameters.layers.size(); ++i) {
    const auto& layer = parameters.layers[i];
    const bool last = i + 1 == parameters.layers.size();
    auto mixed = ops.attention(ops.linear(h, layer.qkv), layout);
    if (last) { // nothing behind the last attention looks at other tokens: go on with those asked about only
      mixed = ops.select_rows(mixed, batch.query_rows);
      x = ops.select_rows(x, batch.query_rows);
    }
    std::tie(x, h) = ops.add_rms_norm(x, ops.linear(mixed, layer.o), layer.post_norm, epsilon);
    const auto out = ops.linear(ops.swiglu(ops.linear(h, layer.gate_up)), layer.down);
    const auto& norm = last ? parameters.final_norm : parameters.layers[i + 1].input_norm;
    std::tie(x, h) = ops.add_rms_norm(x, out, norm, epsilon);
  }
  auto [logprobs, entropies] =
      ops.token_logprobs(h, parameters.head, batch.targets, batch.inverse_temperatures);
  return {logprobs.narrow(0, 0, batch.queries), entropies.narrow(0, 0, batch.queries)};
}

} // namespace troupe::torch_detail

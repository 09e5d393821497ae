#include "gpu/torch/model.hpp"

#include "gpu/rope.hpp"
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <cmath>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace troupe::torch_detail {

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// What a layer makes of (x, normed x).
using layer_step = std::function<std::pair<Tensor, Tensor>(const Tensor& x, const Tensor& h)>;

struct step_holder : torch::CustomClassHolder {
  explicit step_holder(layer_step s) : step(std::move(s)) {}
  layer_step step;
};

/// Runs a layer without its graph, and again with it when its gradient is asked for. The parameters' gradients go straight
/// to their leaves.
struct recomputed : torch::autograd::Function<recomputed> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& h,
                               const layer_step& step) {
    ctx->save_for_backward({x, h});
    ctx->saved_data["step"] = c10::IValue::make_capsule(c10::make_intrusive<step_holder>(step));
    at::NoGradGuard no_graph;
    auto [next, normed] = step(x, h);
    return {next, normed};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const auto holder = ctx->saved_data["step"].toCapsule();
    const auto& step = static_cast<const step_holder&>(*holder).step;
    at::AutoGradMode with_graph(true);
    auto x = saved[0].detach().requires_grad_(true), h = saved[1].detach().requires_grad_(true);
    auto [next, normed] = step(x, h);
    torch::autograd::backward({next, normed}, {grads[0], grads[1]});
    return {x.grad(), h.grad(), {}};
  }
};

/// x weight^T + bias, and what the adapters add to it.
Tensor project(const operations& ops, const Tensor& x, const Tensor& weight, const Tensor& bias,
               const low_rank& low) {
  auto out = ops.linear(x, weight, bias);
  if (low.parts.empty()) return out;
  std::vector<Tensor> added;
  for (const auto& part : low.parts)
    added.push_back(part.a.defined() ? ops.linear(ops.linear(x, part.a, {}), part.b, {})
                                     : at::zeros({x.size(0), part.rows}, x.options()));
  return out + at::cat(added, 1) * low.scale;
}

} // namespace

model_parameters arrange_parameters(const model_config& config, const flat_layout& layout,
                                    const std::function<Tensor(const flat_layout::matrix&)>& tensor_of) {
  std::size_t at = 0;
  const auto next = [&] { return tensor_of(layout.matrices.at(at++)); };
  model_parameters p;
  p.embedding = next();
  if (config.previous_token_map) p.previous_map = next();
  for (int i = 0; i < config.num_hidden_layers; ++i) {
    auto& l = p.layers.emplace_back();
    l.input_norm = next(), l.qkv = next();
    if (config.qkv_bias) l.qkv_bias = next();
    if (config.qk_norm) l.q_norm = next(), l.k_norm = next();
    l.o = next();
    if (config.output_bias) l.o_bias = next();
    l.post_norm = next(), l.gate_up = next(), l.down = next();
  }
  p.final_norm = next();
  p.head = config.tie_word_embeddings ? p.embedding : next();
  return p;
}

model_parameters view_parameters(const model_config& config, const flat_layout& layout, const Tensor& flat,
                                 const Tensor& gradient) {
  return arrange_parameters(config, layout, [&](const flat_layout::matrix& m) {
    const auto size = m.columns == 0 ? m.rows : m.rows * m.columns;
    const auto shape =
        m.columns == 0 ? std::vector<std::int64_t>{m.rows} : std::vector<std::int64_t>{m.rows, m.columns};
    auto leaf = flat.narrow(0, m.offset, size).view(shape).detach();
    if (gradient.defined()) {
      leaf.set_requires_grad(true);
      leaf.mutable_grad() = gradient.narrow(0, m.offset, size).view(shape);
    }
    return leaf;
  });
}

rope_tables make_rope_tables(const model_config& config) {
  const std::int64_t positions = config.max_position_embeddings, half = config.head_dim / 2;
  rope_tables t{at::empty({positions, half}, at::kFloat), at::empty({positions, half}, at::kFloat)};
  const auto frequencies = rope_frequencies_of(config);
  auto *cosines = t.cosines.data_ptr<float>(), *sines = t.sines.data_ptr<float>();
  for (std::int64_t p = 0; p < positions; ++p)
    for (std::int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * frequencies.per_pair[static_cast<std::size_t>(i)];
      cosines[p * half + i] = static_cast<float>(frequencies.scale * std::cos(angle));
      sines[p * half + i] = static_cast<float>(frequencies.scale * std::sin(angle));
    }
  return t;
}

model_output run_model(const model_config& config, const model_parameters& parameters,
                       const rope_tables& rope, const packed_batch& batch, const operations& ops,
                       const run_settings& settings) {
  const double epsilon = config.rms_norm_eps;
  const double scale = config.previous_token_map ? std::sqrt(static_cast<double>(config.hidden_size)) : 1.0;
  const auto step_of = [&config, &parameters, &rope, &batch, &ops, epsilon](std::size_t i) -> layer_step {
    // The batch by value: a layer that is computed again comes after its caller's copy is gone.
    return [&config, &parameters, &rope, batch, &ops, epsilon, i](const Tensor& x_in, const Tensor& h_in) {
      const auto& layer = parameters.layers[i];
      const bool last = i + 1 == parameters.layers.size();
      const attention_layout layout{
          .offsets = batch.offsets,
          .cosines = rope.cosines,
          .sines = rope.sines,
          .longest = batch.longest,
          .heads = config.num_attention_heads,
          .kv_heads = config.num_key_value_heads,
          .dim = config.head_dim,
          .window = static_cast<int>(i) < config.first_window_layer ? 0 : config.sliding_window};
      auto qkv = project(ops, h_in, layer.qkv, layer.qkv_bias, layer.qkv_low);
      if (layer.q_norm.defined()) qkv = ops.norm_heads(qkv, layer.q_norm, layer.k_norm, layout, epsilon);
      auto mixed = ops.attention(qkv, layout);
      auto x = x_in;
      if (last) { // nothing behind the last attention looks at other tokens: go on with those asked about only
        mixed = ops.select_rows(mixed, batch.query_rows);
        x = ops.select_rows(x, batch.query_rows);
      }
      Tensor h;
      std::tie(x, h) = ops.add_rms_norm(x, project(ops, mixed, layer.o, layer.o_bias, layer.o_low),
                                        layer.post_norm, epsilon);
      const auto gates = ops.swiglu(project(ops, h, layer.gate_up, {}, layer.gate_up_low));
      const auto out = project(ops, gates, layer.down, {}, layer.down_low);
      const auto& norm = last ? parameters.final_norm : parameters.layers[i + 1].input_norm;
      return ops.add_rms_norm(x, out, norm, epsilon);
    };
  };
  auto x = ops.embed(parameters.embedding, parameters.previous_map, batch.tokens, batch.previous, scale);
  auto h = ops.rms_norm(x, parameters.layers.front().input_norm, epsilon);
  const bool recompute = settings.recompute_layers && at::GradMode::is_enabled();
  for (std::size_t i = 0; i < parameters.layers.size(); ++i) {
    const auto step = step_of(i);
    if (!recompute) {
      std::tie(x, h) = step(x, h);
      continue;
    }
    if (!x.requires_grad()) x = x.detach().requires_grad_(true); // frozen below: the layer's own are not
    auto out = recomputed::apply(x, h, step);
    x = std::move(out[0]), h = std::move(out[1]);
  }
  auto [logprobs, entropies] =
      ops.token_logprobs(h, parameters.head, batch.targets, batch.inverse_temperatures, settings.most_logits);
  return {logprobs.narrow(0, 0, batch.queries), entropies.narrow(0, 0, batch.queries)};
}

} // namespace troupe::torch_detail

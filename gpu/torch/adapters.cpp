#include "gpu/torch/adapters.hpp"

#include "runtime/base/random.hpp"
#include <ATen/TensorOperators.h>
#include <algorithm>
#include <cmath>
#include <map>

namespace troupe::torch_detail {

namespace {

/// A projection of a layer: which fused matrix it is part of, and its sides.
struct projection {
  low_rank model_parameters::layer::*fused;
  const char* name;
  std::int64_t rows, columns;
};

std::vector<projection> projections(const model_config& c) {
  using layer = model_parameters::layer;
  const std::int64_t d = c.hidden_size, f = c.intermediate_size;
  const std::int64_t q = std::int64_t{c.num_attention_heads} * c.head_dim,
                     kv = std::int64_t{c.num_key_value_heads} * c.head_dim;
  return {{&layer::qkv_low, "self_attn.q_proj", q, d},  {&layer::qkv_low, "self_attn.k_proj", kv, d},
          {&layer::qkv_low, "self_attn.v_proj", kv, d}, {&layer::o_low, "self_attn.o_proj", d, q},
          {&layer::gate_up_low, "mlp.gate_proj", f, d}, {&layer::gate_up_low, "mlp.up_proj", f, d},
          {&layer::down_low, "mlp.down_proj", d, f}};
}

bool is_target(const adapter_options& options, const projection& p) {
  const std::string_view name = p.name;
  const auto last = name.substr(name.find('.') + 1);
  return std::find(options.targets.begin(), options.targets.end(), last) != options.targets.end();
}

std::string layer_prefix(int i) { return "model.layers." + std::to_string(i) + "."; }

at::Tensor view(const flat_layout::matrix& m, const at::Tensor& flat) {
  return flat.narrow(0, m.offset, m.rows * m.columns).view({m.rows, m.columns});
}

} // namespace

expected<void> check_adapters(const model_config& config, const adapter_options& options) {
  const auto all = projections(config);
  std::int64_t narrowest = config.hidden_size;
  std::string known;
  for (const auto& p : all) {
    if (is_target(options, p)) narrowest = std::min({narrowest, p.rows, p.columns});
    known += std::string(known.empty() ? "" : ", ") +
             (std::string_view(p.name).substr(std::string_view(p.name).find('.') + 1).data());
  }
  if (options.rank < 1 || options.rank > narrowest)
    return fail(errc::invalid, "the adapters' rank is " + std::to_string(options.rank) + ", expected 1 to " +
                                   std::to_string(narrowest) + ", the narrowest side of what they adapt");
  if (!(options.alpha > 0) || !std::isfinite(options.alpha))
    return fail(errc::invalid,
                "the adapters' alpha is " + std::to_string(options.alpha) + ", expected above 0");
  if (options.targets.empty())
    return fail(errc::invalid, "the adapters have no targets, expected some of " + known);
  for (const auto& target : options.targets) {
    const adapter_options one{.targets = {target}};
    if (std::none_of(all.begin(), all.end(), [&](const auto& p) { return is_target(one, p); }))
      return fail(errc::invalid, "the adapters' target \"" + target + "\" is none of " + known);
  }
  return {};
}

flat_layout make_adapter_layout(const model_config& config, const adapter_options& options) {
  flat_layout out;
  const auto add = [&](const std::string& name, std::int64_t rows, std::int64_t columns) {
    out.total = (out.total + 15) / 16 * 16;
    out.matrices.push_back({out.total, rows, columns});
    out.parts.push_back({name, {rows, columns}, out.total, rows * columns});
    out.total += rows * columns;
  };
  for (int i = 0; i < config.num_hidden_layers; ++i)
    for (const auto& p : projections(config))
      if (is_target(options, p)) {
        add(layer_prefix(i) + p.name + ".lora_A.weight", options.rank, p.columns);
        add(layer_prefix(i) + p.name + ".lora_B.weight", p.rows, options.rank);
      }
  out.total = (out.total + 15) / 16 * 16;
  return out;
}

void start_adapters(const flat_layout& layout, const adapter_options& options, const at::Tensor& flat) {
  flat.zero_();
  for (const auto& part : layout.parts) {
    if (!part.name.ends_with("lora_A.weight")) continue;
    random_stream random(derive_seed(derive_seed(options.seed, "adapters"), part.name));
    const double most = 1 / std::sqrt(static_cast<double>(part.shape[1]));
    float* data = flat.data_ptr<float>() + part.offset;
    for (std::int64_t k = 0; k < part.size; ++k)
      data[k] = static_cast<float>(most * (2 * random.uniform() - 1));
  }
}

void view_adapters(const model_config& config, const adapter_options& options, const flat_layout& layout,
                   const at::Tensor& flat, const at::Tensor& gradient, model_parameters& to) {
  std::size_t at = 0;
  const auto next = [&] {
    const auto& m = layout.matrices.at(at++);
    auto leaf = view(m, flat).detach();
    if (gradient.defined()) {
      leaf.set_requires_grad(true);
      leaf.mutable_grad() = view(m, gradient);
    }
    return leaf;
  };
  for (auto& layer : to.layers) {
    for (const auto& p : projections(config)) {
      auto& low = layer.*p.fused;
      low.scale = options.alpha / options.rank;
      auto& part = low.parts.emplace_back();
      part.rows = p.rows;
      if (is_target(options, p)) part.a = next(), part.b = next();
    }
    for (auto member : {&model_parameters::layer::qkv_low, &model_parameters::layer::o_low,
                        &model_parameters::layer::gate_up_low, &model_parameters::layer::down_low}) {
      auto& low = layer.*member;
      if (std::none_of(low.parts.begin(), low.parts.end(), [](const auto& part) { return part.a.defined(); }))
        low.parts.clear();
    }
  }
}

at::Tensor merge_adapters(const model_config& config, const adapter_options& options,
                          const flat_layout& base_layout, const at::Tensor& base, const flat_layout& layout,
                          const at::Tensor& flat) {
  std::map<std::string, const flat_layout::part*> by_name;
  for (const auto& part : base_layout.parts) by_name[part.name] = &part;
  auto out = base.clone();
  std::size_t at = 0;
  for (int i = 0; i < config.num_hidden_layers; ++i)
    for (const auto& p : projections(config)) {
      if (!is_target(options, p)) continue;
      const auto &a = layout.matrices.at(at), &b = layout.matrices.at(at + 1);
      at += 2;
      const auto& whole = *by_name.at(layer_prefix(i) + p.name + ".weight");
      out.narrow(0, whole.offset, whole.size)
          .view({p.rows, p.columns})
          .addmm_(view(b, flat), view(a, flat), 1, options.alpha / options.rank);
    }
  return out;
}

} // namespace troupe::torch_detail

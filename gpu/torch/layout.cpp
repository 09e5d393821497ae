#include "gpu/torch/layout.hpp"

#include <cmath>

namespace troupe::torch_detail {

namespace {

class builder {
public:
  using named = std::vector<std::pair<std::string, std::int64_t>>;
  void matrix(std::int64_t columns, const named& named_rows, const char* kind = ".weight") {
    auto& out = made.total;
    out = (out + 15) / 16 * 16;
    made.matrices.push_back({out, 0, columns});
    for (const auto& [name, rows] : named_rows) {
      const auto size = columns == 0 ? rows : rows * columns;
      made.parts.push_back(
          {name + kind,
           columns == 0 ? std::vector<std::int64_t>{rows} : std::vector<std::int64_t>{rows, columns}, out,
           size});
      made.matrices.back().rows += rows;
      out += size;
    }
  }
  void vector(const std::string& name, std::int64_t size) { matrix(0, {{name, size}}); }

  flat_layout made;
};

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (auto n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

} // namespace

flat_layout make_layout(const model_config& c) {
  const std::int64_t d = c.hidden_size, q = std::int64_t{c.num_attention_heads} * c.head_dim;
  const std::int64_t kv = std::int64_t{c.num_key_value_heads} * c.head_dim, f = c.intermediate_size;
  builder b;
  b.matrix(d, {{"model.embed_tokens", c.vocab_size}});
  if (c.previous_token_map) b.matrix(d, {{"model.previous_token_map", d}});
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const auto layer = "model.layers." + std::to_string(i) + ".";
    const auto attention = layer + "self_attn.", mlp = layer + "mlp.";
    b.vector(layer + "input_layernorm", d);
    const builder::named qkv{
        {attention + "q_proj", q}, {attention + "k_proj", kv}, {attention + "v_proj", kv}};
    b.matrix(d, qkv);
    if (c.qkv_bias) b.matrix(0, qkv, ".bias");
    if (c.qk_norm) b.vector(attention + "q_norm", c.head_dim), b.vector(attention + "k_norm", c.head_dim);
    b.matrix(q, {{attention + "o_proj", d}});
    if (c.output_bias) b.matrix(0, {{attention + "o_proj", d}}, ".bias");
    b.vector(layer + "post_attention_layernorm", d);
    b.matrix(d, {{mlp + "gate_proj", f}, {mlp + "up_proj", f}});
    b.matrix(f, {{mlp + "down_proj", d}});
  }
  b.vector("model.norm", d);
  if (!c.tie_word_embeddings) b.matrix(d, {{"lm_head", c.vocab_size}});
  b.made.total = (b.made.total + 15) / 16 * 16;
  return std::move(b.made);
}

expected<void> check_tensors(const flat_layout& layout, const std::map<std::string, host_tensor>& tensors,
                             const std::string& prefix) {
  std::size_t found = 0;
  for (const auto& part : layout.parts) {
    const auto name = prefix + part.name;
    const auto it = tensors.find(name);
    if (it == tensors.end()) return fail(errc::invalid, "tensor " + name + " is missing");
    if (it->second.shape != part.shape || it->second.data.size() != static_cast<std::size_t>(part.size))
      return fail(errc::invalid, "tensor " + name + " has shape " + shape_text(it->second.shape) + " and " +
                                     std::to_string(it->second.data.size()) + " numbers, expected " +
                                     shape_text(part.shape));
    for (float x : it->second.data)
      if (!std::isfinite(x))
        return fail(errc::invalid, "tensor " + name + " holds a number that is not finite");
    ++found;
  }
  if (prefix.empty() && found != tensors.size())
    for (const auto& [name, unused] : tensors) {
      bool known = false;
      for (const auto& part : layout.parts) known = known || part.name == name;
      if (!known) return fail(errc::invalid, "tensor " + name + " is not part of a model of this config");
    }
  return {};
}

} // namespace troupe::torch_detail

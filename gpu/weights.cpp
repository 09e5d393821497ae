#include "gpu/weights.hpp"

#include "runtime/base/hash.hpp"
#include "runtime/base/random.hpp"
#include <cassert>
#include <cmath>
#include <functional>
#include <numeric>

namespace troupe {

namespace {

std::string layer_name(int layer, std::string_view part, std::string_view kind = "weight") {
  return "model.layers." + std::to_string(layer) + "." + std::string(part) + "." + std::string(kind);
}

/// A square matrix, row-major, in double: products of these are rounded to float32 once, at the end.
struct square {
  int n;
  std::vector<double> at;
  explicit square(int size) : n(size), at(static_cast<std::size_t>(size) * size) {}
  double& operator()(int row, int column) { return at[static_cast<std::size_t>(row) * n + column]; }
  double operator()(int row, int column) const { return at[static_cast<std::size_t>(row) * n + column]; }
};

/// A random orthogonal matrix: normal rows, made orthonormal by Gram-Schmidt, each twice ("twice is enough",
/// Giraud et al. 2005).
square random_orthogonal(int n, random_stream random) {
  square q(n);
  for (double& x : q.at) x = random.normal();
  for (int row = 0; row < n; ++row) {
    for (int pass = 0; pass < 2; ++pass) {
      for (int other = 0; other < row; ++other) {
        double dot = 0;
        for (int i = 0; i < n; ++i) dot += q(row, i) * q(other, i);
        for (int i = 0; i < n; ++i) q(row, i) -= dot * q(other, i);
      }
      double norm = 0;
      for (int i = 0; i < n; ++i) norm += q(row, i) * q(row, i);
      for (int i = 0; i < n; ++i) q(row, i) /= std::sqrt(norm);
    }
  }
  return q;
}

square transposed(const square& a) {
  square out(a.n);
  for (int i = 0; i < a.n; ++i)
    for (int j = 0; j < a.n; ++j) out(j, i) = a(i, j);
  return out;
}

square product(const square& a, const square& b) {
  square out(a.n);
  for (int i = 0; i < a.n; ++i)
    for (int k = 0; k < a.n; ++k)
      for (int j = 0; j < a.n; ++j) out(i, j) += a(i, k) * b(k, j);
  return out;
}

class initialiser {
public:
  initialiser(model_weights& to, std::uint64_t seed) : to_(to), seed_(seed) {}

  random_stream stream(const std::string& name) const { return random_stream(derive_seed(seed_, name)); }

  void normal(const std::string& name, double deviation) {
    auto random = stream(name);
    for (float& x : to_.tensors.at(name).data) x = static_cast<float>(deviation * random.normal());
  }

  void around(const std::string& name, double scale, const square& mean, double noise) {
    auto random = stream(name);
    auto& data = to_.tensors.at(name).data;
    assert(data.size() == mean.at.size());
    for (std::size_t i = 0; i < data.size(); ++i)
      data[i] = static_cast<float>(scale * mean.at[i] + noise * random.normal());
  }

private:
  model_weights& to_;
  std::uint64_t seed_;
};

} // namespace

std::map<std::string, std::vector<std::int64_t>> expected_shapes(const model_config& c) {
  const std::int64_t d = c.hidden_size, f = c.intermediate_size, v = c.vocab_size;
  const std::int64_t q = std::int64_t{c.num_attention_heads} * c.head_dim;
  const std::int64_t kv = std::int64_t{c.num_key_value_heads} * c.head_dim;
  std::map<std::string, std::vector<std::int64_t>> out;
  out["model.embed_tokens.weight"] = {v, d};
  out["model.norm.weight"] = {d};
  if (!c.tie_word_embeddings) out["lm_head.weight"] = {v, d};
  if (c.previous_token_map) out["model.previous_token_map.weight"] = {d, d};
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    out[layer_name(i, "input_layernorm")] = {d};
    out[layer_name(i, "self_attn.q_proj")] = {q, d};
    out[layer_name(i, "self_attn.k_proj")] = {kv, d};
    out[layer_name(i, "self_attn.v_proj")] = {kv, d};
    out[layer_name(i, "self_attn.o_proj")] = {d, q};
    if (c.qkv_bias) {
      out[layer_name(i, "self_attn.q_proj", "bias")] = {q};
      out[layer_name(i, "self_attn.k_proj", "bias")] = {kv};
      out[layer_name(i, "self_attn.v_proj", "bias")] = {kv};
    }
    if (c.output_bias) out[layer_name(i, "self_attn.o_proj", "bias")] = {d};
    if (c.qk_norm)
      for (auto part : {"self_attn.q_norm", "self_attn.k_norm"}) out[layer_name(i, part)] = {c.head_dim};
    out[layer_name(i, "post_attention_layernorm")] = {d};
    out[layer_name(i, "mlp.gate_proj")] = {f, d};
    out[layer_name(i, "mlp.up_proj")] = {f, d};
    out[layer_name(i, "mlp.down_proj")] = {d, f};
  }
  return out;
}

std::int64_t parameter_count(const model_config& config) {
  std::int64_t out = 0;
  for (const auto& [name, shape] : expected_shapes(config))
    out += std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  return out;
}

model_weights initial_weights(const model_config& c, std::uint64_t seed) {
  model_weights out{.config = c, .tensors = {}};
  for (auto& [name, shape] : expected_shapes(c)) {
    const auto count = std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    const float start = name.ends_with(".bias") ? 0.0f : 1.0f; // biases stay at 0, norms at 1
    out.tensors[name] = {shape, std::vector<float>(static_cast<std::size_t>(count), start)};
  }
  initialiser make(out, seed);
  const double residual = 0.04 / std::sqrt(2.0 * c.num_hidden_layers);
  make.normal("model.embed_tokens.weight", 0.02);
  if (!c.tie_word_embeddings) make.normal("lm_head.weight", 0.02);
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    for (auto part :
         {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj"})
      make.normal(layer_name(i, part), 0.04);
    for (auto part : {"self_attn.o_proj", "mlp.down_proj"}) make.normal(layer_name(i, part), residual);
  }
  if (!c.previous_token_map) return out;

  // Induction heads from the start. With x_t = E[tok_t] + P E[tok_t-1], a query q_t = Q x_t carries Q
  // E[tok_t] and a key k_j = Q P^T x_j carries Q E[tok_j-1] (P^T P = 1): position t looks for the positions
  // that follow an earlier tok_t, and V^T V x_j carries E[tok_j], which is what followed there. Only where
  // all four projections are square.
  const int d = c.hidden_size;
  const square p = random_orthogonal(d, make.stream("model.previous_token_map.weight"));
  auto& map = out.tensors.at("model.previous_token_map.weight").data;
  for (std::size_t i = 0; i < map.size(); ++i) map[i] = static_cast<float>(p.at[i]);
  if (c.num_attention_heads * c.head_dim != d || c.num_key_value_heads != c.num_attention_heads) return out;
  const square p_transposed = transposed(p);
  for (int i = 1; i < c.num_hidden_layers; ++i) {
    const square q = random_orthogonal(d, make.stream(layer_name(i, "orthogonal_q")));
    const square v = random_orthogonal(d, make.stream(layer_name(i, "orthogonal_v")));
    make.around(layer_name(i, "self_attn.q_proj"), 1.4, q, 0.02);
    make.around(layer_name(i, "self_attn.k_proj"), 1.4, product(q, p_transposed), 0.02);
    make.around(layer_name(i, "self_attn.v_proj"), 0.7, v, 0.01);
    make.around(layer_name(i, "self_attn.o_proj"), 0.35, transposed(v), 0.01);
  }
  return out;
}

host_tensor as_float32(const stored_tensor& tensor) {
  std::int64_t count = 1;
  for (auto n : tensor.shape) count *= n;
  host_tensor out{tensor.shape, std::vector<float>(static_cast<std::size_t>(count))};
  dequantise(tensor.type, tensor.data.data(), out.data.size(), out.data.data());
  return out;
}

model_weights as_float32(model_weights weights) {
  for (auto& [name, tensor] : weights.stored) weights.tensors.insert_or_assign(name, as_float32(tensor));
  weights.stored.clear();
  return weights;
}

std::string weights_checksum(const model_weights& weights) {
  std::map<std::string, std::string> lines;
  const auto add = [&](const std::string& name, const host_tensor& tensor) {
    auto& line = lines[name];
    line = name;
    for (auto n : tensor.shape) line += ' ' + std::to_string(n);
    const auto* bytes = reinterpret_cast<const char*>(tensor.data.data());
    line += ' ' + sha256({bytes, tensor.data.size() * sizeof(float)}) + '\n';
  };
  for (const auto& [name, tensor] : weights.tensors) add(name, tensor);
  for (const auto& [name, tensor] : weights.stored) add(name, as_float32(tensor));
  std::string all;
  for (const auto& [name, line] : lines) all += line;
  return sha256(all);
}

} // namespace troupe

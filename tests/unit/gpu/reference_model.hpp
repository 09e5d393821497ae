#pragma once

#include "gpu/rope.hpp"
#include "gpu/tokenizer.hpp"
#include "gpu/weights.hpp"
#include <cmath>
#include <vector>

namespace troupe {

/// The model once more, as plainly as it can be written, in double precision and without a cache: what the
/// engine's numbers are held against.
class reference_model {
public:
  explicit reference_model(const model_weights& weights) : w_(weights), c_(weights.config) {}

  /// Log-probabilities of every next token: [position][vocabulary].
  std::vector<std::vector<double>> logprobs(const std::vector<token>& tokens,
                                            double temperature = 1.0) const {
    auto out = logits(tokens);
    for (auto& row : out) {
      double sum = 0;
      for (double& l : row) sum += std::exp(l /= temperature);
      for (double& l : row) l -= std::log(sum);
    }
    return out;
  }

  std::vector<std::vector<double>> logits(const std::vector<token>& tokens) const {
    std::vector<vector> x;
    for (std::size_t t = 0; t < tokens.size(); ++t) x.push_back(input(tokens, t));
    for (int layer = 0; layer < c_.num_hidden_layers; ++layer) {
      const auto name = "model.layers." + std::to_string(layer) + ".";
      attention(name, x, layer >= c_.first_window_layer ? c_.sliding_window : 0);
      for (auto& row : x) {
        const auto h = norm(name + "post_attention_layernorm.weight", row);
        auto gate = linear(name + "mlp.gate_proj.weight", h);
        const auto up = linear(name + "mlp.up_proj.weight", h);
        for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
        add(row, linear(name + "mlp.down_proj.weight", gate));
      }
    }
    std::vector<vector> out;
    for (auto& row : x)
      out.push_back(linear(c_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight",
                           norm("model.norm.weight", row)));
    return out;
  }

private:
  using vector = std::vector<double>;

  vector embedding(token t) const {
    const auto d = static_cast<std::size_t>(c_.hidden_size);
    const auto& e = w_.tensors.at("model.embed_tokens.weight").data;
    return {e.begin() + static_cast<std::ptrdiff_t>(t * d),
            e.begin() + static_cast<std::ptrdiff_t>((t + 1) * d)};
  }

  vector input(const std::vector<token>& tokens, std::size_t t) const {
    auto x = embedding(tokens[t]);
    if (!c_.previous_token_map) return x;
    if (t > 0) add(x, linear("model.previous_token_map.weight", embedding(tokens[t - 1])));
    for (double& v : x) v *= std::sqrt(c_.hidden_size);
    return x;
  }

  static void add(vector& to, const vector& what) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += what[i];
  }

  vector linear(const std::string& name, const vector& x) const {
    const auto& w = w_.tensors.at(name);
    vector y(static_cast<std::size_t>(w.shape[0]));
    for (std::size_t o = 0; o < y.size(); ++o)
      for (std::size_t i = 0; i < x.size(); ++i) y[o] += double{w.data[o * x.size() + i]} * x[i];
    auto bias_name = name;
    bias_name.replace(bias_name.size() - 6, 6, "bias"); // instead of "weight"
    if (const auto bias = w_.tensors.find(bias_name); bias != w_.tensors.end())
      for (std::size_t o = 0; o < y.size(); ++o) y[o] += bias->second.data[o];
    return y;
  }

  vector norm(const std::string& name, const vector& x) const {
    double squares = 0;
    for (double v : x) squares += v * v;
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.size()) + c_.rms_norm_eps);
    auto y = x;
    for (std::size_t i = 0; i < y.size(); ++i) y[i] *= scale * w_.tensors.at(name).data[i];
    return y;
  }

  void norm_heads(const std::string& name, vector& heads) const {
    if (!c_.qk_norm) return;
    const auto width = static_cast<std::ptrdiff_t>(c_.head_dim);
    for (auto at = heads.begin(); at != heads.end(); at += width) {
      const auto one = norm(name, vector(at, at + width));
      std::copy(one.begin(), one.end(), at);
    }
  }

  void turn(vector& heads, std::size_t position) const {
    const int half = c_.head_dim / 2;
    const auto rope = rope_frequencies_of(c_);
    for (std::size_t first = 0; first < heads.size(); first += static_cast<std::size_t>(c_.head_dim))
      for (int i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) * rope.per_pair[static_cast<std::size_t>(i)];
        const double cosine = rope.scale * std::cos(angle), sine = rope.scale * std::sin(angle);
        double &a = heads[first + i], &b = heads[first + i + half];
        const double turned = a * cosine - b * sine;
        b = b * cosine + a * sine;
        a = turned;
      }
  }

  void attention(const std::string& name, std::vector<vector>& x, int window) const {
    std::vector<vector> q, k, v;
    for (std::size_t t = 0; t < x.size(); ++t) {
      const auto h = norm(name + "input_layernorm.weight", x[t]);
      q.push_back(linear(name + "self_attn.q_proj.weight", h));
      k.push_back(linear(name + "self_attn.k_proj.weight", h));
      v.push_back(linear(name + "self_attn.v_proj.weight", h));
      norm_heads(name + "self_attn.q_norm.weight", q.back());
      norm_heads(name + "self_attn.k_norm.weight", k.back());
      turn(q.back(), t);
      turn(k.back(), t);
    }
    const int group = c_.num_attention_heads / c_.num_key_value_heads;
    for (std::size_t t = 0; t < x.size(); ++t) {
      vector mixed(q[t].size());
      for (int head = 0; head < c_.num_attention_heads; ++head) {
        const int own = head * c_.head_dim, shared = head / group * c_.head_dim;
        vector weights;
        double sum = 0;
        const auto size = static_cast<std::size_t>(window);
        const std::size_t first = size > 0 && t + 1 > size ? t + 1 - size : 0;
        for (std::size_t s = first; s <= t; ++s) {
          double dot = 0;
          for (int i = 0; i < c_.head_dim; ++i) dot += q[t][own + i] * k[s][shared + i];
          weights.push_back(std::exp(dot / std::sqrt(c_.head_dim)));
          sum += weights.back();
        }
        for (std::size_t s = first; s <= t; ++s)
          for (int i = 0; i < c_.head_dim; ++i) mixed[own + i] += weights[s - first] / sum * v[s][shared + i];
      }
      add(x[t], linear(name + "self_attn.o_proj.weight", mixed));
    }
  }

  const model_weights& w_;
  model_config c_;
};

} // namespace troupe

#pragma once

#include "gpu/torch/torch_learner.hpp"
#include "tests/unit/random_tokens.hpp"
#include <gtest/gtest.h>

namespace troupe {

/// A model small enough for finite differences; its widths are no multiples of a vector register.
inline model_config small_config() {
  model_config c;
  c.vocab_size = 23;
  c.hidden_size = 12;
  c.num_hidden_layers = 2;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.head_dim = 6;
  c.intermediate_size = 20;
  c.max_position_embeddings = 64;
  c.previous_token_map = true;
  return c;
}

/// Weights with a spread of about `deviation` everywhere, norms near 1: nothing is small enough to hide.
inline model_weights random_weights(const model_config& config, std::uint64_t seed, double deviation = 0.25) {
  model_weights out{.config = config, .tensors = {}};
  random_stream random(seed);
  for (const auto& [name, shape] : expected_shapes(config)) {
    auto& t = out.tensors[name];
    t.shape = shape;
    std::int64_t size = 1;
    for (auto n : shape) size *= n;
    const double mean = shape.size() == 1 ? 1.0 : 0.0;
    for (std::int64_t i = 0; i < size; ++i)
      t.data.push_back(static_cast<float>(mean + deviation * random.normal()));
  }
  return out;
}

inline std::vector<sft_sample> supervised_batch(std::uint64_t seed, int samples, const model_config& config,
                                                std::size_t longest = 30) {
  random_stream random(seed);
  std::vector<sft_sample> out;
  for (int i = 0; i < samples; ++i) {
    sft_sample s{.tokens = random_tokens(random, 2 + random.below(longest - 1), config.vocab_size),
                 .weights = {}};
    for (std::size_t t = 0; t < s.tokens.size(); ++t) s.weights.push_back(random.chance(0.5) ? 1.f : 0.05f);
    out.push_back(std::move(s));
  }
  return out;
}

/// Samples as a policy would leave them, a little off policy.
inline std::vector<rl_sample> policy_batch(learner& policy, std::uint64_t seed, int samples,
                                           const model_config& config, double noise = 0.1) {
  random_stream random(seed);
  std::vector<rl_sample> out;
  for (int i = 0; i < samples; ++i) {
    rl_sample s;
    s.id = "r" + std::to_string(i);
    s.tokens = random_tokens(random, 4 + random.below(26), config.vocab_size);
    const auto n = s.tokens.size();
    s.temperature = i % 3 == 0 ? 0.7 : 1.0;
    const auto logprobs = policy.logprobs(s.tokens, s.temperature);
    s.mask.resize(n), s.behaviour_logprobs.resize(n), s.versions.resize(n), s.turn_weights.assign(n, 1.f);
    for (std::size_t t = 1; t < n; ++t) {
      s.turn_weights[t] = t < n / 2 ? 0.9f : 1.f;
      s.mask[t] = t + 2 >= n || random.chance(0.4);
      if (!s.mask[t]) continue;
      s.behaviour_logprobs[t] = static_cast<float>(std::min(0.0, (*logprobs)[t] + noise * random.normal()));
      s.versions[t] = 3 + random.below(2);
    }
    s.reward = random.chance(0.5) ? 1 : -0.2;
    s.baseline = 0.3;
    out.push_back(std::move(s));
  }
  return out;
}

inline std::unique_ptr<learner> small_learner(const model_weights& start, int threads = 1,
                                              int max_tokens = 4096, optimizer_options optimizer = {}) {
  auto made = torch_detail::make_torch_learner(
      start, {.optimizer = optimizer, .threads = threads, .max_tokens_per_pass = max_tokens});
  EXPECT_TRUE(made) << to_string(made.error());
  return std::move(*made);
}

inline void expect_same_bits(const model_weights& a, const model_weights& b) {
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) EXPECT_EQ(tensor.data, b.tensors.at(name).data) << name;
}

inline bool same_bits(const model_weights& a, const model_weights& b) {
  for (const auto& [name, tensor] : a.tensors)
    if (tensor.data != b.tensors.at(name).data) return false;
  return true;
}

} // namespace troupe

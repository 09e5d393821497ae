#pragma once

#include "gpu/cpu_engine.hpp"
#include "tests/unit/random_tokens.hpp"
#include <gtest/gtest.h>
#include <map>

namespace troupe {

inline model_config tiny() {
  return {.vocab_size = 100,
          .hidden_size = 48,
          .num_hidden_layers = 3,
          .num_attention_heads = 4,
          .num_key_value_heads = 2,
          .head_dim = 12, // none of these is a multiple of 16: padding is exercised
          .intermediate_size = 70,
          .max_position_embeddings = 160,
          .previous_token_map = true};
}

/// Fresh weights, made larger so that the distributions are far from uniform.
inline weights_ptr lively(const model_config& config, std::uint64_t seed) {
  auto w = initial_weights(config, seed);
  random_stream random(seed);
  for (auto& [name, tensor] : w.tensors)
    for (float& x : tensor.data)
      if (name.ends_with(".bias") || name.find("q_norm") != name.npos || name.find("k_norm") != name.npos)
        x += static_cast<float>(0.3 * random.normal());
      else if (name.find("norm") == name.npos)
        x *= 3;
  return std::make_shared<const model_weights>(std::move(w));
}

inline std::unique_ptr<engine_core> engine_with(weights_ptr weights, engine_limits limits = {},
                                                instruction_set set = best_instruction_set()) {
  auto made = make_cpu_engine(weights->config, limits, set);
  EXPECT_TRUE(made);
  (*made)->set_weights(weights, 1, kv_policy::keep);
  return std::move(*made);
}

inline std::map<std::uint64_t, generated> run_all(engine_core& engine) {
  std::vector<generated> finished;
  while (engine.step(finished)) {
  }
  std::map<std::uint64_t, generated> out;
  for (auto& g : finished) {
    EXPECT_FALSE(out.contains(g.sequence)) << "came out twice"; // ENG-3
    out[g.sequence] = std::move(g);
  }
  return out;
}

inline void expect_same(const generated& a, const generated& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.logprobs, b.logprobs); // == on floats: the same bits (no zero and no NaN among logprobs)
  EXPECT_EQ(a.reason, b.reason);
}

inline generate_request ask(std::uint64_t id, std::vector<token> context, int n) {
  return {.sequence = id, .context = std::move(context), .max_new_tokens = n, .seed = 42};
}

/// One small model of each family, with everything that families differ by.
inline std::vector<model_config> families() {
  auto plain = tiny();
  plain.previous_token_map = false;
  std::vector<model_config> out(6, plain);
  out[0].scaling = {.type = rope_scaling::kind::llama3, .factor = 8, .original_max_position_embeddings = 64};
  out[1].family = model_family::qwen2, out[1].qkv_bias = true;
  out[1].scaling = {.type = rope_scaling::kind::yarn,
                    .factor = 4,
                    .original_max_position_embeddings = 40,
                    .attention_factor = 1.14};
  out[2].family = model_family::qwen3, out[2].qk_norm = true, out[2].head_dim = 20,
  out[2].tie_word_embeddings = false;
  out[3].family = model_family::mistral, out[3].sliding_window = 19;
  out[4].scaling = {.type = rope_scaling::kind::linear, .factor = 2.5};
  out[4].qkv_bias = out[4].output_bias = true;
  out[5].family = model_family::qwen3, out[5].qk_norm = out[5].qkv_bias = true;
  out[5].sliding_window = 32, out[5].first_window_layer = 1;
  return out;
}

/// What each sequence generates when it is alone in an engine of default limits.
inline std::vector<generated> alone(const weights_ptr& weights,
                                    const std::vector<generate_request>& requests) {
  std::vector<generated> out;
  for (auto& request : requests) {
    const auto engine = engine_with(weights);
    EXPECT_TRUE(engine->submit(request));
    out.push_back(run_all(*engine).at(request.sequence));
  }
  return out;
}

} // namespace troupe

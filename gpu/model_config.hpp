#pragma once

#include "runtime/base/json.hpp"
#include <cstdint>

namespace troupe {

/// The shape of a decoder-only transformer: RMSNorm, rotary positions (RoPE, rotate-half), grouped-query
/// attention, SwiGLU. Names follow Hugging Face's config.json for Llama-shaped models.
struct model_config {
  int vocab_size = 1024;
  int hidden_size = 128;
  int num_hidden_layers = 4;
  int num_attention_heads = 4;
  int num_key_value_heads = 4; ///< divides num_attention_heads
  int head_dim = 32;
  int intermediate_size = 352;
  int max_position_embeddings = 512; ///< the longest context, in tokens
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-5;
  bool tie_word_embeddings = true;
  /// For policies trained from scratch: the input of position t is (E[tok_t] + P E[tok_t-1]) *
  /// sqrt(hidden_size), with P a learned square matrix, and layers 1.. start as induction heads. It makes
  /// copying learnable in minutes (docs/decisions/0004). Off for weights that come from elsewhere.
  bool previous_token_map = false;

  bool operator==(const model_config&) const = default;
};

json::object to_json(const model_config& config);
/// vocab_size, hidden_size, num_hidden_layers, num_attention_heads and intermediate_size must be there;
/// rope_theta may stand inside rope_parameters. Errors: errc::invalid names the key, also one that asks for
/// other mathematics (rope_scaling, biases). An absent optional key keeps its default.
expected<model_config> model_config_from_json(const json::object& from);
/// Errors: errc::invalid names the contradiction (heads not divisible, head_dim odd, a size below 1, ...).
expected<void> check(const model_config& config);

} // namespace troupe

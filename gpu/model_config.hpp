#pragma once

#include "runtime/base/json.hpp"
#include <cstdint>

namespace troupe {

/// Which of Hugging Face's classes a config names: it decides that class's defaults and what config.json is written, and
/// nothing of the mathematics, which the fields of model_config say alone.
enum class model_family : std::uint8_t { llama, mistral, qwen2, qwen3 };

/// How rotary frequencies are changed for contexts longer than a model was first trained on (gpu/rope.hpp has the formulas).
struct rope_scaling {
  enum class kind : std::uint8_t { none, linear, llama3, yarn };
  kind type = kind::none;
  double factor = 1;
  int original_max_position_embeddings = 0;         ///< llama3, yarn
  double low_freq_factor = 1, high_freq_factor = 4; ///< llama3
  double beta_fast = 32, beta_slow = 1;             ///< yarn
  double attention_factor = 1;                      ///< yarn: multiplies cosines and sines
  bool truncate = true;                             ///< yarn: whole numbers as the bounds of its ramp
  bool operator==(const rope_scaling&) const = default;
};

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

  // -- what other families have (Llama 3, Mistral, Qwen)
  model_family family = model_family::llama;
  rope_scaling scaling;
  bool qkv_bias = false;    ///< biases of query, key and value (Qwen2)
  bool output_bias = false; ///< of the attention's output
  bool qk_norm = false;     ///< RMSNorm of each head of query and key before they are turned (Qwen3)
  /// A position sees itself and sliding_window - 1 before it, in the layers from first_window_layer on; 0: all.
  int sliding_window = 0;
  int first_window_layer = 0;

  bool operator==(const model_config&) const = default;
};

/// As config.json of Hugging Face's transformers.
json::object to_json(const model_config& config);
/// vocab_size, hidden_size, num_hidden_layers, num_attention_heads and intermediate_size must be there; an absent key has
/// the default of the family's class in transformers. Both spellings of renamed keys are read (rope_theta and rope_scaling, or
/// rope_parameters). Errors: errc::invalid names the key, also one that asks for other mathematics.
expected<model_config> model_config_from_json(const json::object& from);
/// Errors: errc::invalid names the contradiction (heads not divisible, head_dim odd, a size below 1, ...).
expected<void> check(const model_config& config);
/// Whether it has nothing of what only other families have.
bool is_plain(const model_config& config);

} // namespace troupe

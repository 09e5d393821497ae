#include "gpu/model_config.hpp"

#include <cmath>

namespace troupe {

expected<void> check(const model_config& c) {
  const std::pair<const char*, int> sizes[] = {
      {"vocab_size", c.vocab_size},
      {"hidden_size", c.hidden_size},
      {"num_hidden_layers", c.num_hidden_layers},
      {"num_attention_heads", c.num_attention_heads},
      {"num_key_value_heads", c.num_key_value_heads},
      {"head_dim", c.head_dim},
      {"intermediate_size", c.intermediate_size},
      {"max_position_embeddings", c.max_position_embeddings},
  };
  for (auto [name, size] : sizes)
    if (size < 1 || size > 1 << 24)
      return fail(errc::invalid, std::string("model config: ") + name + " is " + std::to_string(size) +
                                     ", expected 1 to 16777216");
  if (c.num_hidden_layers > 2048) // names of tensors are made before any file is asked
    return fail(errc::invalid, "model config: num_hidden_layers is " + std::to_string(c.num_hidden_layers) +
                                   ", expected at most 2048");
  if (std::int64_t{c.max_position_embeddings} * c.head_dim > 1 << 30) // the table of rotary angles
    return fail(errc::invalid, "model config: max_position_embeddings times head_dim is " +
                                   std::to_string(std::int64_t{c.max_position_embeddings} * c.head_dim) +
                                   ", expected at most 1073741824");
  if (c.num_attention_heads % c.num_key_value_heads != 0)
    return fail(errc::invalid, "model config: num_attention_heads is " +
                                   std::to_string(c.num_attention_heads) +
                                   ", expected a multiple of num_key_value_heads, which is " +
                                   std::to_string(c.num_key_value_heads));
  if (c.head_dim % 2 != 0)
    return fail(errc::invalid, "model config: head_dim is " + std::to_string(c.head_dim) +
                                   ", expected an even number: rotary positions turn pairs");
  if (!(c.rope_theta > 1.0) || !std::isfinite(c.rope_theta))
    return fail(errc::invalid,
                "model config: rope_theta is " + std::to_string(c.rope_theta) + ", expected more than 1");
  if (!(c.rms_norm_eps > 0.0) || !(c.rms_norm_eps < 1.0))
    return fail(errc::invalid, "model config: rms_norm_eps is " + std::to_string(c.rms_norm_eps) +
                                   ", expected more than 0 and less than 1");
  const auto& r = c.scaling;
  for (auto [name, value] : {std::pair{"factor", r.factor},
                             {"attention_factor", r.attention_factor},
                             {"low_freq_factor", r.low_freq_factor},
                             {"high_freq_factor", r.high_freq_factor},
                             {"beta_fast", r.beta_fast},
                             {"beta_slow", r.beta_slow}})
    if (!(value > 0) || !std::isfinite(value))
      return fail(errc::invalid, std::string("model config: ") + name + " of rope_scaling is " +
                                     std::to_string(value) + ", expected more than 0");
  const bool needs_original = r.type == rope_scaling::kind::llama3 || r.type == rope_scaling::kind::yarn;
  if (needs_original && (r.original_max_position_embeddings < 1 || r.high_freq_factor <= r.low_freq_factor))
    return fail(errc::invalid, "model config: original_max_position_embeddings of rope_scaling is " +
                                   std::to_string(r.original_max_position_embeddings) + ", low_freq_factor " +
                                   std::to_string(r.low_freq_factor) + ", high_freq_factor " +
                                   std::to_string(r.high_freq_factor) +
                                   ", expected a length, and a high factor above the low one");
  if (c.sliding_window < 0 || c.first_window_layer < 0)
    return fail(errc::invalid, "model config: sliding_window is " + std::to_string(c.sliding_window) +
                                   " from layer " + std::to_string(c.first_window_layer) +
                                   ", expected numbers from 0");
  if (c.previous_token_map && !is_plain(c))
    return fail(
        errc::invalid,
        "model config: previous_token_map is for policies made from scratch, this is another family's model");
  return {};
}

bool is_plain(const model_config& c) {
  return c.family == model_family::llama && c.scaling == rope_scaling{} && !c.qkv_bias && !c.output_bias &&
         !c.qk_norm && c.sliding_window == 0;
}

} // namespace troupe

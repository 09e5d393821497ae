#include "gpu/model_config.hpp"

#include <cmath>
#include <limits>

namespace troupe {

namespace {

/// Reads the keys of one object, keeping the first error.
class reader {
public:
  explicit reader(const json::object& from) : from_(from) {}

  bool has(std::string_view key) const {
    const auto* found = from_.if_contains(key);
    return found && !found->is_null();
  }

  void required(std::string_view key, int& to) {
    if (has(key)) return optional(key, to);
    note(error{errc::invalid,
               "model config: \"" + std::string(key) + "\" is missing, expected a whole number"});
  }

  void optional(std::string_view key, int& to) {
    if (!has(key)) return;
    auto got = json::int_at(from_, key);
    if (!got) return note(got.error());
    if (*got < std::numeric_limits<int>::min() || *got > std::numeric_limits<int>::max())
      return note(error{errc::invalid, "model config: \"" + std::string(key) + "\" is " +
                                           std::to_string(*got) + ", expected a number of at most 31 bits"});
    to = static_cast<int>(*got);
  }

  void optional(std::string_view key, double& to) {
    if (!has(key)) return;
    auto got = json::number_at(from_, key);
    if (!got) return note(got.error());
    to = *got;
  }

  void optional(std::string_view key, bool& to) {
    if (!has(key)) return;
    const auto* found = from_.if_contains(key);
    if (!found->is_bool())
      return note(error{errc::invalid, "model config: \"" + std::string(key) + "\" is a " +
                                           std::string(json::type_name(*found)) + ", expected a boolean"});
    to = found->as_bool();
  }

  /// A key that changes the mathematics in a way this model does not have.
  void refuse_unless(bool fine, std::string_view key, std::string_view wanted) {
    if (!fine)
      note(error{errc::invalid, "model config: \"" + std::string(key) + "\" is " +
                                    json::dump(*from_.if_contains(key)) + ", supported is " +
                                    std::string(wanted)});
  }

  void note(error what) {
    if (first_.message.empty()) first_ = std::move(what);
  }
  bool good() const { return first_.message.empty(); }
  error first() const { return first_; }

private:
  const json::object& from_;
  error first_;
};

} // namespace

json::object to_json(const model_config& c) {
  json::object out;
  out["architectures"] = json::array{"LlamaForCausalLM"};
  out["model_type"] = "llama";
  out["hidden_act"] = "silu";
  out["vocab_size"] = c.vocab_size;
  out["hidden_size"] = c.hidden_size;
  out["num_hidden_layers"] = c.num_hidden_layers;
  out["num_attention_heads"] = c.num_attention_heads;
  out["num_key_value_heads"] = c.num_key_value_heads;
  out["head_dim"] = c.head_dim;
  out["intermediate_size"] = c.intermediate_size;
  out["max_position_embeddings"] = c.max_position_embeddings;
  out["rope_theta"] = c.rope_theta;
  out["rms_norm_eps"] = c.rms_norm_eps;
  out["tie_word_embeddings"] = c.tie_word_embeddings;
  out["torch_dtype"] = "float32";
  if (c.previous_token_map) out["previous_token_map"] = true;
  return out;
}

expected<model_config> model_config_from_json(const json::object& from) {
  model_config c;
  reader in(from);
  in.required("vocab_size", c.vocab_size);
  in.required("hidden_size", c.hidden_size);
  in.required("num_hidden_layers", c.num_hidden_layers);
  in.required("num_attention_heads", c.num_attention_heads);
  in.required("intermediate_size", c.intermediate_size);
  c.num_key_value_heads = c.num_attention_heads; // the defaults that Hugging Face gives these two
  c.head_dim = c.num_attention_heads > 0 ? c.hidden_size / c.num_attention_heads : c.head_dim;
  in.optional("num_key_value_heads", c.num_key_value_heads);
  in.optional("head_dim", c.head_dim);
  in.optional("max_position_embeddings", c.max_position_embeddings);
  in.optional("rope_theta", c.rope_theta);
  in.optional("rms_norm_eps", c.rms_norm_eps);
  in.optional("tie_word_embeddings", c.tie_word_embeddings);
  in.optional("previous_token_map", c.previous_token_map);
  if (in.has("rope_parameters")) { // the newer spelling of rope_theta
    if (auto rope = json::object_at(from, "rope_parameters"); !rope) {
      in.note(rope.error());
    } else {
      reader inner(**rope);
      inner.optional("rope_theta", c.rope_theta);
      if (inner.has("rope_type"))
        inner.refuse_unless((*rope)->at("rope_type") == "default", "rope_type", "\"default\"");
      if (!inner.good()) in.note(inner.first());
    }
  }
  if (in.has("rope_scaling")) in.refuse_unless(false, "rope_scaling", "null");
  if (in.has("hidden_act")) in.refuse_unless(from.at("hidden_act") == "silu", "hidden_act", "\"silu\"");
  for (std::string_view key : {"attention_bias", "mlp_bias"})
    if (in.has(key)) in.refuse_unless(from.at(key) == false, key, "false");
  if (!in.good()) return fail(in.first());
  if (auto fine = check(c); !fine) return fail(fine.error());
  return c;
}

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
  return {};
}

} // namespace troupe

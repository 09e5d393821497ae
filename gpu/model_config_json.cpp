#include "gpu/model_config.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace troupe {

namespace {

/// What a class of transformers is called and which values it gives to absent keys.
struct family_facts {
  model_family family;
  std::string_view type, architecture;
  int positions, key_value_heads, head_dim; ///< 0: as many as attention heads; hidden_size / heads
};
constexpr std::array<family_facts, 4> families{{
    {model_family::llama, "llama", "LlamaForCausalLM", 2048, 0, 0},
    {model_family::mistral, "mistral", "MistralForCausalLM", 131072, 8, 0},
    {model_family::qwen2, "qwen2", "Qwen2ForCausalLM", 32768, 32, 0},
    {model_family::qwen3, "qwen3", "Qwen3ForCausalLM", 32768, 32, 128},
}};

const family_facts& facts(model_family family) {
  return *std::find_if(families.begin(), families.end(), [&](auto& f) { return f.family == family; });
}

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

  /// A number that must be there for this kind of scaling.
  void required(std::string_view key, double& to) {
    if (has(key)) return optional(key, to);
    note(error{errc::invalid, "model config: \"" + std::string(key) + "\" is missing, expected a number"});
  }

  const json::value* get(std::string_view key) const { return has(key) ? from_.if_contains(key) : nullptr; }

  void note(error what) {
    if (first_.message.empty()) first_ = std::move(what);
  }
  bool good() const { return first_.message.empty(); }
  error first() const { return first_; }

private:
  const json::object& from_;
  error first_;
};

expected<model_family> read_family(const json::object& from) {
  std::string known;
  for (auto& f : families) known += (known.empty() ? "" : ", ") + std::string(f.type);
  if (const auto* type = from.if_contains("model_type"); type && !type->is_null()) {
    for (auto& f : families)
      if (*type == json::value(f.type)) return f.family;
    return fail(errc::invalid,
                "model config: \"model_type\" is " + json::dump(*type) + ", supported are " + known);
  }
  const auto* named = from.if_contains("architectures");
  const auto* list = named ? named->if_array() : nullptr;
  if (!list || list->empty()) return model_family::llama; // older files of Troupe's own
  for (auto& f : families)
    if ((*list)[0] == json::value(f.architecture)) return f.family;
  return fail(errc::invalid, "model config: \"architectures\" is " + json::dump(*named) +
                                 ", supported are those of " + known);
}

/// transformers' modeling_rope_utils: the same defaults, the same order of precedence.
void read_scaling(reader& in, const json::object& from, model_config& c) {
  const auto* type = in.get("rope_type");
  if (!type) type = in.get("type"); // the older spelling
  if (!type || *type == "default") return;
  auto& to = c.scaling;
  in.required("factor", to.factor);
  if (*type == "linear") {
    to.type = rope_scaling::kind::linear;
  } else if (*type == "llama3") {
    to.type = rope_scaling::kind::llama3;
    in.required("low_freq_factor", to.low_freq_factor);
    in.required("high_freq_factor", to.high_freq_factor);
    in.required("original_max_position_embeddings", to.original_max_position_embeddings);
  } else if (*type == "yarn") {
    to.type = rope_scaling::kind::yarn;
    to.original_max_position_embeddings = c.max_position_embeddings;
    in.optional("original_max_position_embeddings", to.original_max_position_embeddings);
    in.optional("beta_fast", to.beta_fast);
    in.optional("beta_slow", to.beta_slow);
    in.optional("truncate", to.truncate);
    double mscale = 0, mscale_all = 0;
    in.optional("mscale", mscale);
    in.optional("mscale_all_dim", mscale_all);
    const auto scale = [&](double m) { return to.factor <= 1 ? 1.0 : 0.1 * m * std::log(to.factor) + 1.0; };
    to.attention_factor = mscale != 0 && mscale_all != 0 ? scale(mscale) / scale(mscale_all) : scale(1);
    in.optional("attention_factor", to.attention_factor);
  } else {
    in.refuse_unless(false, from.contains("rope_type") ? "rope_type" : "type",
                     "default, linear, llama3 or yarn");
  }
}

void read_rope(reader& in, const json::object& from, model_config& c) {
  in.optional("rope_theta", c.rope_theta);
  double part = 1;
  in.optional("partial_rotary_factor", part);
  for (std::string_view key : {"rope_scaling", "rope_parameters"}) { // the newer one counts where both are
    if (!in.has(key)) continue;
    const auto rope = json::object_at(from, key);
    if (!rope) {
      in.note(rope.error());
      continue;
    }
    reader inner(**rope);
    inner.optional("rope_theta", c.rope_theta);
    inner.optional("partial_rotary_factor", part);
    c.scaling = {};
    if (key == "rope_scaling" && !inner.has("rope_type") && !inner.has("type"))
      inner.note(error{errc::invalid, "model config: \"rope_scaling\" has no rope_type"});
    read_scaling(inner, **rope, c);
    if (!inner.good()) in.note(inner.first());
  }
  if (part != 1)
    in.note(error{errc::invalid,
                  "model config: \"partial_rotary_factor\" is " + std::to_string(part) + ", supported is 1"});
}

/// Which layers see a window only: those from one layer on, however that is said.
void read_window(reader& in, const json::object& from, model_config& c) {
  int window = c.family == model_family::mistral && !from.contains("sliding_window") ? 4096 : 0;
  in.optional("sliding_window", window);
  if (c.family == model_family::llama) return; // that class ignores the key
  bool used = c.family == model_family::mistral;
  int first = used ? 0 : 28;
  if (!used) {
    in.optional("use_sliding_window", used);
    in.optional("max_window_layers", first);
    if (const auto* types = in.get("layer_types"); types && types->is_array() && used) {
      const auto& list = types->as_array();
      const auto found = std::find(list.begin(), list.end(), json::value("sliding_attention"));
      first = static_cast<int>(found - list.begin());
      const bool fine =
          std::all_of(found, list.end(), [](auto& t) { return t == json::value("sliding_attention"); }) &&
          std::all_of(list.begin(), found, [](auto& t) { return t == json::value("full_attention"); });
      in.refuse_unless(fine, "layer_types",
                       "full_attention in the first layers and sliding_attention in all later ones");
    }
  }
  if (!used || window == 0 || first >= c.num_hidden_layers) return;
  c.sliding_window = window;
  c.first_window_layer = first;
}

json::object scaling_json(const rope_scaling& r) {
  using kind = rope_scaling::kind;
  json::object out{{"rope_type", r.type == kind::linear   ? "linear"
                                 : r.type == kind::llama3 ? "llama3"
                                                          : "yarn"},
                   {"factor", r.factor}};
  if (r.type != kind::linear) out["original_max_position_embeddings"] = r.original_max_position_embeddings;
  if (r.type == kind::llama3) {
    out["low_freq_factor"] = r.low_freq_factor;
    out["high_freq_factor"] = r.high_freq_factor;
  }
  if (r.type == kind::yarn) {
    out["beta_fast"] = r.beta_fast;
    out["beta_slow"] = r.beta_slow;
    out["attention_factor"] = r.attention_factor;
    out["truncate"] = r.truncate;
  }
  return out;
}

} // namespace

json::object to_json(const model_config& c) {
  const auto& family = facts(c.family);
  json::object out;
  out["architectures"] = json::array{family.architecture};
  out["model_type"] = family.type;
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
  if (c.scaling.type != rope_scaling::kind::none) out["rope_scaling"] = scaling_json(c.scaling);
  if (c.family != model_family::qwen2 && c.output_bias) out["attention_bias"] = true;
  if (c.family != model_family::llama) {
    if (c.sliding_window > 0)
      out["sliding_window"] = c.sliding_window;
    else
      out["sliding_window"] = nullptr;
  }
  if (c.family == model_family::qwen2 || c.family == model_family::qwen3) {
    out["use_sliding_window"] = c.sliding_window > 0;
    out["max_window_layers"] = c.first_window_layer;
  }
  return out;
}

expected<model_config> model_config_from_json(const json::object& from) {
  const auto family = read_family(from);
  if (!family) return fail(family.error());
  const auto& defaults = facts(*family);
  model_config c{.rms_norm_eps = 1e-6, .tie_word_embeddings = false, .family = *family};
  reader in(from);
  in.required("vocab_size", c.vocab_size);
  in.required("hidden_size", c.hidden_size);
  in.required("num_hidden_layers", c.num_hidden_layers);
  in.required("num_attention_heads", c.num_attention_heads);
  in.required("intermediate_size", c.intermediate_size);
  c.num_key_value_heads = defaults.key_value_heads ? defaults.key_value_heads : c.num_attention_heads;
  c.max_position_embeddings = defaults.positions;
  if (defaults.head_dim)
    c.head_dim = defaults.head_dim;
  else if (c.num_attention_heads > 0)
    c.head_dim = c.hidden_size / c.num_attention_heads;
  in.optional("num_key_value_heads", c.num_key_value_heads);
  in.optional("head_dim", c.head_dim);
  in.optional("max_position_embeddings", c.max_position_embeddings);
  in.optional("rms_norm_eps", c.rms_norm_eps);
  in.optional("tie_word_embeddings", c.tie_word_embeddings);
  in.optional("previous_token_map", c.previous_token_map);
  read_rope(in, from, c);
  read_window(in, from, c);
  bool bias = false;
  in.optional("attention_bias", bias);
  c.qkv_bias = bias || c.family == model_family::qwen2;
  c.output_bias = bias && c.family != model_family::qwen2 && c.family != model_family::mistral;
  c.qk_norm = c.family == model_family::qwen3;
  if (c.family == model_family::mistral) c.qkv_bias = false; // these two classes have no such key
  if (const auto* activation = in.get("hidden_act"))
    in.refuse_unless(*activation == "silu", "hidden_act", "\"silu\"");
  if (const auto* mlp = in.get("mlp_bias")) in.refuse_unless(*mlp == false, "mlp_bias", "false");
  if (in.has("quantization_config"))
    in.refuse_unless(false, "quantization_config", "none: the weights must be float32, bfloat16 or float16");
  if (!in.good()) return fail(in.first());
  if (auto fine = check(c); !fine) return fail(fine.error());
  return c;
}

} // namespace troupe

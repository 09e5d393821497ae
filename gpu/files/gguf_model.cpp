#include "gpu/files/gguf_model.hpp"

#include "gpu/files/hf_model.hpp"
#include "gpu/files/mapped_file.hpp"
#include "gpu/rope.hpp"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace troupe {

namespace {

/// Reads "ARCHITECTURE.key", keeping the first error.
class keys {
public:
  keys(const gguf_contents& from, std::string architecture)
      : from_(from), prefix_(std::move(architecture) + ".") {}
  bool has(const std::string& key) const { return from_.has(prefix_ + key); }
  void integer(const std::string& key, int& to, bool required) {
    if (!required && !has(key)) return;
    const auto got = from_.integer(prefix_ + key);
    if (!got) return note(got.error());
    if (*got < 0 || *got > std::numeric_limits<int>::max())
      return note({errc::invalid, "\"" + prefix_ + key + "\" is " + std::to_string(*got)});
    to = static_cast<int>(*got);
  }
  void number(const std::string& key, double& to, bool required) {
    if (!required && !has(key)) return;
    const auto got = from_.number(prefix_ + key);
    got ? void(to = *got) : note(got.error());
  }
  std::string text(const std::string& key) const { return from_.text(prefix_ + key).value_or(""); }
  void note(error what) {
    if (first_.message.empty()) first_ = std::move(what);
  }
  const error& first() const { return first_; }

private:
  const gguf_contents& from_;
  std::string prefix_;
  error first_;
};

const gguf_tensor* find(const gguf_contents& in, std::string_view name) {
  const auto found =
      std::find_if(in.tensors.begin(), in.tensors.end(), [&](auto& t) { return t.name == name; });
  return found == in.tensors.end() ? nullptr : &*found;
}

/// Llama 3.1's scaling is in the file as a divisor for each pair (rope_freqs.weight). It is known by them: those of
/// Llama 3.1 and 3.3 (factor 8) and of 3.2 (factor 32).
expected<void> read_rope_divisors(const gguf_tensor& tensor, model_config& c) {
  const auto divisors = dequantised(tensor).data;
  const auto plain = rope_frequencies_of(c);
  for (double factor : {8.0, 32.0}) {
    auto scaled = c;
    scaled.scaling = {
        .type = rope_scaling::kind::llama3, .factor = factor, .original_max_position_embeddings = 8192};
    const auto wanted = rope_frequencies_of(scaled);
    bool same = divisors.size() == wanted.per_pair.size();
    for (std::size_t i = 0; i < divisors.size() && same; ++i)
      same = std::abs(plain.per_pair[i] / wanted.per_pair[i] / double{divisors[i]} - 1) < 1e-4;
    if (same) return c.scaling = scaled.scaling, expected<void>{};
  }
  return fail(errc::invalid,
              "rope_freqs.weight is not of a known scaling of rotary positions (Llama 3.1, 3.2, 3.3)");
}

struct tensor_name {
  std::string name;    ///< Hugging Face's; empty: not known
  bool turned = false; ///< rows in the order of interleaved rotary positions, in the architecture llama
};

tensor_name hugging_face_name(std::string_view name) {
  if (name == "token_embd.weight") return {"model.embed_tokens.weight"};
  if (name == "output_norm.weight") return {"model.norm.weight"};
  if (name == "output.weight") return {"lm_head.weight"};
  constexpr std::pair<std::string_view, std::string_view> parts[] = {
      {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
      {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
      {"attn_output", "self_attn.o_proj"}, {"ffn_norm", "post_attention_layernorm"},
      {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
      {"ffn_down", "mlp.down_proj"},       {"attn_q_norm", "self_attn.q_norm"},
      {"attn_k_norm", "self_attn.k_norm"},
  };
  if (!name.starts_with("blk.")) return {};
  const auto layer_end = name.find('.', 4), part_end = name.rfind('.');
  if (layer_end == name.npos || part_end <= layer_end) return {};
  const auto layer = name.substr(4, layer_end - 4),
             part = name.substr(layer_end + 1, part_end - layer_end - 1);
  for (auto& [theirs, ours] : parts)
    if (part == theirs)
      return {"model.layers." + std::string(layer) + "." + std::string(ours) +
                  std::string(name.substr(part_end)),
              part == "attn_q" || part == "attn_k"};
  return {};
}

/// llama.cpp's converter puts dimension i of a head at 2i and i + half at 2i + 1; this says where a row is in the file.
std::size_t turned_row(std::size_t row, int head_dim) {
  const auto width = static_cast<std::size_t>(head_dim), half = width / 2;
  const auto head = row / width * width, at = row % width;
  return head + (at < half ? 2 * at : 2 * (at - half) + 1);
}

/// Rows of `size` bytes in Hugging Face's order.
std::string turned_back(std::string_view rows, std::size_t count, int head_dim) {
  const auto size = rows.size() / count;
  std::string out;
  out.reserve(rows.size());
  for (std::size_t row = 0; row < count; ++row) out += rows.substr(turned_row(row, head_dim) * size, size);
  return out;
}

void turn_back(host_tensor& t, int head_dim) {
  const auto back = turned_back({reinterpret_cast<const char*>(t.data.data()), t.data.size() * sizeof(float)},
                                static_cast<std::size_t>(t.shape[0]), head_dim);
  std::memcpy(t.data.data(), back.data(), back.size());
}

stored_tensor kept(const gguf_tensor& from, std::shared_ptr<const void> owner, bool turned, int head_dim) {
  if (!turned) return {from.shape, from.type, from.data, std::move(owner)};
  const auto back = std::make_shared<const std::string>(
      turned_back(from.data, static_cast<std::size_t>(from.shape[0]), head_dim));
  return {from.shape, from.type, *back, back};
}

} // namespace

expected<model_config> gguf_config(const gguf_contents& from) {
  const auto architecture = from.text("general.architecture");
  if (!architecture) return fail(architecture.error());
  model_config c{.tie_word_embeddings = find(from, "output.weight") == nullptr};
  if (*architecture == "qwen2")
    c.family = model_family::qwen2;
  else if (*architecture == "qwen3")
    c.family = model_family::qwen3;
  else if (*architecture != "llama")
    return fail(errc::invalid,
                "general.architecture is \"" + *architecture + "\", supported are llama, qwen2 and qwen3");
  keys in(from, *architecture);
  in.integer("block_count", c.num_hidden_layers, true);
  in.integer("embedding_length", c.hidden_size, true);
  in.integer("feed_forward_length", c.intermediate_size, true);
  in.integer("attention.head_count", c.num_attention_heads, true);
  in.integer("context_length", c.max_position_embeddings, true);
  in.number("attention.layer_norm_rms_epsilon", c.rms_norm_eps, true);
  in.number("rope.freq_base", c.rope_theta, false);
  c.num_key_value_heads = c.num_attention_heads;
  in.integer("attention.head_count_kv", c.num_key_value_heads, false);
  c.head_dim = c.num_attention_heads > 0 ? c.hidden_size / c.num_attention_heads : 0;
  in.integer("attention.key_length", c.head_dim, false);
  int value_length = c.head_dim, turned = c.head_dim;
  in.integer("attention.value_length", value_length, false);
  in.integer("rope.dimension_count", turned, false);
  if (value_length != c.head_dim || turned != c.head_dim)
    in.note({errc::invalid, "heads of " + std::to_string(c.head_dim) + " dimensions with values of " +
                                std::to_string(value_length) + " and " + std::to_string(turned) +
                                " rotary ones, supported are equal numbers"});
  in.integer("attention.sliding_window", c.sliding_window, false);
  // llama.cpp calls Mistral a llama; of Hugging Face's two classes only Mistral's has a window
  if (*architecture == "llama" && c.sliding_window > 0) c.family = model_family::mistral;
  if (in.has("expert_count")) {
    int experts = 0;
    in.integer("expert_count", experts, false);
    if (experts > 0)
      in.note({errc::invalid, "a mixture of " + std::to_string(experts) + " experts is not supported"});
  }
  if (const auto type = in.text("rope.scaling.type"); !type.empty() && type != "none") {
    auto& s = c.scaling;
    s.type = type == "yarn" ? rope_scaling::kind::yarn : rope_scaling::kind::linear;
    if (type != "yarn" && type != "linear")
      in.note({errc::invalid, "rope.scaling.type is \"" + type + "\", supported are none, linear and yarn"});
    in.number("rope.scaling.factor", s.factor, true);
    if (type == "yarn") {
      s.original_max_position_embeddings = c.max_position_embeddings;
      in.integer("rope.scaling.original_context_length", s.original_max_position_embeddings, false);
      s.attention_factor = s.factor <= 1 ? 1 : 0.1 * std::log(s.factor) + 1;
    }
  }
  const auto* embedding = find(from, "token_embd.weight");
  if (!embedding || embedding->shape.size() != 2)
    return fail(errc::corrupt, "tensor \"token_embd.weight\" is missing, or no matrix");
  c.vocab_size =
      static_cast<int>(std::min<std::int64_t>(embedding->shape[0], std::numeric_limits<int>::max()));
  c.qkv_bias = find(from, "blk.0.attn_q.bias") != nullptr;
  c.output_bias = find(from, "blk.0.attn_output.bias") != nullptr;
  c.qk_norm = find(from, "blk.0.attn_q_norm.weight") != nullptr;
  if (!in.first().message.empty()) return fail(in.first());
  if (auto fine = check(c); !fine) return fail(fine.error());
  if (const auto* divisors = find(from, "rope_freqs.weight"))
    if (auto read = read_rope_divisors(*divisors, c); !read) return fail(read.error());
  return c;
}

expected<model_weights> gguf_weights(const gguf_contents& from, std::shared_ptr<const void> owner) {
  const auto config = gguf_config(from);
  if (!config) return fail(config.error());
  model_weights out{.config = *config, .tensors = {}};
  const auto shapes = expected_shapes(*config);
  for (auto& tensor : from.tensors) {
    if (tensor.name == "rope_freqs.weight") continue;
    const auto known = hugging_face_name(tensor.name);
    const auto wanted = shapes.find(known.name);
    if (wanted == shapes.end())
      return fail(errc::corrupt, "tensor \"" + tensor.name + "\" is none that the metadata asks for");
    if (tensor.shape != wanted->second)
      return fail(errc::corrupt, "tensor \"" + tensor.name + "\" has shape " +
                                     json::dump(json::array(tensor.shape.begin(), tensor.shape.end())) +
                                     ", the metadata asks for " +
                                     json::dump(json::array(wanted->second.begin(), wanted->second.end())));
    const bool turned =
        known.turned && from.text("general.architecture").value_or("") == "llama"; // Mistral, too
    if (out.tensors.contains(known.name) || out.stored.contains(known.name))
      return fail(errc::corrupt, "tensor \"" + tensor.name + "\" is there twice");
    if (owner && tensor.shape.size() == 2) {
      out.stored.emplace(known.name, kept(tensor, owner, turned, config->head_dim));
      continue;
    }
    auto values = dequantised(tensor);
    if (turned) turn_back(values, config->head_dim);
    out.tensors.emplace(known.name, std::move(values));
  }
  if (auto fine = check_tensors(out, "the file"); !fine) return fail(fine.error());
  return out;
}

expected<gguf_model> load_gguf_model(const std::filesystem::path& file, tensor_form form) {
  auto opened = mapped_file::open(file);
  if (!opened) return fail(opened.error());
  const auto map = std::make_shared<const mapped_file>(std::move(*opened));
  const auto contents = parse_gguf(map->bytes(), file.string());
  if (!contents) return fail(contents.error());
  auto weights = gguf_weights(*contents, form == tensor_form::as_stored ? map : nullptr);
  if (!weights) return fail(weights.error().code, file.string() + ": " + weights.error().message);
  gguf_model out{.weights = std::move(*weights),
                 .words = {},
                 .chat_template = contents->text("tokenizer.chat_template").value_or(""),
                 .bos = -1,
                 .ends = {}};
  if (!contents->has("tokenizer.ggml.model")) return out;
  auto words = gguf_tokenizer(*contents, file.string());
  if (!words) return fail(words.error());
  if (words->vocab_size() > out.weights.config.vocab_size)
    return fail(errc::corrupt, file.string() + ": its tokenizer has " + std::to_string(words->vocab_size()) +
                                   " tokens, its embedding " + std::to_string(out.weights.config.vocab_size) +
                                   " rows");
  out.words = std::move(*words);
  const auto id = [&](const char* key) {
    const auto found = contents->integer(key);
    return found && *found >= 0 && *found < out.weights.config.vocab_size ? static_cast<token>(*found) : -1;
  };
  out.bos = id("tokenizer.ggml.bos_token_id");
  for (const auto* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"})
    if (const auto end = id(key); end >= 0 && (out.ends.empty() || out.ends.front() != end))
      out.ends.push_back(end);
  return out;
}

} // namespace troupe

#include "gpu/files/gguf_model.hpp"

namespace troupe {

namespace {

constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view tekken_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view deepseek_words = R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^)"
                                            "\r\n"
                                            R"(\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[)"
                                            "\r\n"
                                            R"(]*|\s*[)"
                                            "\r\n"
                                            R"(]+|\s+(?!\S)|\s+)";

json::object byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

json::object split(std::string_view pattern) {
  return {{"type", "Split"},
          {"pattern", json::object{{"Regex", pattern}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

json::object sequence(json::array parts) {
  return {{"type", "Sequence"}, {"pretokenizers", std::move(parts)}};
}

/// What a name in "tokenizer.ggml.pre" stands for in llama.cpp.
struct pre_kind {
  json::object splits;
  bool nfc = false, ignore_merges = false, adds_bos = false;
};

expected<pre_kind> pre_kind_of(const std::string& name) {
  if (name == "gpt-2" || name == "default") return pre_kind{byte_level(true)};
  if (name == "smollm")
    return pre_kind{
        sequence({json::object{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)})};
  if (name == "llama-bpe" || name == "llama3" || name == "llama-v3")
    return pre_kind{sequence({split(llama3_pattern), byte_level(false)}), false, true, true};
  if (name == "qwen2") return pre_kind{sequence({split(qwen2_pattern), byte_level(false)}), true};
  if (name == "tekken")
    return pre_kind{sequence({split(tekken_pattern), byte_level(false)}), false, true, true};
  if (name == "deepseek-v3")
    return pre_kind{sequence({split(R"(\p{N}{1,3})"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
                              split(deepseek_words), byte_level(false)})};
  return fail(errc::invalid, "tokenizer.ggml.pre is \"" + name +
                                 "\", supported are gpt-2, smollm, llama-bpe, qwen2, tekken and deepseek-v3");
}

const json::array* list(const gguf_contents& from, std::string_view key) {
  const auto found = from.metadata.find(key);
  return found == from.metadata.end() ? nullptr : found->second.if_array();
}

/// The name of the token that a key gives the id of; empty where it is not to be added.
std::string frame_token(const gguf_contents& from, const char* add_key, const char* id_key, bool absent,
                        const json::array& tokens) {
  const auto given = from.metadata.find(add_key);
  const bool wanted =
      given != from.metadata.end() && given->second.is_bool() ? given->second.as_bool() : absent;
  const auto id = from.integer(id_key);
  if (!wanted || !id || *id < 0 || *id >= static_cast<std::int64_t>(tokens.size()) ||
      !tokens[static_cast<std::size_t>(*id)].is_string())
    return {};
  return std::string(tokens[static_cast<std::size_t>(*id)].as_string());
}

json::value frame(const gguf_contents& from, const pre_kind& kind, const json::array& tokens) {
  const auto before =
      frame_token(from, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", kind.adds_bos, tokens);
  const auto after =
      frame_token(from, "tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", false, tokens);
  if (before.empty() && after.empty()) return nullptr;
  json::array single;
  json::object known;
  const auto add = [&](const std::string& name, const char* id_key) {
    if (name.empty()) return;
    single.push_back(json::object{{"SpecialToken", json::object{{"id", name}, {"type_id", 0}}}});
    known[name] = json::object{
        {"id", name}, {"ids", json::array{from.integer(id_key).value_or(0)}}, {"tokens", json::array{name}}};
  };
  add(before, "tokenizer.ggml.bos_token_id");
  single.push_back(json::object{{"Sequence", json::object{{"id", "A"}, {"type_id", 0}}}});
  add(after, "tokenizer.ggml.eos_token_id");
  return json::object{{"type", "TemplateProcessing"},
                      {"single", single},
                      {"pair", single},
                      {"special_tokens", std::move(known)}};
}

} // namespace

/// Makes the tokenizer.json that the metadata means, and reads that.
expected<tokenizer> gguf_tokenizer(const gguf_contents& from, const std::string& name) {
  const auto bad = [&](const std::string& why, errc code = errc::corrupt) {
    return fail(code, name + ": " + why);
  };
  const auto model = from.text("tokenizer.ggml.model");
  if (!model || *model != "gpt2")
    return bad("tokenizer.ggml.model is " + (model ? "\"" + *model + "\"" : "missing") +
                   ", supported is gpt2, byte-level BPE",
               errc::invalid);
  const auto kind = pre_kind_of(from.text("tokenizer.ggml.pre").value_or("default"));
  if (!kind) return bad(kind.error().message, errc::invalid);
  const auto *tokens = list(from, "tokenizer.ggml.tokens"), *merges = list(from, "tokenizer.ggml.merges"),
             *types = list(from, "tokenizer.ggml.token_type");
  if (!tokens || !merges) return bad("tokenizer.ggml.tokens or tokenizer.ggml.merges is missing");
  if (types && types->size() != tokens->size())
    return bad("tokenizer.ggml.token_type has " + std::to_string(types->size()) + " entries for " +
               std::to_string(tokens->size()) + " tokens");
  constexpr int unknown = 2, control = 3, user_defined = 4, unused = 5;
  json::object vocab;
  json::array added;
  for (std::size_t id = 0; id < tokens->size(); ++id) {
    const auto* text = (*tokens)[id].if_string();
    const auto* type = types ? (*types)[id].if_int64() : nullptr;
    if (!text || (types && !type)) return bad("token " + std::to_string(id) + " has no name or no type");
    if (type && (*type == unknown || *type == control || *type == user_defined)) {
      added.push_back(json::object{{"id", static_cast<std::int64_t>(id)},
                                   {"content", *text},
                                   {"single_word", false},
                                   {"lstrip", false},
                                   {"rstrip", false},
                                   {"normalized", false},
                                   {"special", *type != user_defined}});
    } else if (!(type && *type == unused)) {
      if (vocab.contains(*text)) return bad("token \"" + std::string(*text) + "\" is there twice");
      vocab.emplace(*text, static_cast<std::int64_t>(id));
    }
  }
  const json::object root{
      {"added_tokens", std::move(added)},
      {"normalizer", kind->nfc ? json::value(json::object{{"type", "NFC"}}) : json::value(nullptr)},
      {"pre_tokenizer", kind->splits},
      {"post_processor", frame(from, *kind, *tokens)},
      {"decoder", byte_level(true)},
      {"model", json::object{{"type", "BPE"},
                             {"ignore_merges", kind->ignore_merges},
                             {"vocab", std::move(vocab)},
                             {"merges", *merges}}},
  };
  return tokenizer::from_json(root, name);
}

} // namespace troupe

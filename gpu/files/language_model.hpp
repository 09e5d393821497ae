#pragma once

#include "gpu/chat/chat_template.hpp"
#include "gpu/engine_core.hpp"
#include <filesystem>
#include <optional>

namespace troupe {

/// A model with what it takes to talk with it. Immutable once loaded; shared by whoever uses it.
struct language_model {
  std::string name; ///< of its folder or file, without the extension
  weights_ptr weights;
  std::shared_ptr<const tokenizer> words;
  std::optional<chat_template> conversation; ///< absent: the model was not trained on conversations
  std::string template_source;               ///< the template's text, by which a family is told
  std::string bos, eos;                      ///< names of tokens, for the template; may be empty
  std::vector<token> ends;                   ///< after any of these a turn is over
  std::vector<token> shown;                  ///< special tokens whose names are part of what it says
  sampling_params sampling;                  ///< how the model's makers would have it sampled
};

/// Reads a folder of Hugging Face's transformers (config.json, safetensors, tokenizer.json, and where they are there tokenizer_config.json,
/// chat_template.jinja, generation_config.json) or a GGUF file. Errors: those of the parts; not_found for a model
/// without a tokenizer; corrupt where the tokenizer has more tokens than the model has rows.
/// As stored, weights are for an engine alone.
expected<language_model> load_language_model(const std::filesystem::path& place,
                                             tensor_form form = tensor_form::float32);

/// The same, but a model without a tokenizer is taken as it is: `words` is null then, and there is no template. For looking at files and
/// for rewriting them.
expected<language_model> load_model_files(const std::filesystem::path& place,
                                          tensor_form form = tensor_form::float32);

/// The tokens of a plain text: names of added tokens are read, and the tokens that the tokenizer puts around a text (a BOS) are added.
std::vector<token> prompt_tokens(const language_model& model, std::string_view text);

struct conversation_input {
  json::array messages; ///< {"role", "content", ...} as OpenAI's chat API has them
  json::array tools{};  ///< {"type": "function", "function": {...}}
  json::object more{};  ///< further variables of the template
  bool add_generation_prompt = true;
  bool continue_last = false; ///< the last message is not closed: generation goes on with it
};
/// The text that the model's template makes of a conversation. Arguments of tool calls that are a string of JSON become the object
/// that templates expect. Errors: invalid, also for a model without a template.
expected<std::string> conversation_text(const language_model& model, const conversation_input& what,
                                        std::int64_t now);

/// The text's tokens: special names in it are the template's own (and, as in every server of such templates, those that a message's
/// text holds).
std::vector<token> conversation_tokens(const language_model& model, std::string_view text);

} // namespace troupe

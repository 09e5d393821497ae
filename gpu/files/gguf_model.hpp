#pragma once

#include "gpu/files/gguf.hpp"
#include "gpu/tokenizer.hpp"
#include <filesystem>
#include <optional>

namespace troupe {

/// What a GGUF file of llama.cpp holds of a model.
struct gguf_model {
  model_weights weights;          ///< named and ordered as Hugging Face has them
  std::optional<tokenizer> words; ///< absent where the file has none
  std::string chat_template;      ///< Jinja; empty: none
  token bos = -1;                 ///< -1: none
  std::vector<token> ends;        ///< of a turn (tokenizer.ggml.eos_token_id, eot_token_id)
};

/// Reads the architectures llama (Mistral too, which llama.cpp calls so), qwen2 and qwen3. The file is mapped. Rows of query and
/// key, which llama.cpp's converter reorders for the llama architecture, are put back in Hugging Face's order (rotate-half). Errors:
/// not_found, io, corrupt, version, invalid (what is not known, by name). As stored, matrices stay in the mapped file.
expected<gguf_model> load_gguf_model(const std::filesystem::path& file,
                                     tensor_form form = tensor_form::float32);

/// The parts of it. Errors: invalid, corrupt.
expected<model_config> gguf_config(const gguf_contents& from);
/// With an owner of the bytes, matrices stay as they are.
expected<model_weights> gguf_weights(const gguf_contents& from, std::shared_ptr<const void> owner = nullptr);
/// A byte-level BPE tokenizer by the metadata "tokenizer.ggml.*", with the pre-tokenizer that "tokenizer.ggml.pre" names (gpt-2, smollm,
/// llama-bpe, qwen2, tekken, deepseek-v3). `name` is for messages.
expected<tokenizer> gguf_tokenizer(const gguf_contents& from, const std::string& name);

} // namespace troupe

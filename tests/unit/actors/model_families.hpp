#pragma once

#include "gpu/files/language_model.hpp"
#include "runtime/base/file.hpp"

#include <string>
#include <vector>

namespace troupe {

inline const std::filesystem::path model_data =
    std::filesystem::path(TROUPE_SOURCE_DIR) / "tests/unit/gpu/data";

/// A family's template with a tokenizer; no weights.
inline language_model family(const std::string& words, const std::string& conversation,
                             const std::string& end) {
  language_model out;
  out.name = conversation;
  out.words =
      std::make_shared<const tokenizer>(*tokenizer::load(model_data / "tokenizers" / (words + ".json")));
  out.template_source = *read_file(model_data / "chat_templates" / (conversation + ".jinja"));
  out.conversation = *chat_template::compile(out.template_source);
  out.eos = end;
  for (const auto* bos : {"<|begin_of_text|>", "<s>"})
    if (out.words->special(bos)) out.bos = bos;
  out.ends = {*out.words->special(end)};
  return out;
}

inline std::vector<language_model> families() {
  return {family("smollm2", "smollm2", "<|im_end|>"), family("qwen3", "qwen2_5", "<|im_end|>"),
          family("qwen3", "qwen3", "<|im_end|>"), family("llama3", "llama3_2", "<|eot_id|>"),
          family("tekken", "mistral_v7", "</s>")};
}

} // namespace troupe

#pragma once

#include "gpu/files/hf_model.hpp"
#include "gpu/files/language_model.hpp"
#include "runtime/base/file.hpp"
#include <limits>
#include <stdexcept>

/// A model of a few thousand random weights in Hugging Face's form, with everything that a server needs: it talks nonsense, the same
/// nonsense every time.
struct tiny_model {
  int context = 256;
  std::uint64_t seed = 1;
  bool broken = false; ///< one of its weights is no number
  std::string chat_template = "{%- if tools %}{{ '<|im_start|>system\\n<tools>' + (tools | tojson) + "
                              "'</tools><|im_end|>\\n' }}{% endif -%}"
                              "{%- for m in messages -%}{{ '<|im_start|>' + m.role + '\\n' + m.content }}"
                              "{%- for c in m.tool_calls or [] -%}{{ '\\n<tool_call>' + (c.function | "
                              "tojson) + '</tool_call>' }}{%- endfor -%}"
                              "{{ '<|im_end|>\\n' }}{%- endfor -%}"
                              "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}";

  /// <|im_end|> is token 1 and ends a turn.
  static const std::vector<std::string>& specials() {
    static const std::vector<std::string> it = {"<|im_start|>", "<|im_end|>"};
    return it;
  }

  void save(const std::filesystem::path& folder) const {
    using namespace troupe;
    const auto must = [](const auto& outcome) {
      if (!outcome) throw std::runtime_error(to_string(outcome.error()));
    };
    std::filesystem::create_directories(folder);
    auto words = tokenizer::train({"the cat sat on the mat and the dog sat on the log, said the frog"}, 290,
                                  specials());
    must(words);
    must(words->save(folder / "tokenizer.json"));
    model_config shape;
    shape.vocab_size = words->vocab_size();
    shape.hidden_size = 32;
    shape.num_hidden_layers = 2;
    shape.num_attention_heads = 2;
    shape.num_key_value_heads = 1;
    shape.head_dim = 16;
    shape.intermediate_size = 48;
    shape.max_position_embeddings = context;
    auto weights = initial_weights(shape, seed);
    if (broken) weights.tensors.at("model.norm.weight").data[0] = std::numeric_limits<float>::quiet_NaN();
    must(save_hf_model(folder, weights));
    must(write_file_atomically(
        folder / "tokenizer_config.json",
        json::dump(json::object{{"eos_token", "<|im_end|>"}, {"chat_template", chat_template}})));
  }
};

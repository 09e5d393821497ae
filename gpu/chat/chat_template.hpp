#pragma once

#include "runtime/base/json.hpp"
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace troupe {

/// How a model wants a conversation written: a Jinja template, as in "chat_template" of tokenizer_config.json, in
/// chat_template.jinja, or in a GGUF file. Rendered as Hugging Face's transformers does with jinja2 (trim_blocks, lstrip_blocks,
/// loop controls, tojson, raise_exception, strftime_now).
///
/// A template comes with a model and is not trusted: it sees the variables and nothing else, cannot change them, and its steps, its
/// text and its depth are bounded.
class chat_template {
public:
  /// Errors: invalid, with the line and what was found.
  static expected<chat_template> compile(std::string_view source);

  /// `variables`: messages, tools, add_generation_prompt, bos_token, ... `now` is the local time in seconds since 1970, for
  /// strftime_now. Errors: invalid, with the line; the template's own raise_exception gives its message.
  expected<std::string> render(const json::object& variables, std::int64_t now) const;

private:
  struct tree;
  std::shared_ptr<const tree> tree_;
};

} // namespace troupe

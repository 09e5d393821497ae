#pragma once

#include "runtime/base/json.hpp"
#include <cstdint>
#include <vector>

namespace troupe {

/// The tokens that tokenizer.json's "post_processor" puts before and after a single text.
struct text_template {
  std::vector<std::int32_t> before, after;
};

/// Knows TemplateProcessing, ByteLevel (which changes offsets only), sequences of these, and null. Errors: invalid.
expected<text_template> read_post_processor(const json::value& from);

} // namespace troupe

#pragma once

#include "runtime/base/json.hpp"
#include <optional>

namespace troupe {

// Parts of OpenAI's chat format, as requests and training data have them.

/// The text of a message's content: a string, several parts of type text joined by line breaks, or nothing (absent, null). nullopt: it is
/// none of these.
std::optional<std::string> content_text(const json::value* content);

/// Whether each is {"type": "function", "function": {"name": .., ..}}. Errors: invalid, naming the first that is not.
expected<void> check_tools(const json::array& tools);

} // namespace troupe

#pragma once

#include "runtime/base/json.hpp"
#include <vector>

namespace troupe {

/// A conversation to learn from: one line of a JSONL file.
struct chat_example {
  std::string place; ///< FILE:LINE, for messages
  json::array
      messages; ///< {"role", "content", "tool_calls"?, ..}: content is a text, arguments of calls are objects
  json::array tools;       ///< as OpenAI has them; may be empty
  std::vector<bool> learn; ///< for each message: it is an assistant's, and not taken out by "weight": 0
};

/// Reads `{"messages": [..], "tools": [..]?}` lines of OpenAI's chat format; empty lines are passed over, other keys are left alone. In every chat
/// there is an assistant's message to learn. Errors: invalid, as FILE:LINE: what was found and what was expected.
expected<std::vector<chat_example>> parse_chats(std::string_view jsonl, const std::string& file);

} // namespace troupe

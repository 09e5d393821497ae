#pragma once

#include "actors/serving/api_request.hpp"
#include "actors/serving/field_reader.hpp"

namespace troupe::serving {

/// "messages", "tools", "tool_choice" and what else goes into the template. Content of several text parts becomes one text, null an
/// empty one.
api_expected<conversation_input> read_conversation(field_reader& in, const language_model& model,
                                                   const api_rules& rules);

/// A token as people read it: bytes that are no character are shown as U+FFFD.
std::string shown_token(const language_model& model, token id);
std::string shown_text(const language_model& model, const std::vector<token>& ids);

} // namespace troupe::serving

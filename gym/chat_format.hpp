#pragma once

#include "gym/episode.hpp"

namespace troupe {

/// How an episode is written for a policy: which pieces stand around the question and the tools' results. Null where one is
/// asked for means the own format of gym/chat.hpp, with its own special tokens; a model that comes with a chat template has another
/// (actors/model_chat.hpp). Immutable and thread-safe.
///
/// In a format of others a turn is read freely: calls stand between <tool_call> and </tool_call> anywhere in the text; a turn without
/// a call is the answer, what stands in <answer>...</answer> if that is there. What comes before </think> is not looked at.
class chat_format {
public:
  virtual ~chat_format() = default;
  /// The prompt of an attempt; ends where the assistant writes.
  virtual std::vector<text_piece> opening(const std::string& question) const = 0;
  /// What follows the end of a turn that called tools; ends where the assistant writes.
  virtual std::vector<text_piece> results(const std::vector<observation>& results, int max_chars) const = 0;
};

/// Reads a turn of a format of others. Errors in the turn as parse_turn has them, but for stray_text.
parsed_turn parse_free_turn(std::string_view text, bool ended, const std::vector<call_schema>& tools,
                            int max_calls);

} // namespace troupe

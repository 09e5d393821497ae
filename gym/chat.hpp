#pragma once

#include "gym/episode.hpp"

namespace troupe {

/// The pieces of the chat format, in one place: episodes and demonstrations are built from the same
/// functions, so that the warm-up teaches exactly the format that rollouts use.

/// `<|user|>question<|end|>`
std::vector<text_piece> user_pieces(const std::string& question);
/// `<|tool|>text<|end|>`: several results are joined by a newline, failed ones begin with "Error: ", and the
/// whole is clipped to `max_chars` bytes at a UTF-8 boundary.
std::vector<text_piece> tool_pieces(const std::vector<observation>& results, int max_chars);
/// The text of several results, as a tool's message has it.
std::string results_text(const std::vector<observation>& results, int max_chars);
/// `<|assistant|>`
text_piece assistant_role();

/// At most `max_bytes` of `text`, never half a UTF-8 character.
std::string_view clip_utf8(std::string_view text, std::size_t max_bytes);
/// RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool valid_utf8(std::string_view text);

} // namespace troupe

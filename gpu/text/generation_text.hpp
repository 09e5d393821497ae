#pragma once

#include "gpu/text/token_stream.hpp"
#include <optional>

namespace troupe {

/// What is shown of a generation's tokens, and which texts end it.
struct text_limits {
  std::vector<std::string> stop; ///< not empty ones; the text ends before the first that appears
  bool include_stop = false;     ///< the stop string stays at the end
  bool skip_special = true;      ///< names of special tokens are left out
  std::vector<token> shown;      ///< special tokens whose names are shown all the same
  int min_tokens = 0;            ///< stop strings count in what comes after so many tokens
};

/// The text of one generation as its tokens arrive. What may still become a stop string, or a character, is held back.
///   GTX-1  All that comes out, together, is the text of all tokens up to the first stop string, however it was cut into
///   tokens.
///   GTX-2  What is held back is shorter than the longest stop string and three bytes.
class generation_text {
public:
  generation_text(const tokenizer& words, text_limits limits);
  /// The text that has become certain. Nothing more comes out after a stop string.
  std::string push(token id);
  /// The rest, when no token follows: what was held back was no stop string.
  std::string finish();
  /// The stop string that ended it.
  const std::optional<std::string>& stopped_by() const { return stopped_by_; }

private:
  std::string certain(std::string more, bool last);
  const tokenizer& words_;
  text_limits limits_;
  std::string bytes_, held_; ///< of an unfinished character; of a possible stop string
  int tokens_ = 0;
  std::optional<std::string> stopped_by_;
};

} // namespace troupe

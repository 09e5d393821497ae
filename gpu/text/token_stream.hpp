#pragma once

#include "gpu/tokenizer.hpp"

namespace troupe {

/// Text of tokens that arrive one by one, handed out without ever splitting a character: bytes that may still become one
/// wait for the next token. What comes out, all together, is with_replacements(decode(tokens)), whatever the tokens are.
class token_stream {
public:
  explicit token_stream(const tokenizer& words, bool skip_special = false)
      : words_(words), skip_special_(skip_special) {}
  /// The text that has become certain with this token; often empty in the middle of a character.
  std::string push(token id);
  /// The rest: an unfinished character becomes U+FFFD. The stream is then as new.
  std::string finish();

private:
  const tokenizer& words_;
  bool skip_special_;
  std::string waiting_;
};

} // namespace troupe

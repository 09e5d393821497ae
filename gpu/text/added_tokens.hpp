#pragma once

#include "gpu/text/unicode.hpp"
#include <functional>

namespace troupe {

/// A token that is found in text by its name, before any splitting: tokenizer.json's "added_tokens".
struct added_token {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false; ///< only where no letter, digit or underscore touches it
  bool lstrip = false;      ///< takes the white space before it along
  bool rstrip = false;      ///< and after it
  bool normalized = true;   ///< is looked for in normalised text, by its normalised name
  bool special = false;     ///< is left out of decoded text where the caller asks for that
};

/// Finds names in text: leftmost first, among those that begin alike the longest (as Aho-Corasick does that Hugging
/// Face's tokenizers use), never overlapping.
class added_token_finder {
public:
  /// `name` is what is looked for; an empty one never is, and of equal ones the first counts.
  void add(std::string_view name, const added_token& token);
  bool empty() const { return tokens_.empty(); }

  /// Calls text(part) for what lies between tokens and token(id) for each found, in order.
  void find(std::string_view in, const std::function<void(std::string_view)>& text,
            const std::function<void(std::int32_t)>& token) const;

private:
  struct node {
    std::vector<std::pair<char, std::uint32_t>> children;
    std::int32_t token = -1; ///< an index of tokens_
  };
  /// The longest name at `at`: its index and length, or -1.
  std::pair<std::int32_t, std::size_t> longest(std::string_view in, std::size_t at) const;

  std::vector<node> trie_{1};
  std::vector<added_token> tokens_;
  bool first_[256] = {};
};

} // namespace troupe

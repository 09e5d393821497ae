#pragma once

#include "gpu/text/unicode.hpp"
#include "runtime/base/error.hpp"
#include <memory>

namespace troupe {

/// The regular expressions by which tokenizers split text into words, in the meaning that Oniguruma (Ruby syntax, inside
/// Hugging Face's tokenizers) gives them: leftmost, first alternative, greedy with backtracking.
///
/// Known: literals, ., escapes \r \n \t \f \v \e \xHH \x{H..} \uHHHH, classes with ranges, negation, nesting and &&; \s \S \d \D
/// \w \W \p{..} \P{..}; groups, (?:..), (?i:..) on ASCII letters, (?>..), look-ahead (?=..) (?!..), one-set look-behind
/// (?<=.) (?<!.), ^ $ \A \z; ? * + {n,m}, lazy and possessive. A repetition of a group that is not one set of characters must be
/// bounded. Anything else is an error at compile time, never another meaning.
///
/// Matching allocates nothing, never recurses deeper than the pattern is long, and a whole search() has a budget of steps that is
/// linear in the text: a hostile pattern costs no more than a bad split.
class split_regex {
public:
  /// Errors: invalid, with the place and the construct.
  static expected<split_regex> compile(std::string_view pattern);

  /// Calls found(begin, end) for each match in valid UTF-8 text, in order; empty matches are passed over.
  template <class Found>
  void search(std::string_view text, Found&& found) const {
    std::size_t steps = text.size() * 64 + 4096;
    for (std::size_t at = 0; at < text.size();) {
      const auto end = match(text, at, steps);
      if (end != none && end > at) {
        found(at, end);
        at = end;
      } else {
        (void)next_code_point(text, at);
      }
    }
  }

  enum class kind : std::uint8_t {
    accept,
    set,
    alternatives,
    look_ahead,
    look_behind,
    atomic,
    begin,
    line_begin,
    line_end,
    end
  };
  enum class greed : std::uint8_t { greedy, lazy, possessive };
  struct node {
    kind what = kind::accept;
    greed how = greed::greedy;
    bool negative = false;          ///< of a look-around
    bool optional = false;          ///< of alternatives: may be left out
    std::uint32_t set = 0;          ///< of a set or a look-behind
    std::uint32_t min = 1, max = 1; ///< of a set
    std::uint32_t next = 0;         ///< what comes after
    std::vector<std::uint32_t>
        inside; ///< where each alternative begins; they end in `next`, or in accept (look, atomic)
  };

private:
  static constexpr std::size_t none = ~std::size_t{0};
  std::size_t match(std::string_view text, std::size_t at, std::size_t& steps) const;
  std::size_t run(std::uint32_t at, std::string_view text, std::size_t pos, std::size_t& steps) const;
  void first_characters(std::uint32_t at, std::vector<bool>& seen, bool (&can)[129]) const;
  void index_first();

  std::vector<node> nodes_; ///< nodes_[0] accepts
  std::vector<code_set> sets_;
  std::vector<std::uint32_t> top_; ///< the alternatives of the whole pattern
  std::vector<std::uint32_t>
      by_first_[129]; ///< those that can match at an ASCII character; [128]: at any other
  friend class split_regex_parser;
};

} // namespace troupe

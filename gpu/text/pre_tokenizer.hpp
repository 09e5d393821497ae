#pragma once

#include "gpu/text/split_regex.hpp"
#include "runtime/base/json.hpp"

namespace troupe {

/// tokenizer.json's "pre_tokenizer" for byte-level models: text is cut into words that no merge crosses. Split (by a regular
/// expression or a string, all five behaviours, inverted or not), Digits, ByteLevel (GPT-2's pattern, a space before the first word),
/// and sequences of these; ByteLevel comes last.
class pre_tokenizer {
public:
  /// Errors: invalid, for another kind, an unknown behaviour, or a pattern that split_regex does not know.
  static expected<pre_tokenizer> from_json(const json::value& from);

  bool adds_prefix_space() const { return prefix_space_; }

  /// Calls word(text) for every word of valid UTF-8 text, in order; empty ones are left out.
  template <class Word>
  void split(std::string_view text, Word&& word) const {
    split_from(0, text, word);
  }

private:
  enum class behaviour : std::uint8_t {
    isolated,
    removed,
    contiguous,
    merged_with_previous,
    merged_with_next
  };
  struct stage {
    split_regex pattern;
    behaviour how = behaviour::isolated;
    bool invert = false;
  };
  struct span {
    std::size_t begin, end;
    bool matched;
  };
  static expected<void> add(const json::value& from, pre_tokenizer& to, int depth);
  expected<void> add_stage(std::string_view pattern, behaviour how, bool invert);
  static std::vector<span> arranged(const stage& s, std::string_view text);

  template <class Word>
  void split_from(std::size_t index, std::string_view text, Word& word) const {
    if (text.empty()) return;
    if (index == stages_.size()) return word(text);
    const auto& s = stages_[index];
    const auto give = [&](std::size_t begin, std::size_t end) {
      if (end > begin) split_from(index + 1, text.substr(begin, end - begin), word);
    };
    if (s.how == behaviour::isolated) { // what nearly all models have: nothing to collect
      std::size_t last = 0;
      s.pattern.search(text, [&](std::size_t begin, std::size_t end) {
        give(last, begin), give(begin, end);
        last = end;
      });
      return give(last, text.size());
    }
    for (auto& part : arranged(s, text)) give(part.begin, part.end);
  }

  std::vector<stage> stages_;
  bool prefix_space_ = false, byte_level_ = false;
};

} // namespace troupe

#pragma once

#include "runtime/base/json.hpp"
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// What tokenizer.json's "normalizer" does to text before it is split: NFC, NFD, NFKC, NFKD, Replace of a string, Prepend
/// and sequences of these. null does nothing.
class normalizer {
public:
  /// Errors: invalid, for a kind that is not in the list above.
  static expected<normalizer> from_json(const json::value& from);

  bool does_nothing() const { return steps_.empty(); }
  /// `text` is valid UTF-8. The result may be `text` itself, or lie in `room`.
  std::string_view apply(std::string_view text, std::string& room) const;

private:
  enum class kind : std::uint8_t { nfc, nfd, nfkc, nfkd, replace, prepend };
  struct step {
    kind what = kind::nfc;
    std::string pattern, content;
  };
  static expected<void> add(const json::value& from, std::vector<step>& to, int depth);
  std::vector<step> steps_;
};

} // namespace troupe

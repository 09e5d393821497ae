#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// Code points from `first` to `last`, both included.
struct code_range {
  char32_t first = 0, last = 0;
};

/// The code points that \p{name} means, in order: a general category ("Lu") or a group of them ("L"), or the script "Han".
/// Unicode 16, as the regular expressions of Hugging Face's tokenizers have it. nullopt for any other name.
std::optional<std::vector<code_range>> unicode_property(std::string_view name);

/// The union of properties that exist.
std::vector<code_range> unicode_properties(std::initializer_list<std::string_view> names);
/// Unicode's White_Space: what \s means.
std::vector<code_range> white_space();
/// Characters whose normal forms are younger than Unicode 9: the normalizers of Hugging Face's tokenizers leave them alone.
std::vector<code_range> younger_normal_forms();

/// Ranges as an ordered list without overlaps.
std::vector<code_range> merged(std::vector<code_range> ranges);
/// All other code points. `ranges` is merged.
std::vector<code_range> complement(const std::vector<code_range>& ranges);
/// What is in both; both are merged.
std::vector<code_range> intersection(const std::vector<code_range>& a, const std::vector<code_range>& b);

/// A set of code points with a test in constant time.
class code_set {
public:
  code_set() = default;
  explicit code_set(const std::vector<code_range>& merged_ranges);
  bool ascii(unsigned char c) const { return (ascii_[c >> 6] >> (c & 63)) & 1; }
  bool beyond_ascii() const { return beyond_ascii_; }
  bool contains(char32_t c) const { return (blocks_[index_[c >> 6]] >> (c & 63)) & 1; }

private:
  std::uint64_t ascii_[2] = {0, 0};
  bool beyond_ascii_ = false;
  std::vector<std::uint16_t> index_;  ///< of blocks of 64 code points
  std::vector<std::uint64_t> blocks_; ///< the different ones
};

/// The length of the well-formed UTF-8 sequence at `at` (RFC 3629: no surrogates, nothing overlong), or 0.
std::size_t utf8_length(std::string_view text, std::size_t at);
bool well_formed_utf8(std::string_view text);
/// The code point at `at` of valid text; moves `at` behind it.
inline char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const char32_t first = byte(0);
  if (first < 0x80) return ++at, first;
  char32_t out;
  if (first < 0xE0) return out = ((first & 0x1F) << 6) | (byte(1) & 0x3F), at += 2, out;
  if (first < 0xF0)
    return out = ((first & 0x0F) << 12) | ((byte(1) & 0x3Fu) << 6) | (byte(2) & 0x3Fu), at += 3, out;
  out = ((first & 0x07) << 18) | ((byte(1) & 0x3Fu) << 12) | ((byte(2) & 0x3Fu) << 6) | (byte(3) & 0x3Fu);
  return at += 4, out;
}
void append_utf8(std::string& to, char32_t c);
/// Valid text as it is; every maximal part of an ill-formed sequence becomes U+FFFD (Unicode 16, 3.9, "substitution of
/// maximal subparts").
std::string with_replacements(std::string_view bytes);
/// How many bytes at the end begin a sequence that further bytes could complete: 0 to 3.
std::size_t unfinished_utf8(std::string_view bytes);

} // namespace troupe

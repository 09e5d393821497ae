#include "tools/utf8.hpp"

#include <algorithm>

namespace troupe {

namespace {

/// The length in bytes of the character at `at`; 0 if it is malformed.
std::size_t char_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const auto follows = [&](std::size_t i, unsigned char low, unsigned char high) {
    return at + i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned char low = first == 0xE0 ? 0xA0 : 0x80, high = first == 0xED ? 0x9F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned char low = first == 0xF0 ? 0x90 : 0x80, high = first == 0xF4 ? 0x8F : 0xBF;
    return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

} // namespace

std::size_t first_invalid_utf8(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t length = char_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return text.size();
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  for (;;) {
    const auto bad = first_invalid_utf8(text);
    out += text.substr(0, bad);
    if (bad == text.size()) return out;
    out += "\uFFFD";
    text.remove_prefix(bad + 1);
  }
}

std::size_t count_chars(std::string_view text) {
  std::size_t chars = 0;
  for (std::size_t at = 0; at < text.size(); ++chars) at += std::max<std::size_t>(1, char_length(text, at));
  return chars;
}

std::string_view first_chars(std::string_view text, std::size_t limit) {
  std::size_t at = 0;
  for (; limit > 0 && at < text.size(); --limit) at += std::max<std::size_t>(1, char_length(text, at));
  return text.substr(0, at);
}

} // namespace troupe

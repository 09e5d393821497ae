#include "cli/terminal_text.hpp"

#include "tools/utf8.hpp"
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>

namespace troupe {

namespace {

struct range {
  char32_t first, last;
};

// Unicode 15: the ranges that matter (general categories Mn, Me, Cf; East Asian Width W and F).
constexpr std::array<range, 14> no_width = {{{0x300, 0x36F},
                                             {0x483, 0x489},
                                             {0x591, 0x5BD},
                                             {0x610, 0x61A},
                                             {0x64B, 0x65F},
                                             {0x900, 0x902},
                                             {0xE31, 0xE31},
                                             {0xE34, 0xE3A},
                                             {0x200B, 0x200F},
                                             {0x202A, 0x202E},
                                             {0x2060, 0x2064},
                                             {0x20D0, 0x20F0},
                                             {0xFE00, 0xFE0F},
                                             {0xFEFF, 0xFEFF}}};
constexpr std::array<range, 13> two_columns = {{{0x1100, 0x115F},
                                                {0x2E80, 0x303E},
                                                {0x3041, 0xA4CF},
                                                {0xA960, 0xA97F},
                                                {0xAC00, 0xD7A3},
                                                {0xF900, 0xFAFF},
                                                {0xFE30, 0xFE6F},
                                                {0xFF00, 0xFF60},
                                                {0xFFE0, 0xFFE6},
                                                {0x1F300, 0x1F64F},
                                                {0x1F680, 0x1F6FF},
                                                {0x1F900, 0x1FAFF},
                                                {0x20000, 0x3FFFD}}};

template <std::size_t N>
bool within(const std::array<range, N>& ranges, char32_t c) {
  return std::any_of(ranges.begin(), ranges.end(), [c](range r) { return c >= r.first && c <= r.last; });
}

/// The code point of one well-formed character.
char32_t code_point(std::string_view character) {
  const auto byte = [&](std::size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(character[i]));
  };
  switch (character.size()) {
  case 1: return byte(0);
  case 2: return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
  case 3: return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  default: return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  }
}

std::size_t width_of(std::string_view character) {
  const char32_t c = code_point(character);
  return within(no_width, c) ? 0 : within(two_columns, c) ? 2 : 1;
}

template <class Do>
void each_character(std::string_view text, Do&& act) {
  while (!text.empty()) {
    const auto character = first_chars(text, 1);
    act(character);
    text.remove_prefix(character.size());
  }
}

/// The longest start of the text that fits into `columns`.
std::string_view fitting(std::string_view text, std::size_t columns) {
  std::size_t at = 0, used = 0;
  while (at < text.size()) {
    const auto character = first_chars(text.substr(at), 1);
    used += width_of(character);
    if (used > columns) break;
    at += character.size();
  }
  return text.substr(0, at);
}

std::string formatted(const char* format, double value, int digits = 0) {
  char buffer[64];
  const int n = std::snprintf(buffer, sizeof buffer, format, digits, value);
  return {buffer, static_cast<std::size_t>(std::clamp(n, 0, 63))};
}

void wrap_line(std::string_view line, std::size_t columns, std::vector<std::string>& out) {
  do {
    auto part = fitting(line, columns);
    if (part.empty()) part = first_chars(line, 1); // a wide character in a single column
    if (part.size() < line.size() && line[part.size()] != ' ')
      if (const auto space = part.rfind(' '); space != std::string_view::npos && space > 0)
        part = part.substr(0, space);
    out.emplace_back(part);
    line.remove_prefix(part.size());
    while (line.starts_with(' ')) line.remove_prefix(1);
  } while (!line.empty());
}

} // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  each_character(text, [&](std::string_view character) { width += width_of(character); });
  return width;
}

std::string printable(std::string_view text, bool keep_lines) {
  std::string out;
  each_character(text, [&](std::string_view character) {
    const char32_t c = code_point(character);
    const bool broken = character.size() == 1 && c >= 0x80;
    const bool control =
        c < 0x20 || (c >= 0x7F && c <= 0x9F) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
    if (keep_lines && c == '\n')
      out += '\n';
    else if (c == '\t')
      out += ' ';
    else if (broken || control)
      out += "·";
    else
      out += character;
  });
  return out;
}

std::string clipped(std::string_view text, std::size_t columns) {
  if (display_width(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  return std::string(fitting(text, columns - 1)) + "…";
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> out;
  for (;;) {
    const auto end = text.find('\n');
    wrap_line(text.substr(0, end), columns, out);
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

std::string pad_right(std::string_view text, std::size_t columns) {
  const auto width = display_width(text);
  return std::string(text) + std::string(width < columns ? columns - width : 0, ' ');
}

std::string pad_left(std::string_view text, std::size_t columns) {
  const auto width = display_width(text);
  return std::string(width < columns ? columns - width : 0, ' ') + std::string(text);
}

std::string fixed(double value, int digits) {
  return std::isfinite(value) ? formatted("%.*f", value, digits) : "–";
}

std::string grouped(double value) {
  if (!std::isfinite(value)) return "–";
  std::string digits = fixed(std::abs(value), 0);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return (value <= -0.5 ? "-" : "") + digits;
}

std::string percent(double share, int digits) {
  return std::isfinite(share) ? fixed(100 * share, digits) + " %" : "–";
}

std::string clock_time(double seconds) {
  if (!std::isfinite(seconds)) return "–";
  const auto whole = static_cast<long long>(std::llround(std::clamp(seconds, 0.0, 1e9)));
  const auto two = [](long long n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + ":" + two(whole % 60);
  return std::to_string(whole / 3600) + ":" + two(whole / 60 % 60) + ":" + two(whole % 60);
}

std::string scientific(double value) {
  if (!std::isfinite(value)) return "–";
  return value == 0 ? "0" : formatted("%.*e", value, 1);
}

} // namespace troupe

#include "runtime/base/json_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace troupe::json {

namespace {

constexpr std::size_t longest_number = 32;

/// The shortest text of a finite number that reads back as the same. Whole ones end in ".0": they stay floating-point numbers.
template <class T>
std::size_t shortest(T value, char* text) {
  auto* end = std::to_chars(text, text + longest_number, value).ptr;
  if (std::none_of(text, end, [](char c) { return c == '.' || c == 'e'; })) {
    *end++ = '.';
    *end++ = '0';
  }
  return static_cast<std::size_t>(end - text);
}

template <class T>
void append_number(std::string& out, T value) {
  char text[longest_number];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

} // namespace

void object_text::begin(std::string_view name) {
  if (out_.size() > 1) out_ += ',';
  out_ += '"';
  out_ += name;
  out_ += "\":";
}

void object_text::put_signed(std::int64_t value) { append_number(out_, value); }
void object_text::put_unsigned(std::uint64_t value) { append_number(out_, value); }

void object_text::put(double value) {
  if (!std::isfinite(value)) {
    out_ += "null";
    return;
  }
  char text[longest_number + 2];
  out_.append(text, shortest(value, text));
}

void object_text::put(float value) {
  if (!std::isfinite(value)) return put(static_cast<double>(value));
  char text[longest_number + 2];
  const auto size = shortest(value, text);
  // Read as a double and rounded again, a very few texts give the neighbour (7.038531e-26f): those get a double's digits.
  double read = 0;
  std::from_chars(text, text + size, read);
  if (static_cast<float>(read) != value) return put(static_cast<double>(value));
  out_.append(text, size);
}

object_text& object_text::field(std::string_view name, std::string_view text) {
  begin(name);
  out_ += '"';
  std::size_t plain = 0; // begin of what needs no escape
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out_.append(text, plain, i - plain);
    plain = i + 1;
    switch (c) {
    case '"': out_ += "\\\""; break;
    case '\\': out_ += "\\\\"; break;
    case '\b': out_ += "\\b"; break;
    case '\f': out_ += "\\f"; break;
    case '\n': out_ += "\\n"; break;
    case '\r': out_ += "\\r"; break;
    case '\t': out_ += "\\t"; break;
    default:
      out_ += "\\u00";
      out_ += "0123456789abcdef"[c >> 4];
      out_ += "0123456789abcdef"[c & 15];
    }
  }
  out_.append(text, plain);
  out_ += '"';
  return *this;
}

object_text& object_text::field(std::string_view name, object_text inner) {
  begin(name);
  out_ += std::move(inner).take();
  return *this;
}

} // namespace troupe::json

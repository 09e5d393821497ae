#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::json {

/// Writes one JSON object as text, field by field, in the order of the calls: what `dump` gives for the same fields without a tree
/// of values in between. For records that are written thousands of times a second (docs/decisions/0010). Names are the caller's to
/// keep distinct, and need no escapes.
///   TEXT-1  A double, and a float read as a double and rounded, reads back as the same number; what is not finite is null.
///   TEXT-2  Any bytes of a text that are UTF-8 read back as they were.
class object_text {
public:
  explicit object_text(std::size_t expected_bytes = 64) {
    out_.reserve(expected_bytes);
    out_ = '{';
  }
  object_text& field(std::string_view name, std::string_view text);
  object_text& field(std::string_view name, const char* text) { return field(name, std::string_view(text)); }
  object_text& field(std::string_view name, object_text inner);
  template <class T>
  requires std::integral<T> || std::floating_point<T> object_text& field(std::string_view name, T value) {
    begin(name);
    put(value);
    return *this;
  }
  template <class T>
  object_text& list(std::string_view name, const T& values) {
    begin(name);
    char before = '[';
    for (const auto& value : values) {
      out_ += before;
      put(value);
      before = ',';
    }
    if (before == '[') out_ += '[';
    out_ += ']';
    return *this;
  }
  std::string take() && {
    out_ += '}';
    return std::move(out_);
  }

private:
  void begin(std::string_view name);
  void put(bool value) { out_ += value ? "true" : "false"; }
  void put(double value);
  void put(float value);
  void put_signed(std::int64_t value);
  void put_unsigned(std::uint64_t value);
  template <std::integral T>
  requires(!std::same_as<T, bool>) void put(T value) {
    if constexpr (std::signed_integral<T>)
      put_signed(value);
    else
      put_unsigned(value);
  }

  std::string out_;
};

} // namespace troupe::json

#pragma once

#include "runtime/base/json.hpp"
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace troupe::values {

/// Reading records of a run: whatever is missing or null is shown as missing, never as 0.
inline constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

/// The value at a path of keys, "heldout.before.pass_at_1"; null if there is none.
inline const json::value* value_at(const json::object& from, std::string_view path) {
  const auto dot = path.find('.');
  const auto* found = from.if_contains(path.substr(0, dot));
  if (!found || dot == std::string_view::npos) return found;
  const auto* inner = found->if_object();
  return inner ? value_at(*inner, path.substr(dot + 1)) : nullptr;
}

/// Not a number (NaN) if there is none.
inline double number(const json::object& from, std::string_view path) {
  const auto* found = value_at(from, path);
  return found && found->is_number() ? found->to_number<double>() : no_number;
}

/// Empty if there is none.
inline std::string text(const json::object& from, std::string_view path) {
  const auto* found = value_at(from, path);
  const auto* string = found ? found->if_string() : nullptr;
  return string ? std::string(*string) : std::string();
}

/// Null if there is none.
inline const json::object* object(const json::object& from, std::string_view path) {
  const auto* found = value_at(from, path);
  return found ? found->if_object() : nullptr;
}
inline const json::array* list(const json::object& from, std::string_view path) {
  const auto* found = value_at(from, path);
  return found ? found->if_array() : nullptr;
}

/// The interval [low, high] at a path.
inline std::optional<std::array<double, 2>> interval(const json::object& from, std::string_view path) {
  const auto* found = list(from, path);
  if (!found || found->size() != 2 || !(*found)[0].is_number() || !(*found)[1].is_number())
    return std::nullopt;
  return std::array{(*found)[0].to_number<double>(), (*found)[1].to_number<double>()};
}

} // namespace troupe::values

#pragma once

#include "runtime/base/json.hpp"
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace troupe::jinja {

/// What ends a rendering: a template's own raise_exception, a type error, a limit.
struct failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class value;
struct call_arguments;
using list = std::vector<value>;
using pairs = std::vector<std::pair<std::string, value>>; ///< in the order of insertion, as Python's dict
using function = std::function<value(const call_arguments&)>;

/// A name that nothing was found under; most uses of it are errors that say the name.
struct undefined {
  std::string name;
};

struct list_object {
  list items;
  bool tuple = false; ///< how it is written as text
};

struct map_object {
  pairs items;
  bool space = false; ///< a namespace(): the only thing whose parts can be set
  const value* find(std::string_view key) const;
  void set(const std::string& key, value to);
};

/// A value of the template language: Python's None, bool, int, float, str, list and tuple, dict with names as keys, and functions.
/// Copies share lists and maps; nothing but a namespace is ever changed after it has been made.
class value {
public:
  value() = default;
  value(undefined u) : held_(std::move(u)) {}
  value(bool b) : held_(b) {}
  value(std::int64_t n) : held_(n) {}
  value(int n) : held_(std::int64_t{n}) {}
  value(double d) : held_(d) {}
  value(std::string s) : held_(std::move(s)) {}
  value(std::string_view s) : held_(std::string(s)) {}
  value(const char* s) : held_(std::string(s)) {}
  value(list items, bool tuple = false)
      : held_(std::make_shared<list_object>(list_object{std::move(items), tuple})) {}
  value(map_object m) : held_(std::make_shared<map_object>(std::move(m))) {}
  value(function f) : held_(std::make_shared<function>(std::move(f))) {}
  /// Numbers beyond 64 bits become floats.
  static value from_json(const json::value& from);

  bool is_none() const { return std::holds_alternative<std::monostate>(held_); }
  bool is_undefined() const { return std::holds_alternative<undefined>(held_); }
  const undefined* if_undefined() const { return std::get_if<undefined>(&held_); }
  const bool* if_bool() const { return std::get_if<bool>(&held_); }
  const std::int64_t* if_int() const { return std::get_if<std::int64_t>(&held_); }
  const double* if_float() const { return std::get_if<double>(&held_); }
  const std::string* if_string() const { return std::get_if<std::string>(&held_); }
  const list* if_list() const;
  bool is_tuple() const;
  map_object* if_map() const;
  const function* if_function() const;
  bool is_number() const { return if_bool() || if_int() || if_float(); }
  double number() const;        ///< of a number or bool
  std::int64_t integer() const; ///< of an int or bool; fails otherwise

  bool truth() const;
  std::string_view type() const; ///< Python's name of it
  std::string text() const;      ///< str()
  std::string repr() const;
  /// json.dumps(ensure_ascii=ascii, indent=indent or None where it is negative, separators, sort_keys).
  struct json_format {
    int indent = -1;
    bool ascii = false, sorted = false;
    std::string between = ", ", after_key = ": ";
  };
  std::string to_json(const json_format& format) const;

  friend bool operator==(const value& a, const value& b);

private:
  void write_json(std::string& to, const json_format& format, int depth) const;
  std::variant<std::monostate, undefined, bool, std::int64_t, double, std::string,
               std::shared_ptr<list_object>, std::shared_ptr<map_object>, std::shared_ptr<function>>
      held_;
};

/// -1, 0 or 1; fails for what Python cannot order.
int compare(const value& a, const value& b);

struct call_arguments {
  list positional;
  pairs named;
  /// By place or by name; `absent` where neither is given.
  value get(std::size_t place, std::string_view name, value absent = {}) const;
  bool has(std::size_t place, std::string_view name) const;
};

/// Python's repr of a float.
std::string float_text(double number);
/// The text's code points, each as a string of its own.
std::vector<std::string> characters(std::string_view text);

} // namespace troupe::jinja

#pragma once

#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

/// Strict configuration: a struct lists its keys once, and that one listing loads, overrides, checks,
/// explains and writes it.
///
///   struct rl_config {
///     int steps = 30;
///     std::string mode = "async";
///     void visit(config_visitor& v) {
///       v.section("rl", "Reinforcement learning.");
///       v.key("rl.steps", steps, {1, 100'000}, "steps", "How many optimizer steps the run takes.");
///       v.key("rl.mode", mode, {"sync", "async"}, "Whether rollouts wait for the learner.");
///     }
///     expected<void> check() const; // optional: contradictions between keys; its message names the keys
///   };
///
///   CONFIG-1  A file either loads completely or not at all; every value in it is in its key's range.
///   CONFIG-2  An unknown key, a duplicate, a wrong type and a value out of range are errors that name
///   file:line:column, the
///             key, what was found and what was expected.
///   CONFIG-3  What `dump_yaml` writes is complete, and loads back to the same values.
///   CONFIG-4  An override beats the file; of two overrides of one key the later wins.
namespace troupe {

/// The closed range of a number; the default is everything.
template <class T>
struct limits {
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();
  bool above = false; ///< `low` itself is excluded: {0, 1, true} is "more than 0"
  bool contains(T v) const { return (above ? v > low : v >= low) && v <= high; }
};

/// Where a key's value lives.
using config_value = std::variant<std::int64_t*, double*, bool*, std::string*, std::vector<std::int64_t>*,
                                  std::vector<double>*, std::vector<std::string>*>;

/// One key, as its struct declares it.
struct config_key {
  std::string path; ///< dotted: "rl.steps"
  std::string unit; ///< empty: none
  std::string doc;  ///< one sentence
  config_value value;
  limits<std::int64_t> integers;           ///< of an integer, or of each in a list
  limits<double> reals;                    ///< of a real number, or of each in a list
  std::vector<std::string_view> choices{}; ///< of a text, or of each in a list; empty: any
  bool or_one = false;                     ///< of a list: a value alone stands for a list of one
};

/// What `visit` of a config struct talks to. Sections only carry a sentence; keys give their full path.
class config_visitor {
public:
  virtual ~config_visitor() = default;
  virtual void section(std::string_view name, std::string_view doc) = 0;

  void key(std::string_view path, std::int64_t& v, limits<std::int64_t> range, std::string_view unit,
           std::string_view doc) {
    take({std::string(path), std::string(unit), std::string(doc), &v, range, {}});
  }
  void key(std::string_view path, double& v, limits<double> range, std::string_view unit,
           std::string_view doc) {
    take({std::string(path), std::string(unit), std::string(doc), &v, {}, range});
  }
  void key(std::string_view path, bool& v, std::string_view doc) {
    take({std::string(path), {}, std::string(doc), &v, {}, {}});
  }
  void key(std::string_view path, std::string& v, std::string_view doc) {
    take({std::string(path), {}, std::string(doc), &v, {}, {}});
  }
  void key(std::string_view path, std::string& v, std::vector<std::string_view> choices,
           std::string_view doc) {
    take({std::string(path), {}, std::string(doc), &v, {}, {}, std::move(choices)});
  }
  void key(std::string_view path, std::vector<std::int64_t>& v, limits<std::int64_t> range,
           std::string_view unit, std::string_view doc) {
    take({std::string(path), std::string(unit), std::string(doc), &v, range, {}});
  }
  void key(std::string_view path, std::vector<double>& v, limits<double> range, std::string_view unit,
           std::string_view doc) {
    take({std::string(path), std::string(unit), std::string(doc), &v, {}, range});
  }
  void key(std::string_view path, std::vector<std::string>& v, std::string_view doc) {
    take({std::string(path), {}, std::string(doc), &v, {}, {}});
  }

  // -- one value or several, from which something is drawn
  void knob(std::string_view path, std::vector<std::int64_t>& v, limits<std::int64_t> range,
            std::string_view unit, std::string_view doc) {
    take({std::string(path), std::string(unit), std::string(doc), &v, range, {}, {}, true});
  }
  void knob(std::string_view path, std::vector<double>& v, limits<double> range, std::string_view unit,
            std::string_view doc) {
    take({std::string(path), std::string(unit), std::string(doc), &v, {}, range, {}, true});
  }
  void knob(std::string_view path, std::vector<std::string>& v, std::vector<std::string_view> choices,
            std::string_view doc) {
    take({std::string(path), {}, std::string(doc), &v, {}, {}, std::move(choices), true});
  }

  /// Every other integer type; the range is narrowed to what the type can hold.
  template <std::integral I>
  requires(!std::same_as<I, bool> &&
           !std::same_as<I, std::int64_t>) void key(std::string_view path, I& v, limits<std::int64_t> range,
                                                    std::string_view unit, std::string_view doc) {
    range.low = std::cmp_less(range.low, std::numeric_limits<I>::min())
                    ? std::int64_t{std::numeric_limits<I>::min()}
                    : range.low;
    range.high = std::cmp_greater(range.high, std::numeric_limits<I>::max())
                     ? static_cast<std::int64_t>(std::numeric_limits<I>::max())
                     : range.high;
    auto wide = static_cast<std::int64_t>(v);
    key(path, wide, range, unit, doc);
    v = static_cast<I>(wide);
  }
  void key(std::string_view path, float& v, limits<double> range, std::string_view unit,
           std::string_view doc) {
    double wide = v;
    key(path, wide, range, unit, doc);
    v = static_cast<float>(wide);
  }
  /// An enum by its names: `v.key("rl.mode", mode, {{"sync", mode_t::sync}, {"async", mode_t::async}},
  /// "...")`.
  template <class E>
  requires std::is_enum_v<E>
  void key(std::string_view path, E& v,
           const std::vector<std::pair<std::string_view, std::type_identity_t<E>>>& names,
           std::string_view doc) {
    std::string text;
    std::vector<std::string_view> choices;
    for (auto& [name, value] : names) {
      choices.push_back(name);
      if (value == v) text = name;
    }
    key(path, text, std::move(choices), doc);
    for (auto& [name, value] : names)
      if (name == text) v = value;
  }

protected:
  virtual void take(const config_key& key) = 0;
};

/// One key that two configurations disagree on, with both values as text.
struct config_difference {
  std::string key, left, right;
};

namespace detail {
using config_listing = std::function<void(config_visitor&)>;
expected<void> fill_config(std::string_view text, const std::string& name,
                           const std::vector<std::string>& overrides, const config_listing& visit);
expected<std::string> read_config_file(const std::filesystem::path& file);
error about_file(const std::string& name, error what);
std::string dump_yaml(const config_listing& visit);
std::string explain(const config_listing& visit, std::string_view prefix);
std::string explain_markdown(const config_listing& visit);
json::value explain_json(const config_listing& visit);
json::value config_json(const config_listing& visit);
std::vector<config_difference> config_diff(const config_listing& left, const config_listing& right);
template <class C>
config_listing listing(C& config) {
  return [&config](config_visitor& v) { config.visit(v); };
}
} // namespace detail

/// A config from YAML text and overrides ("rl.steps=30"). `name` stands for the file in messages. Error:
/// invalid.
template <class C>
expected<C> load_config_text(std::string_view text, const std::vector<std::string>& overrides = {},
                             const std::string& name = "config") {
  C out{};
  if (auto done = detail::fill_config(text, name, overrides, detail::listing(out)); !done)
    return fail(done.error());
  if constexpr (requires { out.check(); })
    if (auto fine = out.check(); !fine) return fail(detail::about_file(name, fine.error()));
  return out;
}

/// The same from a file. Errors: not_found, io, invalid.
template <class C>
expected<C> load_config(const std::filesystem::path& yaml, const std::vector<std::string>& overrides = {}) {
  auto text = detail::read_config_file(yaml);
  if (!text) return fail(text.error());
  return load_config_text<C>(*text, overrides, yaml.string());
}

/// The whole resolved config as YAML, each key under its sentence, unit and range.
template <class C>
std::string dump_yaml(const C& config) {
  C copy = config;
  return detail::dump_yaml(detail::listing(copy));
}

/// For a terminal: every key that starts with `prefix` (a key, a section, or empty for all), with the value
/// in `config`. Empty text: no such key.
template <class C>
std::string explain(const C& config, std::string_view prefix = {}) {
  C copy = config;
  return detail::explain(detail::listing(copy), prefix);
}

/// The page of docs/config.md: one table per section.
template <class C>
std::string explain_markdown(const C& config) {
  C copy = config;
  return detail::explain_markdown(detail::listing(copy));
}

/// A list of {"key", "type", "value", "unit", "expected", "doc"}.
template <class C>
json::value explain_json(const C& config) {
  C copy = config;
  return detail::explain_json(detail::listing(copy));
}

/// The values alone, nested as in the YAML.
template <class C>
json::value config_json(const C& config) {
  C copy = config;
  return detail::config_json(detail::listing(copy));
}

/// The keys on which two configs differ, in the order of the listing.
template <class C>
std::vector<config_difference> config_diff(const C& left, const C& right) {
  C a = left, b = right;
  return detail::config_diff(detail::listing(a), detail::listing(b));
}

} // namespace troupe

#include "runtime/config.hpp"

#include "runtime/base/file.hpp"
#include "runtime/base/nearest.hpp"
#include "runtime/config_text.hpp"
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <yaml-cpp/yaml.h>

namespace troupe::detail {

namespace {

constexpr int deepest = 16;

/// A value found in the file or on the command line, before anyone knows its type.
struct found_value {
  YAML::Node node;
  int line = 0, column = 0;
  bool from_file = true;
  std::string raw; ///< an override's text as given
};

struct problem {
  int line, column;
  std::string text;
};

std::string_view last_part(std::string_view path) {
  const auto dot = path.rfind('.');
  return dot == path.npos ? path : path.substr(dot + 1);
}

/// The right name in the wrong section is nearer than a wrong name: hence the smaller of two distances.
std::string nearest(std::string_view path, const std::vector<listed_key>& keys) {
  std::string best;
  std::size_t best_distance = std::string::npos;
  for (auto& listed : keys) {
    const std::string& valid = listed.key.path;
    const auto distance =
        std::min(edit_distance(path, valid), 1 + edit_distance(last_part(path), last_part(valid)));
    if (distance < best_distance) best_distance = distance, best = valid;
  }
  return best;
}

bool quoted(const YAML::Node& node) { return node.Tag() == "!"; }

std::string shown(const YAML::Node& node) {
  if (!node || node.IsNull()) return "nothing";
  if (node.IsMap()) return "a section";
  if (node.IsSequence()) return "a list";
  std::string text = node.Scalar();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return quoted(node) ? "the text \"" + text + "\"" : text;
}

std::optional<std::int64_t> to_integer(const YAML::Node& node) {
  if (!node.IsScalar() || quoted(node)) return std::nullopt;
  const std::string& text = node.Scalar();
  const char *begin = text.data() + (text.starts_with('+') ? 1 : 0), *end = text.data() + text.size();
  std::int64_t out = 0;
  auto [at, code] = std::from_chars(begin, end, out);
  return code == std::errc() && at == end && begin != end ? std::optional(out) : std::nullopt;
}

std::optional<double> to_real(const YAML::Node& node) {
  if (!node.IsScalar() || quoted(node)) return std::nullopt;
  const std::string& text = node.Scalar();
  const char *begin = text.data() + (text.starts_with('+') ? 1 : 0), *end = text.data() + text.size();
  double out = 0;
  auto [at, code] = std::from_chars(begin, end, out);
  return code == std::errc() && at == end && begin != end && std::isfinite(out) ? std::optional(out)
                                                                                : std::nullopt;
}

/// Reads the file's tree down to the keys, then lets the listing take its values from it.
class filler final : public config_visitor {
public:
  filler(std::string name, config_tree tree) : name_(std::move(name)), tree_(std::move(tree)) {}

  void read_file_text(std::string_view text) {
    YAML::Node root;
    try {
      root = YAML::Load(std::string(text));
    } catch (const YAML::Exception& e) {
      report(e.mark.line + 1, e.mark.column + 1, "not valid YAML: " + e.msg);
      return;
    }
    if (!root || root.IsNull()) return;
    if (!root.IsMap()) return report(1, 1, "found " + shown(root) + ", expected sections of keys");
    walk(root, "", 0);
  }

  void read_override(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == text.npos || equals == 0)
      return report(0, 0, "\"" + text + "\": expected an override of the form key=value", false);
    const std::string path = text.substr(0, equals), raw = text.substr(equals + 1);
    if (!is_key(path)) return report(0, 0, "on the command line: " + unknown(path), false);
    found_value value{{}, 0, 0, false, raw};
    try {
      value.node = YAML::Load(raw);
    } catch (const YAML::Exception&) {
      value.node =
          YAML::Node(raw); // plain text for a text key; for any other key the type check says what is wrong
    }
    found_[path] = std::move(value);
  }

  void section(std::string_view, std::string_view) override {}

  std::optional<std::string> verdict() const {
    if (problems_.empty()) return std::nullopt;
    auto first = std::min_element(problems_.begin(), problems_.end(), [](const problem& a, const problem& b) {
      return std::pair(a.line, a.column) < std::pair(b.line, b.column);
    });
    const auto others = problems_.size() - 1;
    return first->text + (others ? " (and " + std::to_string(others) + " more)" : "");
  }

protected:
  void take(const config_key& key) override {
    auto it = found_.find(key.path);
    if (it == found_.end()) return;
    const found_value& value = it->second;
    std::visit([&](auto* target) { read(key, value, *target); }, key.value);
  }

private:
  void report(int line, int column, const std::string& text, bool from_file = true) {
    const std::string at =
        from_file ? name_ + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " : "";
    problems_.push_back({line, column, at + text});
  }
  void wrong(const config_key& key, const found_value& value, const std::string& found) {
    const std::string text = key.path + ": found " + found + ", expected " + expectation(key);
    report(value.line, value.column, value.from_file ? text : "on the command line: " + text,
           value.from_file);
  }
  bool is_key(std::string_view path) const {
    return std::any_of(tree_.keys.begin(), tree_.keys.end(),
                       [&](auto& listed) { return listed.key.path == path; });
  }
  bool is_section(std::string_view path) const {
    const std::string start = std::string(path) + ".";
    return std::any_of(tree_.keys.begin(), tree_.keys.end(),
                       [&](auto& listed) { return listed.key.path.starts_with(start); });
  }
  std::string unknown(const std::string& path) const {
    auto inside = std::find_if(tree_.keys.begin(), tree_.keys.end(),
                               [&](auto& listed) { return listed.key.path.starts_with(path + "."); });
    if (inside != tree_.keys.end())
      return path + " is a section, expected one of its keys, for example " + inside->key.path;
    return path + ": unknown key; the nearest valid key is " + nearest(path, tree_.keys);
  }

  void walk(const YAML::Node& map, const std::string& prefix, int depth) {
    std::map<std::string, int> lines;
    for (const auto& entry : map) {
      const auto mark = entry.first.Mark();
      if (!entry.first.IsScalar()) {
        report(mark.line + 1, mark.column + 1, "found " + shown(entry.first) + " as a key, expected a name");
        continue;
      }
      const std::string path = prefix.empty() ? entry.first.Scalar() : prefix + "." + entry.first.Scalar();
      if (auto [before, fresh] = lines.emplace(path, mark.line + 1); !fresh) {
        report(mark.line + 1, mark.column + 1,
               path + ": given twice, first in line " + std::to_string(before->second));
        continue;
      }
      place(path, entry.second, mark, depth);
    }
  }

  void place(const std::string& path, const YAML::Node& node, const YAML::Mark& key_mark, int depth) {
    const int line = key_mark.line + 1, column = key_mark.column + 1;
    if (is_key(path)) {
      const auto mark = node.IsNull() ? key_mark : node.Mark();
      if (found_.contains(path)) return report(line, column, path + ": given twice");
      found_[path] = {node, mark.line + 1, mark.column + 1, true, {}};
    } else if (node.IsMap() && node.size() > 0 && depth < deepest) {
      walk(node, path, depth + 1);
    } else if (is_section(path)) {
      if (!node.IsNull() && !node.IsMap())
        report(line, column, path + ": found " + shown(node) + ", expected a section of keys");
    } else {
      report(line, column, unknown(path));
    }
  }

  void read(const config_key& key, const found_value& value, std::int64_t& target) {
    if (auto got = to_integer(value.node); got && key.integers.contains(*got))
      target = *got;
    else
      wrong(key, value, shown(value.node));
  }
  void read(const config_key& key, const found_value& value, double& target) {
    if (auto got = to_real(value.node); got && key.reals.contains(*got))
      target = *got;
    else
      wrong(key, value, shown(value.node));
  }
  void read(const config_key& key, const found_value& value, bool& target) {
    const bool plain = value.node.IsScalar() && !quoted(value.node);
    if (plain && value.node.Scalar() == "true")
      target = true;
    else if (plain && value.node.Scalar() == "false")
      target = false;
    else
      wrong(key, value, shown(value.node));
  }
  void read(const config_key& key, const found_value& value, std::string& target) {
    std::string text;
    const bool given_quoted = value.node.IsScalar() && quoted(value.node);
    if (!value.from_file && !given_quoted)
      text = value.raw; // a path with ": " or " #" in it stays what it is
    else if (value.node.IsScalar())
      text = value.node.Scalar();
    else
      return wrong(key, value,
                   value.node.IsNull() ? "nothing (write \"\" for an empty text)" : shown(value.node));
    if (!key.choices.empty() && std::find(key.choices.begin(), key.choices.end(), text) == key.choices.end())
      return wrong(key, value, text.empty() ? "an empty text" : text);
    target = std::move(text);
  }
  template <class T>
  void read(const config_key& key, const found_value& value, std::vector<T>& target) {
    std::vector<T> items;
    if (!value.node.IsSequence()) {
      if (!key.or_one) return wrong(key, value, shown(value.node));
      T one{};
      const auto before = problems_.size();
      read(key, value, one);
      if (problems_.size() == before) target = {one};
      return;
    }
    for (const auto& node : value.node) {
      found_value item{node, node.Mark().line + 1, node.Mark().column + 1, value.from_file, {}};
      if (!item.from_file) item.raw = node.IsScalar() ? node.Scalar() : "";
      const auto before = problems_.size();
      T one{};
      read(key, item, one);
      if (problems_.size() != before) return;
      items.push_back(std::move(one));
    }
    target = std::move(items);
  }

  std::string name_;
  config_tree tree_;
  std::map<std::string, found_value> found_;
  std::vector<problem> problems_;
};

} // namespace

expected<void> fill_config(std::string_view text, const std::string& name,
                           const std::vector<std::string>& overrides, const config_listing& visit) {
  filler it(name, collect(visit));
  it.read_file_text(text);
  for (auto& one : overrides) it.read_override(one);
  visit(it);
  if (auto wrong = it.verdict()) return fail(errc::invalid, *wrong);
  return {};
}

expected<std::string> read_config_file(const std::filesystem::path& file) {
  auto text = read_file(file, 1 << 20);
  if (!text && text.error().code == errc::not_found)
    return fail(errc::not_found, "no such configuration file: " + file.string());
  return text;
}

error about_file(const std::string& name, error what) {
  what.message = name + ": " + what.message;
  return what;
}

} // namespace troupe::detail

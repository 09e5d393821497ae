#include "runtime/config_text.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

namespace troupe::detail {

namespace {

template <class T>
std::string number(T v) {
  char buffer[64];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, v).ptr};
}

std::string write(std::int64_t v) { return number(v); }
std::string write(double v) { return number(v); }
std::string write(bool v) { return v ? "true" : "false"; }
std::string write(const std::string& v) { return yaml_text(v); }
template <class T>
std::string write(const std::vector<T>& items) {
  std::string out = "[";
  for (const T& item : items) (out += out.size() > 1 ? ", " : "") += write(item);
  return out + "]";
}

template <class T>
json::value to_json(const T& v) {
  return json::value(v);
}
template <class T>
json::value to_json(const std::vector<T>& items) {
  json::array out;
  for (const T& item : items) out.push_back(to_json(item));
  return out;
}

class collector final : public config_visitor {
public:
  config_tree tree;
  void section(std::string_view name, std::string_view doc) override {
    tree.sections.emplace_back(name, doc);
  }

protected:
  void take(const config_key& key) override {
    std::visit([&](auto* v) { tree.keys.push_back({key, write(*v), to_json(*v)}); }, key.value);
  }
};

template <class T>
std::string range_text(const limits<T>& range) {
  const bool low = range.low != std::numeric_limits<T>::lowest(),
             high = range.high != std::numeric_limits<T>::max();
  const std::string from = number(range.low), to = number(range.high);
  if (low && high)
    return range.above ? "above " + from + " and at most " + to : "between " + from + " and " + to;
  if (low) return (range.above ? "above " : "of at least ") + from;
  return high ? "of at most " + to : "";
}

std::string with(std::string what, const std::string& link, const std::string& more) {
  return more.empty() ? what : what + link + more;
}

template <class T>
std::string number_text(std::string kind, const config_key& key, const limits<T>& range) {
  return with(with(std::move(kind), " in ", key.unit), " ", range_text(range));
}

std::string choices_text(const config_key& key) {
  std::string out;
  for (std::size_t i = 0; i < key.choices.size(); ++i)
    (out += i == 0 ? "" : i + 1 == key.choices.size() ? " or " : ", ") += yaml_text(key.choices[i]);
  return out;
}

struct expectation_of {
  const config_key& key;
  std::string operator()(std::int64_t*) const { return number_text("a whole number", key, key.integers); }
  std::string operator()(double*) const { return number_text("a number", key, key.reals); }
  std::string operator()(bool*) const { return "true or false"; }
  std::string operator()(std::string*) const { return key.choices.empty() ? "a text" : choices_text(key); }
  std::string operator()(std::vector<std::int64_t>*) const {
    return number_text("a list of whole numbers, each", key, key.integers);
  }
  std::string operator()(std::vector<double>*) const {
    return number_text("a list of numbers, each", key, key.reals);
  }
  std::string operator()(std::vector<std::string>*) const { return "a list of texts"; }
};

struct type_name_of {
  std::string_view operator()(std::int64_t*) const { return "integer"; }
  std::string_view operator()(double*) const { return "number"; }
  std::string_view operator()(bool*) const { return "boolean"; }
  std::string_view operator()(std::string*) const { return "text"; }
  std::string_view operator()(std::vector<std::int64_t>*) const { return "list of integers"; }
  std::string_view operator()(std::vector<double>*) const { return "list of numbers"; }
  std::string_view operator()(std::vector<std::string>*) const { return "list of texts"; }
};

std::string parent_of(std::string_view path) {
  const auto dot = path.rfind('.');
  return dot == path.npos ? std::string() : std::string(path.substr(0, dot));
}
std::string leaf_of(std::string_view path) { return std::string(path.substr(path.rfind('.') + 1)); }

std::string sentence_of(const config_tree& tree, std::string_view section) {
  for (auto& [name, doc] : tree.sections)
    if (name == section) return doc;
  return {};
}

/// The names directly below `section`, in the order of their first key.
std::vector<std::string> below(const config_tree& tree, const std::string& section) {
  const std::string start = section.empty() ? "" : section + ".";
  std::vector<std::string> out;
  for (auto& [key, yaml, json] : tree.keys) {
    if (!key.path.starts_with(start)) continue;
    const auto rest = std::string_view(key.path).substr(start.size());
    std::string child = start + std::string(rest.substr(0, rest.find('.')));
    if (std::find(out.begin(), out.end(), child) == out.end()) out.push_back(std::move(child));
  }
  return out;
}

const listed_key* at(const config_tree& tree, std::string_view path) {
  auto it =
      std::find_if(tree.keys.begin(), tree.keys.end(), [&](auto& listed) { return listed.key.path == path; });
  return it == tree.keys.end() ? nullptr : &*it;
}

void dump(const config_tree& tree, const std::string& section, int depth, std::string& out) {
  const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
  for (auto& path : below(tree, section)) {
    if (auto* listed = at(tree, path)) {
      out += indent + "# " + listed->key.doc + " Expected: " + expectation(listed->key) + ".\n";
      out += indent + leaf_of(path) + ": " + listed->yaml + "\n";
      continue;
    }
    if (depth == 0 && !out.empty()) out += "\n";
    if (auto doc = sentence_of(tree, path); !doc.empty()) out += indent + "# " + doc + "\n";
    out += indent + leaf_of(path) + ":\n";
    dump(tree, path, depth + 1, out);
  }
}

json::object nested(const config_tree& tree, const std::string& section) {
  json::object out;
  for (auto& path : below(tree, section)) {
    auto* listed = at(tree, path);
    out[leaf_of(path)] = listed ? listed->json : json::value(nested(tree, path));
  }
  return out;
}

std::string cell(std::string_view text) { // a bar would end a table's cell
  std::string out;
  for (char c : text) (out += c == '|' ? "\\" : "") += c;
  return out;
}

} // namespace

config_tree collect(const config_listing& visit) {
  collector it;
  visit(it);
  return std::move(it.tree);
}

std::string expectation(const config_key& key) { return std::visit(expectation_of{key}, key.value); }

std::string_view type_of(const config_key& key) { return std::visit(type_name_of{}, key.value); }

std::string yaml_text(std::string_view text) {
  static const std::set<std::string, std::less<>> words = {"true", "false", "null", "yes", "no",
                                                           "on",   "off",   "y",    "n"};
  std::string lower;
  for (unsigned char c : text) lower += static_cast<char>(std::tolower(c));
  const bool starts_plain = !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) ||
                                              text[0] == '/' || text[0] == '_');
  const bool plain =
      starts_plain && !words.contains(lower) && std::all_of(text.begin(), text.end(), [](unsigned char c) {
        return std::isalnum(c) || c == '_' || c == '-' || c == '/' || c == '.';
      });
  return plain ? std::string(text) : json::dump(json::value(text));
}

std::string dump_yaml(const config_listing& visit) {
  std::string out;
  dump(collect(visit), "", 0, out);
  return out;
}

std::string explain(const config_listing& visit, std::string_view prefix) {
  const auto tree = collect(visit);
  std::string out, section = "\n";
  for (auto& [key, yaml, json] : tree.keys) {
    const bool inside =
        prefix.empty() || key.path == prefix || key.path.starts_with(std::string(prefix) + ".");
    if (!inside) continue;
    if (parent_of(key.path) != section) {
      section = parent_of(key.path);
      if (auto doc = sentence_of(tree, section); !doc.empty())
        (out += out.empty() ? "" : "\n") += section + ": " + doc + "\n\n";
    }
    out += "  " + key.path + " = " + yaml + "\n      " + key.doc + "\n      Expected: " + expectation(key) +
           "\n";
  }
  return out;
}

std::string explain_markdown(const config_listing& visit) {
  const auto tree = collect(visit);
  std::string out, section = "\n";
  for (auto& [key, yaml, json] : tree.keys) {
    if (parent_of(key.path) != section) {
      section = parent_of(key.path);
      (out += out.empty() ? "" : "\n") += "## `" + (section.empty() ? "top level" : section) + "`\n\n";
      if (auto doc = sentence_of(tree, section); !doc.empty()) out += doc + "\n\n";
      out += "| key | default | expected | meaning |\n|---|---|---|---|\n";
    }
    out += "| `" + key.path + "` | `" + cell(yaml) + "` | " + cell(expectation(key)) + " | " + cell(key.doc) +
           " |\n";
  }
  return out;
}

json::value explain_json(const config_listing& visit) {
  json::array out;
  for (auto& [key, yaml, value] : collect(visit).keys)
    out.push_back(json::object{{"key", key.path},
                               {"type", type_of(key)},
                               {"value", value},
                               {"unit", key.unit},
                               {"expected", expectation(key)},
                               {"doc", key.doc}});
  return out;
}

json::value config_json(const config_listing& visit) { return nested(collect(visit), ""); }

std::vector<config_difference> config_diff(const config_listing& left, const config_listing& right) {
  const auto a = collect(left), b = collect(right);
  std::vector<config_difference> out;
  for (std::size_t i = 0; i < a.keys.size() && i < b.keys.size(); ++i)
    if (a.keys[i].yaml != b.keys[i].yaml) out.push_back({a.keys[i].key.path, a.keys[i].yaml, b.keys[i].yaml});
  return out;
}

} // namespace troupe::detail

#include "gpu/chat/evaluator.hpp"

#include "gpu/text/unicode.hpp"
#include <algorithm>
#include <utf8proc.h>

namespace troupe::jinja {

namespace {

std::string cased(std::string_view text, utf8proc_int32_t (*change)(utf8proc_int32_t)) {
  std::string out;
  for (std::size_t at = 0; at < text.size();)
    append_utf8(out, static_cast<char32_t>(change(static_cast<utf8proc_int32_t>(next_code_point(text, at)))));
  return out;
}

bool is_white(std::string_view character) {
  static const code_set spaces = [] {
    auto ranges = white_space();
    ranges.push_back({0x1C, 0x1F}); // what Python adds
    return code_set(merged(std::move(ranges)));
  }();
  std::size_t at = 0;
  return spaces.contains(next_code_point(character, at));
}

std::string title_case(const std::string& text) {
  static const code_set letters(*unicode_property("L"));
  std::string out;
  bool inside = false;
  for (auto& c : characters(text)) {
    out += inside ? lower_case(c) : upper_case(c);
    std::size_t at = 0;
    inside = letters.contains(next_code_point(c, at));
  }
  return out;
}

list split_text(const std::string& text, const value& separator, std::int64_t most, bool from_right) {
  list out;
  if (most < 0) most = std::int64_t{1} << 40;
  if (separator.is_none()) { // runs of white space; none at the ends
    std::vector<std::string> letters = characters(text);
    if (from_right) std::reverse(letters.begin(), letters.end());
    std::size_t at = 0;
    for (;;) {
      while (at < letters.size() && is_white(letters[at])) ++at;
      if (at == letters.size()) break;
      std::vector<std::string> word;
      const bool rest = static_cast<std::int64_t>(out.size()) == most;
      while (at < letters.size() && (rest || !is_white(letters[at]))) word.push_back(letters[at++]);
      while (rest && !word.empty() && is_white(word.back())) word.pop_back();
      if (from_right) std::reverse(word.begin(), word.end());
      std::string joined;
      for (auto& c : word) joined += c;
      out.push_back(joined);
    }
    if (from_right) std::reverse(out.begin(), out.end());
    return out;
  }
  if (!separator.if_string() || separator.if_string()->empty())
    throw failure("split needs a separator that is not empty");
  const auto& by = *separator.if_string();
  std::string_view rest = text;
  while (static_cast<std::int64_t>(out.size()) < most) {
    const auto at = from_right ? rest.rfind(by) : rest.find(by);
    if (at == rest.npos) break;
    out.push_back(from_right ? rest.substr(at + by.size()) : rest.substr(0, at));
    rest = from_right ? rest.substr(0, at) : rest.substr(at + by.size());
  }
  out.push_back(rest);
  if (from_right) std::reverse(out.begin(), out.end());
  return out;
}

bool begins_or_ends(const std::string& text, const value& with, bool ends) {
  if (const auto* list_of = with.if_list(); list_of && with.is_tuple())
    return std::any_of(list_of->begin(), list_of->end(),
                       [&](auto& one) { return begins_or_ends(text, one, ends); });
  if (!with.if_string()) throw failure("startswith and endswith need text");
  return ends ? text.ends_with(*with.if_string()) : text.starts_with(*with.if_string());
}

const std::string& text_argument(const call_arguments& with, std::size_t place) {
  if (place >= with.positional.size() || !with.positional[place].if_string())
    throw failure("a method of a text needs text");
  return *with.positional[place].if_string();
}

/// Python's find: counted in characters.
value found_at(const std::string& text, const std::string& what) {
  const auto at = text.find(what);
  return at == text.npos
             ? value(-1)
             : value(static_cast<std::int64_t>(characters(std::string_view(text).substr(0, at)).size()));
}

value joined(const std::string& by, const list& items) {
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!items[i].if_string()) throw failure("join found " + std::string(items[i].type()) + ", expected str");
    out += (i ? by : "") + *items[i].if_string();
  }
  return out;
}

value lines_of(const std::string& text, bool keep) {
  list out;
  std::string line;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool pair = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (text[i] != '\n' && text[i] != '\r') {
      line += text[i];
      continue;
    }
    if (keep) line += pair ? "\r\n" : std::string(1, text[i]);
    out.push_back(std::exchange(line, {}));
    i += pair;
  }
  if (!line.empty()) out.push_back(line);
  return out;
}

bool all_characters(const std::string& text, const code_set& of) {
  for (std::size_t at = 0; at < text.size();)
    if (!of.contains(next_code_point(text, at))) return false;
  return !text.empty();
}

using with = const call_arguments&;

value text_method(const std::string& text, const std::string& name, evaluator& by) {
  const auto method = [](auto f) { return value(function(f)); };
  if (name == "strip")
    return method([text](with a) { return value(stripped(text, a.get(0, "chars"), true, true)); });
  if (name == "lstrip")
    return method([text](with a) { return value(stripped(text, a.get(0, "chars"), true, false)); });
  if (name == "rstrip")
    return method([text](with a) { return value(stripped(text, a.get(0, "chars"), false, true)); });
  if (name == "split" || name == "rsplit")
    return method([text, name](with a) {
      return value(split_text(text, a.get(0, "sep"), a.get(1, "maxsplit", -1).integer(), name == "rsplit"));
    });
  if (name == "splitlines")
    return method([text](with a) { return lines_of(text, a.get(0, "keepends", false).truth()); });
  if (name == "startswith" || name == "endswith")
    return method(
        [text, name](with a) { return value(begins_or_ends(text, a.get(0, "prefix"), name == "endswith")); });
  if (name == "removeprefix")
    return method([text](with a) {
      return value(text.starts_with(text_argument(a, 0)) ? text.substr(text_argument(a, 0).size()) : text);
    });
  if (name == "removesuffix")
    return method([text](with a) {
      return value(text.ends_with(text_argument(a, 0))
                       ? text.substr(0, text.size() - text_argument(a, 0).size())
                       : text);
    });
  if (name == "upper") return method([text](with) { return value(upper_case(text)); });
  if (name == "lower") return method([text](with) { return value(lower_case(text)); });
  if (name == "title") return method([text](with) { return value(title_case(text)); });
  if (name == "capitalize")
    return method([text, &by](with a) { return apply_filter("capitalize", text, a, by); });
  if (name == "find") return method([text](with a) { return found_at(text, text_argument(a, 0)); });
  if (name == "count")
    return method([text](with a) {
      std::int64_t n = 0;
      const auto& what = text_argument(a, 0);
      if (what.empty()) throw failure("count needs text that is not empty");
      for (auto at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++n;
      return value(n);
    });
  if (name == "replace")
    return method([text, &by](with a) {
      auto out = replace_all(text, text_argument(a, 0), text_argument(a, 1), a.get(2, "count", -1).integer());
      by.spend_bytes(out.size());
      return value(out);
    });
  if (name == "join") return method([text](with a) { return joined(text, iterated(a.get(0, "iterable"))); });
  if (name == "isdigit" || name == "isalpha" || name == "isspace" || name == "isalnum")
    return method([text, name](with) {
      const auto ranges = name == "isdigit"   ? unicode_properties({"Nd"})
                          : name == "isalpha" ? unicode_properties({"L"})
                          : name == "isspace" ? white_space()
                                              : unicode_properties({"L", "Nd"});
      return value(all_characters(text, code_set(ranges)));
    });
  return undefined{name};
}

value map_method(const value& object, const std::string& name) {
  const auto method = [](auto f) { return value(function(f)); };
  if (name == "items")
    return method([object](with) {
      list out;
      for (auto& [key, held] : object.if_map()->items) out.emplace_back(list{key, held}, true);
      return value(std::move(out));
    });
  if (name == "keys") return method([object](with) { return value(iterated(object)); });
  if (name == "values")
    return method([object](with) {
      list out;
      for (auto& item : object.if_map()->items) out.push_back(item.second);
      return value(std::move(out));
    });
  if (name == "get")
    return method([object](with a) {
      const auto key = a.get(0, "key");
      const auto* found = key.if_string() ? object.if_map()->find(*key.if_string()) : nullptr;
      return found ? *found : a.get(1, "default");
    });
  if (name == "copy") return method([object](with) { return value(map_object(*object.if_map())); });
  for (auto changing : {"update", "pop", "popitem", "setdefault", "clear"})
    if (name == changing)
      throw failure("the method \"" + name + "\" would change data: not allowed in a template");
  return undefined{name};
}

value list_method(const value& object, const std::string& name) {
  const auto method = [](auto f) { return value(function(f)); };
  if (name == "index")
    return method([object](with a) {
      const auto& items = *object.if_list();
      const auto found = std::find(items.begin(), items.end(), a.get(0, "value"));
      if (found == items.end()) throw failure("index of what is not in the list");
      return value(static_cast<std::int64_t>(found - items.begin()));
    });
  if (name == "count")
    return method([object](with a) {
      return value(static_cast<std::int64_t>(
          std::count(object.if_list()->begin(), object.if_list()->end(), a.get(0, "value"))));
    });
  if (name == "copy") return method([object](with) { return object; });
  for (auto changing : {"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse"})
    if (name == changing)
      throw failure("the method \"" + name + "\" would change data: not allowed in a template");
  return undefined{name};
}

value method_of(const value& object, const std::string& name, evaluator& by) {
  if (object.if_string()) return text_method(*object.if_string(), name, by);
  if (const auto* map = object.if_map(); map && !map->space) return map_method(object, name);
  if (object.if_list()) return list_method(object, name);
  return undefined{name};
}

[[noreturn]] void no_parts(const value& object, const std::string& name) {
  throw failure("\"" + object.if_undefined()->name + "\" is undefined and has no \"" + name + "\"");
}

} // namespace

value attribute_of(const value& object, const std::string& name, evaluator& by) {
  if (object.is_undefined()) no_parts(object, name);
  auto found = method_of(object, name, by); // Python's attributes come before the keys of a dict
  if (!found.is_undefined()) return found;
  if (const auto* map = object.if_map())
    if (const auto* held = map->find(name)) return *held;
  return undefined{name};
}

value item_of(const value& object, const value& key, evaluator& by) {
  if (object.is_undefined()) no_parts(object, key.text());
  if (const auto* name = key.if_string()) {
    const auto* map = object.if_map();
    if (const auto* held = map ? map->find(*name) : nullptr) return *held;
    return method_of(object, *name, by);
  }
  if (key.if_int() || key.if_bool()) {
    auto at = key.integer();
    if (const auto* items = object.if_list()) {
      if (at < 0) at += static_cast<std::int64_t>(items->size());
      if (at >= 0 && at < static_cast<std::int64_t>(items->size()))
        return (*items)[static_cast<std::size_t>(at)];
    } else if (object.if_string()) {
      const auto letters = characters(*object.if_string());
      if (at < 0) at += static_cast<std::int64_t>(letters.size());
      if (at >= 0 && at < static_cast<std::int64_t>(letters.size()))
        return letters[static_cast<std::size_t>(at)];
    }
  }
  return undefined{key.text()};
}

list iterated(const value& object) {
  list out;
  if (const auto* items = object.if_list()) return *items;
  if (const auto* text = object.if_string())
    for (auto& c : characters(*text)) out.emplace_back(c);
  else if (const auto* map = object.if_map(); map && !map->space)
    for (auto& item : map->items) out.emplace_back(item.first);
  else if (!object.is_undefined())
    throw failure("cannot go through " + std::string(object.type()));
  return out;
}

bool contains(const value& in, const value& what) {
  if (const auto* text = in.if_string()) {
    if (!what.if_string()) throw failure("in a str there is only str, found " + std::string(what.type()));
    return text->find(*what.if_string()) != text->npos;
  }
  if (const auto* map = in.if_map()) return what.if_string() && map->find(*what.if_string());
  const auto items = iterated(in);
  return std::find(items.begin(), items.end(), what) != items.end();
}

std::string stripped(const std::string& text, const value& set, bool left, bool right) {
  auto letters = characters(text);
  const auto goes = [&](const std::string& c) { return set.is_none() ? is_white(c) : contains(set, c); };
  std::size_t begin = 0, end = letters.size();
  while (left && begin < end && goes(letters[begin])) ++begin;
  while (right && end > begin && goes(letters[end - 1])) --end;
  std::string out;
  for (; begin < end; ++begin) out += letters[begin];
  return out;
}

std::string upper_case(std::string_view text) { return cased(text, utf8proc_toupper); }
std::string lower_case(std::string_view text) { return cased(text, utf8proc_tolower); }

std::string replace_all(const std::string& text, const std::string& what, const std::string& by,
                        std::int64_t most) {
  std::string out;
  if (what.empty()) { // Python puts it between all characters
    for (auto& c : characters(text)) {
      if (most != 0) out += by, --most;
      out += c;
    }
    return most != 0 ? out + by : out;
  }
  std::size_t at = 0;
  for (auto found = text.find(what); found != text.npos && most != 0; found = text.find(what, at), --most) {
    out.append(text, at, found - at).append(by);
    at = found + what.size();
  }
  return out.append(text, at);
}

} // namespace troupe::jinja

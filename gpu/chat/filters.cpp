#include "gpu/chat/evaluator.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace troupe::jinja {

namespace {

using with = const call_arguments&;

value length(const value& of, with, evaluator&) {
  if (const auto* text = of.if_string()) return static_cast<std::int64_t>(characters(*text).size());
  if (const auto* items = of.if_list()) return static_cast<std::int64_t>(items->size());
  if (const auto* map = of.if_map(); map && !map->space) return static_cast<std::int64_t>(map->items.size());
  if (of.is_undefined()) return 0;
  throw failure(std::string(of.type()) + " has no length");
}

value to_json(const value& of, with a, evaluator&) {
  value::json_format format;
  const auto indent = a.get(1, "indent"), separators = a.get(2, "separators");
  format.ascii = a.get(0, "ensure_ascii", false).truth();
  if (!indent.is_none())
    format.indent = static_cast<int>(std::clamp<std::int64_t>(indent.integer(), 0, 100)),
    format.between = ",";
  if (!separators.is_none()) {
    const auto parts = iterated(separators);
    if (parts.size() != 2) throw failure("tojson needs two separators");
    format.between = parts[0].text(), format.after_key = parts[1].text();
  }
  format.sorted = a.get(3, "sort_keys", false).truth();
  return of.to_json(format);
}

value default_value(const value& of, with a, evaluator&) {
  return of.is_undefined() || (a.get(1, "boolean", false).truth() && !of.truth())
             ? a.get(0, "default_value", "")
             : of;
}

value join(const value& of, with a, evaluator& by) {
  const auto between = a.get(0, "d", "").text();
  const auto name = a.get(1, "attribute");
  std::string out;
  bool first = true;
  for (auto& item : iterated(of)) {
    out += (first ? "" : between) + (name.is_none() ? item : attribute_of(item, name.text(), by)).text();
    first = false;
  }
  return out;
}

value capitalised(const value& of, with, evaluator&) {
  auto letters = characters(of.text());
  std::string out;
  for (std::size_t i = 0; i < letters.size(); ++i)
    out += i == 0 ? upper_case(letters[i]) : lower_case(letters[i]);
  return out;
}

value to_int(const value& of, with a, evaluator&) {
  if (of.is_number() && !of.if_float()) return of.integer();
  if (of.if_float() && std::abs(*of.if_float()) < 9e18) return static_cast<std::int64_t>(*of.if_float());
  if (of.if_string()) {
    const auto text = stripped(*of.if_string(), {}, true, true);
    std::int64_t out = 0;
    const auto [end, why] =
        std::from_chars(text.data() + text.starts_with('+'), text.data() + text.size(), out);
    if (why == std::errc() && end == text.data() + text.size() && !text.empty()) return out;
    double real = 0;
    const auto [real_end, real_why] = std::from_chars(text.data(), text.data() + text.size(), real);
    if (real_why == std::errc() && real_end == text.data() + text.size() && std::abs(real) < 9e18)
      return static_cast<std::int64_t>(real);
  }
  return a.get(0, "default", 0);
}

value to_float(const value& of, with a, evaluator&) {
  if (of.is_number()) return of.number();
  if (of.if_string()) {
    const auto text = stripped(*of.if_string(), {}, true, true);
    double out = 0;
    const auto [end, why] =
        std::from_chars(text.data() + text.starts_with('+'), text.data() + text.size(), out);
    if (why == std::errc() && end == text.data() + text.size() && !text.empty()) return out;
  }
  return a.get(0, "default", 0.0);
}

value rounded(const value& of, with a, evaluator&) {
  const auto places = a.get(0, "precision", 0).integer();
  const auto method = a.get(1, "method", "common").text();
  const double factor = std::pow(10.0, static_cast<double>(places)), x = of.number();
  if (method == "ceil") return std::ceil(x * factor) / factor;
  if (method == "floor") return std::floor(x * factor) / factor;
  return places == 0 ? std::nearbyint(x) : std::nearbyint(x * factor) / factor;
}

value part_of(const value& item, const std::string& path, evaluator& by) { // "function.name", "0"
  value out = item;
  for (std::size_t at = 0; at <= path.size();) {
    const auto end = std::min(path.find('.', at), path.size());
    const auto name = path.substr(at, end - at);
    const bool number =
        !name.empty() && name.size() < 10 && name.find_first_not_of("0123456789") == name.npos;
    out = number ? item_of(out, std::int64_t{std::stoll(name)}, by) : item_of(out, name, by);
    at = end + 1;
  }
  return out;
}

value sorted(const value& of, with a, evaluator& by) {
  auto items = iterated(of);
  const bool down = a.get(0, "reverse", false).truth(), exact = a.get(1, "case_sensitive", false).truth();
  const auto name = a.get(2, "attribute");
  const auto key = [&](const value& item) {
    auto out = name.is_none() ? item : part_of(item, name.text(), by);
    return !exact && out.if_string() ? value(lower_case(*out.if_string())) : out;
  };
  std::stable_sort(items.begin(), items.end(), [&](auto& x, auto& y) {
    return down ? compare(key(y), key(x)) < 0 : compare(key(x), key(y)) < 0;
  });
  return items;
}

value sorted_map(const value& of, with a, evaluator&) {
  const auto* map = of.if_map();
  if (!map) throw failure("dictsort of " + std::string(of.type()));
  list items;
  for (auto& [key, held] : map->items) items.emplace_back(list{key, held}, true);
  const bool exact = a.get(0, "case_sensitive", false).truth(), down = a.get(2, "reverse", false).truth();
  const auto place = a.get(1, "by", "key").text() == "value" ? 1u : 0u;
  const auto key = [&](const value& item) {
    const auto& out = (*item.if_list())[place];
    return !exact && out.if_string() ? value(lower_case(*out.if_string())) : out;
  };
  std::stable_sort(items.begin(), items.end(), [&](auto& x, auto& y) {
    return down ? compare(key(y), key(x)) < 0 : compare(key(x), key(y)) < 0;
  });
  return items;
}

value unique(const value& of, with a, evaluator& by) {
  const auto name = a.get(1, "attribute");
  const bool exact = a.get(0, "case_sensitive", false).truth();
  list out, seen;
  for (auto& item : iterated(of)) {
    auto key = name.is_none() ? item : part_of(item, name.text(), by);
    if (!exact && key.if_string()) key = lower_case(*key.if_string());
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) continue;
    seen.push_back(key), out.push_back(item);
  }
  return out;
}

value mapped(const value& of, with a, evaluator& by) {
  list out;
  const auto name = a.get(~std::size_t{0}, "attribute");
  const auto absent = a.get(~std::size_t{0}, "default");
  for (auto& item : iterated(of)) {
    if (!name.is_none()) {
      auto found = part_of(item, name.text(), by);
      out.push_back(found.is_undefined() && !absent.is_none() ? absent : found);
      continue;
    }
    if (a.positional.empty()) throw failure("map needs a filter or attribute=");
    const call_arguments rest{{a.positional.begin() + 1, a.positional.end()}, a.named};
    out.push_back(apply_filter(a.positional[0].text(), item, rest, by));
  }
  return out;
}

/// select, reject, selectattr and rejectattr.
value chosen(const value& of, with a, evaluator& by, bool by_part, bool keep) {
  if (by_part && a.positional.empty()) throw failure("selectattr and rejectattr need a name");
  const std::size_t test_at = by_part ? 1 : 0;
  list out;
  for (auto& item : iterated(of)) {
    const auto what = by_part ? part_of(item, a.positional[0].text(), by) : item;
    bool holds = what.truth();
    if (a.positional.size() > test_at) {
      const call_arguments rest{
          {a.positional.begin() + static_cast<std::ptrdiff_t>(test_at) + 1, a.positional.end()}, a.named};
      holds = apply_test(a.positional[test_at].text(), what, rest);
    }
    if (holds == keep) out.push_back(item);
  }
  return out;
}

value indented(const value& of, with a, evaluator&) {
  const auto width = a.get(0, "width", 4);
  const auto step =
      width.if_string()
          ? *width.if_string()
          : std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(width.integer(), 0, 1000)), ' ');
  const bool first = a.get(1, "first", false).truth(), blank = a.get(2, "blank", false).truth();
  std::string out = first ? step : "";
  const auto text = of.text();
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] != '\n') continue;
    const bool empty_line = i + 1 == text.size() || text[i + 1] == '\n';
    if (!empty_line || blank) out += step;
  }
  return out;
}

value reversed(const value& of, with, evaluator&) {
  if (of.if_string()) {
    std::string out;
    for (auto& c : characters(*of.if_string())) out.insert(0, c);
    return out;
  }
  auto items = iterated(of);
  std::reverse(items.begin(), items.end());
  return items;
}

value extreme(const value& of, bool greatest) {
  const auto items = iterated(of);
  if (items.empty()) return undefined{"the least or greatest of nothing"};
  auto out = items[0];
  for (auto& item : items)
    if (greatest ? compare(item, out) > 0 : compare(item, out) < 0) out = item;
  return out;
}

value summed(const value& of, with a, evaluator& by) {
  const auto name = a.get(0, "attribute");
  double real = 0;
  std::int64_t total = a.get(1, "start", 0).integer();
  bool is_real = false;
  for (auto& item : iterated(of)) {
    const auto one = name.is_none() ? item : part_of(item, name.text(), by);
    if (one.if_float())
      is_real = true, real += *one.if_float();
    else if (__builtin_add_overflow(total, one.integer(), &total))
      throw failure("a whole number beyond 64 bits");
  }
  return is_real ? value(real + static_cast<double>(total)) : value(total);
}

value first_or_last(const value& of, bool last) {
  const auto items = iterated(of);
  return items.empty() ? value(undefined{last ? "the last of nothing" : "the first of nothing"})
         : last        ? items.back()
                       : items.front();
}

value listed_pairs(const value& of) {
  list out;
  if (of.is_undefined()) return out;
  const auto* map = of.if_map();
  if (!map) throw failure("items of " + std::string(of.type()));
  for (auto& [key, held] : map->items) out.emplace_back(list{key, held}, true);
  return out;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) switch (c) {
    case '&': out += "&amp;"; break;
    case '<': out += "&lt;"; break;
    case '>': out += "&gt;"; break;
    case '"': out += "&#34;"; break;
    case '\'': out += "&#39;"; break;
    default: out += c;
    }
  return out;
}

} // namespace

value apply_filter(const std::string& name, const value& of, const call_arguments& a, evaluator& by) {
  static const std::map<std::string, value (*)(const value&, with, evaluator&)> filters{
      {"length", length},
      {"count", length},
      {"tojson", to_json},
      {"default", default_value},
      {"d", default_value},
      {"join", join},
      {"capitalize", capitalised},
      {"int", to_int},
      {"float", to_float},
      {"round", rounded},
      {"sort", sorted},
      {"dictsort", sorted_map},
      {"unique", unique},
      {"map", mapped},
      {"indent", indented},
      {"reverse", reversed},
      {"sum", summed},
      {"trim",
       [](const value& v, with w, evaluator&) -> value {
         return stripped(v.text(), w.get(0, "chars"), true, true);
       }},
      {"upper", [](const value& v, with, evaluator&) -> value { return upper_case(v.text()); }},
      {"lower", [](const value& v, with, evaluator&) -> value { return lower_case(v.text()); }},
      {"title",
       [](const value& v, with, evaluator& e) -> value {
         return (*attribute_of(v.text(), "title", e).if_function())({});
       }},
      {"string", [](const value& v, with, evaluator&) -> value { return v.text(); }},
      {"safe", [](const value& v, with, evaluator&) -> value { return v.text(); }},
      {"escape", [](const value& v, with, evaluator&) -> value { return escaped(v.text()); }},
      {"e", [](const value& v, with, evaluator&) -> value { return escaped(v.text()); }},
      {"list", [](const value& v, with, evaluator&) -> value { return iterated(v); }},
      {"items", [](const value& v, with, evaluator&) -> value { return listed_pairs(v); }},
      {"first", [](const value& v, with, evaluator&) -> value { return first_or_last(v, false); }},
      {"last", [](const value& v, with, evaluator&) -> value { return first_or_last(v, true); }},
      {"min", [](const value& v, with, evaluator&) -> value { return extreme(v, false); }},
      {"max", [](const value& v, with, evaluator&) -> value { return extreme(v, true); }},
      {"abs",
       [](const value& v, with, evaluator&) -> value {
         return v.if_float() ? value(std::abs(*v.if_float())) : value(std::abs(v.integer()));
       }},
      {"select", [](const value& v, with w, evaluator& e) -> value { return chosen(v, w, e, false, true); }},
      {"reject", [](const value& v, with w, evaluator& e) -> value { return chosen(v, w, e, false, false); }},
      {"selectattr",
       [](const value& v, with w, evaluator& e) -> value { return chosen(v, w, e, true, true); }},
      {"rejectattr",
       [](const value& v, with w, evaluator& e) -> value { return chosen(v, w, e, true, false); }},
      {"attr",
       [](const value&, with, evaluator&) -> value {
         throw failure("the filter \"attr\" is not allowed in a template");
       }},
      {"replace",
       [](const value& v, with w, evaluator&) -> value {
         return replace_all(v.text(), w.get(0, "old").text(), w.get(1, "new").text(),
                            w.get(2, "count", -1).integer());
       }},
  };
  const auto found = filters.find(name);
  if (found == filters.end()) throw failure("the filter \"" + name + "\" is not supported");
  auto out = found->second(of, a, by);
  if (const auto* text = out.if_string()) by.spend_bytes(text->size());
  if (const auto* items = out.if_list()) by.spend_bytes(items->size() * sizeof(value));
  return out;
}

bool apply_test(const std::string& name, const value& of, const call_arguments& a) {
  const auto other = [&] {
    if (a.positional.size() != 1) throw failure("the test \"" + name + "\" needs a value");
    return a.positional[0];
  };
  if (name == "defined") return !of.is_undefined();
  if (name == "undefined") return of.is_undefined();
  if (name == "none") return of.is_none();
  if (name == "true") return of.if_bool() && *of.if_bool();
  if (name == "false") return of.if_bool() && !*of.if_bool();
  if (name == "boolean") return of.if_bool();
  if (name == "integer") return of.if_int();
  if (name == "float") return of.if_float();
  if (name == "number") return of.is_number();
  if (name == "string") return of.if_string();
  if (name == "mapping") return of.if_map() && !of.if_map()->space;
  if (name == "sequence" || name == "iterable")
    return of.if_list() || of.if_string() || of.is_undefined() || (of.if_map() && !of.if_map()->space);
  if (name == "callable") return of.if_function() || of.is_undefined();
  if (name == "odd" || name == "even") return (of.integer() % 2 != 0) == (name == "odd");
  if (name == "divisibleby") {
    if (other().integer() == 0) throw failure("a division by zero");
    return of.integer() % other().integer() == 0;
  }
  if (name == "lower") return of.text() != upper_case(of.text()) && of.text() == lower_case(of.text());
  if (name == "upper") return of.text() != lower_case(of.text()) && of.text() == upper_case(of.text());
  if (name == "in") return contains(other(), of);
  if (name == "equalto" || name == "eq" || name == "==") return of == other();
  if (name == "ne" || name == "!=") return !(of == other());
  if (name == "lt" || name == "lessthan" || name == "<") return compare(of, other()) < 0;
  if (name == "le" || name == "<=") return compare(of, other()) <= 0;
  if (name == "gt" || name == "greaterthan" || name == ">") return compare(of, other()) > 0;
  if (name == "ge" || name == ">=") return compare(of, other()) >= 0;
  if (name == "sameas") return of.type() == other().type() && of == other();
  throw failure("the test \"" + name + "\" is not supported");
}

} // namespace troupe::jinja

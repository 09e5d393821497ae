#include "gpu/chat/value.hpp"

#include "gpu/text/unicode.hpp"
#include <algorithm>
#include <charconv>
#include <cmath>

namespace troupe::jinja {

namespace {

void append_hex(std::string& to, std::string_view prefix, unsigned number, int digits) {
  to += prefix;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) to += "0123456789abcdef"[(number >> shift) & 15];
}

/// repr of a str: single quotes, unless it has some and no double ones.
std::string quoted(const std::string& text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  static const code_set unprintable(unicode_properties({"C", "Z"}));
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    const auto c = next_code_point(text, at);
    if (c == static_cast<unsigned char>(quote) || c == '\\')
      (out += '\\') += static_cast<char>(c);
    else if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c != ' ' && unprintable.contains(c))
      c < 0x100     ? append_hex(out, "\\x", c, 2)
      : c < 0x10000 ? append_hex(out, "\\u", c, 4)
                    : append_hex(out, "\\U", c, 8);
    else
      out.append(text, begin, at - begin);
  }
  return out += quote;
}

std::string json_string(const std::string& text, bool ascii) {
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const auto begin = at;
    const auto c = next_code_point(text, at);
    switch (c) {
    case '"': out += "\\\""; break;
    case '\\': out += "\\\\"; break;
    case '\n': out += "\\n"; break;
    case '\r': out += "\\r"; break;
    case '\t': out += "\\t"; break;
    case '\b': out += "\\b"; break;
    case '\f': out += "\\f"; break;
    default:
      if (c < 0x20 || (ascii && c > 0x7E && c < 0x10000)) {
        append_hex(out, "\\u", c, 4);
      } else if (ascii && c >= 0x10000) {
        append_hex(out, "\\u", 0xD800 + ((c - 0x10000) >> 10), 4);
        append_hex(out, "\\u", 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
      } else {
        out.append(text, begin, at - begin);
      }
    }
  }
  return out += '"';
}

} // namespace

const value* map_object::find(std::string_view key) const {
  const auto found = std::find_if(items.begin(), items.end(), [&](auto& item) { return item.first == key; });
  return found == items.end() ? nullptr : &found->second;
}

void map_object::set(const std::string& key, value to) {
  const auto found = std::find_if(items.begin(), items.end(), [&](auto& item) { return item.first == key; });
  if (found == items.end())
    items.emplace_back(key, std::move(to));
  else
    found->second = std::move(to);
}

value value::from_json(const json::value& from) {
  if (from.is_null()) return {};
  if (const auto* b = from.if_bool()) return *b;
  if (const auto* n = from.if_int64()) return *n;
  if (from.is_number()) return from.to_number<double>();
  if (const auto* s = from.if_string()) return std::string_view(*s);
  if (const auto* array = from.if_array()) {
    list out;
    for (auto& item : *array) out.push_back(from_json(item));
    return out;
  }
  map_object out;
  for (auto& [key, item] : from.as_object()) out.items.emplace_back(key, from_json(item));
  return out;
}

const list* value::if_list() const {
  const auto* held = std::get_if<std::shared_ptr<list_object>>(&held_);
  return held ? &(*held)->items : nullptr;
}
bool value::is_tuple() const {
  const auto* held = std::get_if<std::shared_ptr<list_object>>(&held_);
  return held && (*held)->tuple;
}
map_object* value::if_map() const {
  const auto* held = std::get_if<std::shared_ptr<map_object>>(&held_);
  return held ? held->get() : nullptr;
}
const function* value::if_function() const {
  const auto* held = std::get_if<std::shared_ptr<function>>(&held_);
  return held ? held->get() : nullptr;
}

double value::number() const {
  if (const auto* b = if_bool()) return *b;
  if (const auto* n = if_int()) return static_cast<double>(*n);
  if (const auto* d = if_float()) return *d;
  throw failure("found " + std::string(type()) + ", expected a number");
}

std::int64_t value::integer() const {
  if (const auto* b = if_bool()) return *b;
  if (const auto* n = if_int()) return *n;
  throw failure("found " + std::string(type()) + ", expected a whole number");
}

bool value::truth() const {
  if (const auto* b = if_bool()) return *b;
  if (const auto* n = if_int()) return *n != 0;
  if (const auto* d = if_float()) return *d != 0;
  if (const auto* s = if_string()) return !s->empty();
  if (const auto* l = if_list()) return !l->empty();
  if (const auto* m = if_map()) return m->space || !m->items.empty();
  return if_function() != nullptr;
}

std::string_view value::type() const {
  if (is_none()) return "None";
  if (is_undefined()) return "undefined";
  if (if_bool()) return "bool";
  if (if_int()) return "int";
  if (if_float()) return "float";
  if (if_string()) return "str";
  if (if_list()) return is_tuple() ? "tuple" : "list";
  if (const auto* m = if_map()) return m->space ? "namespace" : "dict";
  return "function";
}

std::string value::text() const {
  if (is_undefined()) return "";
  if (const auto* s = if_string()) return *s;
  return repr();
}

std::string value::repr() const {
  if (is_none()) return "None";
  if (is_undefined()) return "Undefined";
  if (const auto* b = if_bool()) return *b ? "True" : "False";
  if (const auto* n = if_int()) return std::to_string(*n);
  if (const auto* d = if_float()) return float_text(*d);
  if (const auto* s = if_string()) return quoted(*s);
  std::string out;
  if (const auto* l = if_list()) {
    for (auto& item : *l) out += (out.empty() ? "" : ", ") + item.repr();
    if (!is_tuple()) return "[" + out + "]";
    return "(" + out + (l->size() == 1 ? ",)" : ")");
  }
  if (const auto* m = if_map()) {
    for (auto& [key, item] : m->items) out += (out.empty() ? "" : ", ") + quoted(key) + ": " + item.repr();
    return m->space ? "<Namespace {" + out + "}>" : "{" + out + "}";
  }
  throw failure("a function has no text");
}

std::string value::to_json(const json_format& format) const {
  std::string out;
  write_json(out, format, 0);
  return out;
}

void value::write_json(std::string& to, const json_format& format, int depth) const {
  const auto new_line = [&](int at) {
    if (format.indent >= 0)
      (to += '\n').append(static_cast<std::size_t>(format.indent) * static_cast<std::size_t>(at), ' ');
  };
  if (is_none()) return void(to += "null");
  if (const auto* b = if_bool()) return void(to += *b ? "true" : "false");
  if (const auto* n = if_int()) return void(to += std::to_string(*n));
  if (const auto* d = if_float())
    return void(to += std::isnan(*d)   ? "NaN"
                      : std::isinf(*d) ? (*d > 0 ? "Infinity" : "-Infinity")
                                       : float_text(*d));
  if (const auto* s = if_string()) return void(to += json_string(*s, format.ascii));
  if (const auto* l = if_list()) {
    if (l->empty()) return void(to += "[]");
    to += '[';
    for (std::size_t i = 0; i < l->size(); ++i) {
      if (i > 0) to += format.between;
      new_line(depth + 1);
      (*l)[i].write_json(to, format, depth + 1);
    }
    new_line(depth);
    return void(to += ']');
  }
  const auto* m = if_map();
  if (!m || m->space) throw failure(std::string(type()) + " cannot be written as JSON");
  if (m->items.empty()) return void(to += "{}");
  std::vector<const std::pair<std::string, value>*> order;
  for (auto& item : m->items) order.push_back(&item);
  if (format.sorted)
    std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->first < b->first; });
  to += '{';
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i > 0) to += format.between;
    new_line(depth + 1);
    (to += json_string(order[i]->first, format.ascii)) += format.after_key;
    order[i]->second.write_json(to, format, depth + 1);
  }
  new_line(depth);
  to += '}';
}

bool operator==(const value& a, const value& b) {
  if (a.is_number() && b.is_number()) {
    if (!a.if_float() && !b.if_float()) return a.integer() == b.integer();
    return a.number() == b.number();
  }
  if (a.if_string() && b.if_string()) return *a.if_string() == *b.if_string();
  if (a.if_list() && b.if_list()) return a.is_tuple() == b.is_tuple() && *a.if_list() == *b.if_list();
  if (const auto* x = a.if_map(), *y = b.if_map(); x && y) {
    if (x->space || y->space) return x == y;
    if (x->items.size() != y->items.size()) return false;
    return std::all_of(x->items.begin(), x->items.end(), [&](auto& item) {
      const auto* other = y->find(item.first);
      return other && *other == item.second;
    });
  }
  return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined()) ||
         (a.if_function() && a.if_function() == b.if_function());
}

int compare(const value& a, const value& b) {
  if (a.is_number() && b.is_number()) {
    if (!a.if_float() && !b.if_float()) return a.integer() < b.integer() ? -1 : a.integer() > b.integer();
    return a.number() < b.number() ? -1 : a.number() > b.number();
  }
  if (a.if_string() && b.if_string()) { // the order of UTF-8 is that of code points
    const int order = a.if_string()->compare(*b.if_string());
    return order < 0 ? -1 : order > 0;
  }
  if (a.if_list() && b.if_list() && a.is_tuple() == b.is_tuple()) {
    for (std::size_t i = 0; i < a.if_list()->size() && i < b.if_list()->size(); ++i)
      if (const int order = compare((*a.if_list())[i], (*b.if_list())[i])) return order;
    return a.if_list()->size() < b.if_list()->size() ? -1 : a.if_list()->size() > b.if_list()->size();
  }
  throw failure(std::string(a.type()) + " and " + std::string(b.type()) + " have no order");
}

bool call_arguments::has(std::size_t place, std::string_view name) const {
  return place < positional.size() ||
         std::any_of(named.begin(), named.end(), [&](auto& one) { return one.first == name; });
}

value call_arguments::get(std::size_t place, std::string_view name, value absent) const {
  if (place < positional.size()) return positional[place];
  for (auto& [key, given] : named)
    if (key == name) return given;
  return absent;
}

std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char room[32];
  const auto end = std::to_chars(room, room + sizeof room, number, std::chars_format::scientific).ptr;
  const std::string shortest(room, end);
  const int exponent = std::stoi(shortest.substr(shortest.find('e') + 1));
  if (exponent < -4 || exponent >= 16) return shortest; // at least two digits of exponent, as in Python
  const auto fixed = std::to_chars(room, room + sizeof room, number, std::chars_format::fixed).ptr;
  std::string out(room, fixed);
  return out.find('.') == out.npos ? out + ".0" : out;
}

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < text.size();) {
    const auto n = std::max<std::size_t>(1, utf8_length(text, at));
    out.emplace_back(text.substr(at, n));
    at += n;
  }
  return out;
}

} // namespace troupe::jinja

#include "gym/schema.hpp"

#include <cmath>

namespace troupe {

namespace {

constexpr int max_depth = 64;
using fault = std::optional<std::string>;

std::string spoken(std::string_view type) {
  if (type == "array") return "a list";
  return (type == "object" || type == "integer" ? "an " : "a ") + std::string(type);
}

bool whole(const json::value& what) {
  if (what.is_int64() || what.is_uint64()) return true;
  return what.is_double() && std::isfinite(what.get_double()) &&
         what.get_double() == std::trunc(what.get_double());
}

bool has_type(const json::value& what, std::string_view type) {
  if (type == "string") return what.is_string();
  if (type == "object") return what.is_object();
  if (type == "array") return what.is_array();
  if (type == "boolean") return what.is_bool();
  if (type == "null") return what.is_null();
  if (type == "number") return what.is_number();
  if (type == "integer") return whole(what);
  return false;
}

std::size_t code_points(std::string_view text) {
  std::size_t n = 0;
  for (unsigned char c : text) n += (c & 0xC0) != 0x80;
  return n;
}

std::optional<double> bound(const json::object& schema, std::string_view key) {
  const auto* v = schema.if_contains(key);
  if (!v || !v->is_number()) return std::nullopt;
  return v->to_number<double>();
}

std::string number_text(double x) {
  const bool exact = x == std::trunc(x) && std::abs(x) < 1e15;
  return json::dump(exact ? json::value(static_cast<std::int64_t>(x)) : json::value(x));
}

fault range(const json::object& schema, const std::string& where, double found, const char* low,
            const char* high, const std::string& unit) {
  if (auto least = bound(schema, low); least && found < *least)
    return where + ": found " + number_text(found) + unit + ", expected at least " + number_text(*least);
  if (auto most = bound(schema, high); most && found > *most)
    return where + ": found " + number_text(found) + unit + ", expected at most " + number_text(*most);
  return std::nullopt;
}

fault check(const json::object& schema, const json::value& what, const std::string& where, int depth);

fault check_object(const json::object& schema, const json::object& what, const std::string& where,
                   int depth) {
  if (const auto* required = schema.if_contains("required"); required && required->is_array())
    for (const auto& key : required->get_array())
      if (key.is_string() && !what.contains(key.get_string()))
        return where + ": \"" + std::string(key.get_string()) + "\" is missing";
  const auto* declared = schema.if_contains("properties");
  const json::object* properties = declared ? declared->if_object() : nullptr;
  const auto* others = schema.if_contains("additionalProperties");
  for (const auto& field : what) {
    const std::string name = "\"" + std::string(field.key()) + "\"";
    const json::value* inner = properties ? properties->if_contains(field.key()) : nullptr;
    if (!inner && others) {
      if (others->is_bool() && !others->get_bool()) return where + ": " + name + " is not a known argument";
      inner = others;
    }
    if (!inner || !inner->is_object()) continue;
    if (auto bad = check(inner->get_object(), field.value(), name, depth + 1)) return bad;
  }
  return std::nullopt;
}

fault check_array(const json::object& schema, const json::array& what, const std::string& where, int depth) {
  if (auto bad = range(schema, where, static_cast<double>(what.size()), "minItems", "maxItems", " items"))
    return bad;
  const auto* items = schema.if_contains("items");
  if (!items || !items->is_object()) return std::nullopt;
  for (std::size_t i = 0; i < what.size(); ++i)
    if (auto bad = check(items->get_object(), what[i], where + "[" + std::to_string(i) + "]", depth + 1))
      return bad;
  return std::nullopt;
}

fault check_type(const json::object& schema, const json::value& what, const std::string& where) {
  const auto* type = schema.if_contains("type");
  if (!type) return std::nullopt;
  std::string wanted;
  const auto fits = [&](const json::value& one) {
    if (!one.is_string()) return false;
    wanted += (wanted.empty() ? "" : " or ") + spoken(one.get_string());
    return has_type(what, one.get_string());
  };
  if (type->is_string() && fits(*type)) return std::nullopt;
  if (type->is_array())
    for (const auto& one : type->get_array())
      if (fits(one)) return std::nullopt;
  const auto found = json::type_name(what);
  return where + ": found " + spoken(found == "list" ? "array" : found) + ", expected " +
         (wanted.empty() ? "an unknown type" : wanted);
}

fault check(const json::object& schema, const json::value& what, const std::string& where, int depth) {
  if (depth > max_depth) return where + ": nested too deeply";
  if (auto bad = check_type(schema, what, where)) return bad;
  if (const auto* choices = schema.if_contains("enum"); choices && choices->is_array()) {
    bool found = false;
    for (const auto& one : choices->get_array()) found = found || one == what;
    if (!found) return where + ": found " + json::dump(what) + ", expected one of " + json::dump(*choices);
  }
  if (what.is_string())
    return range(schema, where, static_cast<double>(code_points(what.get_string())), "minLength", "maxLength",
                 " characters");
  if (what.is_number()) return range(schema, where, what.to_number<double>(), "minimum", "maximum", "");
  if (what.is_array()) return check_array(schema, what.get_array(), where, depth);
  if (what.is_object()) return check_object(schema, what.get_object(), where, depth);
  return std::nullopt;
}

} // namespace

std::optional<std::string> schema_fault(const json::object& schema, const json::value& what) {
  return check(schema, what, "arguments", 0);
}

} // namespace troupe

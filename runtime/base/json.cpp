#include "runtime/base/json.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <simdjson.h>
#include <utility>

namespace troupe::json {

namespace {

constexpr int max_depth = 64;

expected<value> convert(simdjson::dom::element from, int depth) {
  if (depth > max_depth) return fail(errc::invalid, "JSON nested deeper than 64 levels");
  using kind = simdjson::dom::element_type;
  switch (from.type()) {
  case kind::OBJECT: {
    object out;
    for (auto field : simdjson::dom::object(from)) {
      if (out.contains(field.key))
        return fail(errc::invalid, "JSON key given twice: \"" + std::string(field.key) + "\"");
      auto inner = convert(field.value, depth + 1);
      if (!inner) return inner;
      out.emplace(field.key, std::move(*inner));
    }
    return value(std::move(out));
  }
  case kind::ARRAY: {
    array out;
    for (auto item : simdjson::dom::array(from)) {
      auto inner = convert(item, depth + 1);
      if (!inner) return inner;
      out.push_back(std::move(*inner));
    }
    return value(std::move(out));
  }
  case kind::STRING: return value(std::string_view(from));
  case kind::INT64: return value(std::int64_t(from));
  case kind::UINT64: return value(std::uint64_t(from));
  case kind::DOUBLE: return value(double(from));
  case kind::BOOL: return value(bool(from));
  case kind::NULL_VALUE: return value(nullptr);
  }
  return fail(errc::internal, "unknown JSON element");
}

template <class T, class Test>
expected<T> field(const object& from, std::string_view key, std::string_view wanted, Test test) {
  const value* found = from.if_contains(key);
  if (!found)
    return fail(errc::invalid, "\"" + std::string(key) + "\" is missing, expected " + std::string(wanted));
  if (auto got = test(*found)) return T(*got);
  const std::string article = found->is_object() ? "an " : found->is_null() ? "" : "a ";
  return fail(errc::invalid, "\"" + std::string(key) + "\" is " + article + std::string(type_name(*found)) +
                                 ", expected " + std::string(wanted));
}

} // namespace

expected<value> parse(std::string_view text) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (auto code = parser.parse(text.data(), text.size()).get(root); code != simdjson::SUCCESS)
    return fail(errc::invalid, std::string("not JSON: ") + simdjson::error_message(code));
  return convert(root, 0);
}

namespace {

void write(const value& what, std::string& out) {
  switch (what.kind()) {
  case boost::json::kind::object: {
    out += '{';
    bool first = true;
    for (const auto& field : what.get_object()) {
      if (!std::exchange(first, false)) out += ',';
      out += boost::json::serialize(field.key());
      out += ':';
      write(field.value(), out);
    }
    out += '}';
    break;
  }
  case boost::json::kind::array: {
    out += '[';
    bool first = true;
    for (const auto& item : what.get_array()) {
      if (!std::exchange(first, false)) out += ',';
      write(item, out);
    }
    out += ']';
    break;
  }
  case boost::json::kind::double_: { // the shortest text that reads back as the same double: 0.29, not 2.9E-1
    const double number = what.get_double();
    if (!std::isfinite(number)) {
      out += "null"; // JSON has no other word for it
      break;
    }
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, number).ptr;
    out.append(text, end);
    if (std::find_if(text, end, [](char c) { return c == '.' || c == 'e'; }) == end)
      out += ".0"; // stays a double
    break;
  }
  default: out += boost::json::serialize(what);
  }
}

} // namespace

std::string dump(const value& what) {
  std::string out;
  write(what, out);
  return out;
}

expected<std::string> string_at(const object& from, std::string_view key) {
  return field<std::string>(from, key, "a string", [](const value& v) { return v.if_string(); });
}

expected<std::int64_t> int_at(const object& from, std::string_view key) {
  return field<std::int64_t>(from, key, "a whole number", [](const value& v) { return v.if_int64(); });
}

expected<double> number_at(const object& from, std::string_view key) {
  return field<double>(from, key, "a number", [](const value& v) -> std::optional<double> {
    if (v.is_number()) return v.to_number<double>();
    return std::nullopt;
  });
}

expected<const array*> array_at(const object& from, std::string_view key) {
  return field<const array*>(from, key, "a list", [](const value& v) -> std::optional<const array*> {
    if (auto* a = v.if_array()) return a;
    return std::nullopt;
  });
}

expected<const object*> object_at(const object& from, std::string_view key) {
  return field<const object*>(from, key, "an object", [](const value& v) -> std::optional<const object*> {
    if (auto* o = v.if_object()) return o;
    return std::nullopt;
  });
}

std::string_view type_name(const value& what) {
  if (what.is_string()) return "string";
  if (what.is_object()) return "object";
  if (what.is_array()) return "list";
  if (what.is_bool()) return "boolean";
  if (what.is_null()) return "null";
  return "number";
}

} // namespace troupe::json

#pragma once

#include "runtime/base/error.hpp"
#include <boost/json.hpp>
#include <string>
#include <string_view>

namespace troupe::json {

using value = boost::json::value;
using object = boost::json::object;
using array = boost::json::array;

/// Parses one JSON document with simdjson (RFC 8259: UTF-8 checked, nothing after the value, nesting at most 64,
/// a duplicate key is an error). Errors: errc::invalid with the place and the reason.
expected<value> parse(std::string_view text);

/// One line, keys in the order of insertion; doubles survive a round trip exactly.
std::string dump(const value& what);

// -- reading a field: errc::invalid names the key, the type found and the type expected
expected<std::string> string_at(const object& from, std::string_view key);
expected<std::int64_t> int_at(const object& from, std::string_view key);
expected<double> number_at(const object& from, std::string_view key);
expected<const array*> array_at(const object& from, std::string_view key);
expected<const object*> object_at(const object& from, std::string_view key);

/// The name of a value's JSON type ("string", "number", ...), for messages.
std::string_view type_name(const value& what);

} // namespace troupe::json

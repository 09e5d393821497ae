#pragma once

#include "runtime/config.hpp"

namespace troupe::detail {

/// A key with its value written out at the time of the listing.
struct listed_key {
  config_key key; ///< `key.value` tells the type only: what it points to may be gone
  std::string yaml;
  json::value json;
};
struct config_tree {
  std::vector<listed_key> keys;
  std::vector<std::pair<std::string, std::string>> sections; ///< name, sentence
};
/// All keys and sections of a listing, in order.
config_tree collect(const config_listing& visit);

/// "a whole number of steps between 1 and 100000", "sync or async", "true or false".
std::string expectation(const config_key& key);
/// The type in a word or three: "integer", "number", "boolean", "text", "list of integers".
std::string_view type_of(const config_key& key);
/// A text as a YAML scalar, quoted where YAML would read it as something else.
std::string yaml_text(std::string_view text);

} // namespace troupe::detail

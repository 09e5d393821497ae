#pragma once

#include "runtime/base/json.hpp"
#include <optional>
#include <string>

namespace troupe {

/// Checks a value against the subset of JSON Schema (2020-12) that tools use: type, properties, required,
/// items, minItems, maxItems, minLength, maxLength (in code points), minimum, maximum, enum,
/// additionalProperties. Other keywords say nothing. Gives the first fault as a sentence ("\"queries\": found
/// a string, expected a list"), nothing if the value fits. Never throws.
std::optional<std::string> schema_fault(const json::object& schema, const json::value& what);

} // namespace troupe

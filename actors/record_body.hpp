#pragma once

#include "runtime/base/json.hpp"
#include "runtime/store.hpp"

namespace troupe {

/// What a record of the store says. Errors: corrupt, naming the record.
expected<json::object> body_of(const record& r);

} // namespace troupe

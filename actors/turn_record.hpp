#pragma once

#include "gpu/engine_core.hpp"
#include "runtime/base/json.hpp"

namespace troupe {

/// What a turn's record (turn_record_of) holds. Errors: corrupt.
expected<generated> generated_in(const json::object& turn_body);

} // namespace troupe

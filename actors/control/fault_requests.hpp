#pragma once

#include "actors/context.hpp"
#include "runtime/base/http.hpp"

namespace troupe {

/// Faults of a run in progress, by REST (actors/control/control_actor.hpp has the requests). Each is 403 in a run without
/// faults.enabled.

/// 201 {"added": [{"number", "rule"}, ...]}: all of them or, with 400, none.
http::response add_faults(self_ptr self, const run_context& ctx, const json::value& body);
/// 200 {"faults": [{"number", "rule", "reached", "strikes"}, ...]}
http::response list_faults(const run_context& ctx);
/// 204, or 404.
http::response remove_fault(const run_context& ctx, const std::string& number);

} // namespace troupe

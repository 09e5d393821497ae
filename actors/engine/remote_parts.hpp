#pragma once

#include "actors/context.hpp"

namespace troupe {

/// Makes a run's engine the server of engine.remote, once it has shown that it has what a run needs. Its weights are written to <run>/engine/,
/// with these further files (a tokenizer, without which a server reads no model). While it is away, engine_away is true and the log says so.
/// Errors: invalid (the key's variable is not set, an answer that a run cannot do with), unavailable or timeout (nobody answers there).
expected<void> use_remote_engine(run_context& ctx, std::map<std::string, std::string> companions);

} // namespace troupe

#pragma once

#include "gpu/remote/remote_engine.hpp"

namespace troupe {

/// What a server turned out to be.
struct remote_server {
  std::string dialect, model;
};
/// Asks a server, before a run begins, for what the run will need: a model, its length, the control routes, token ids, logprobs of the right
/// distribution and labels of one token. A server that a killed run has left paused is resumed. Errors: unavailable, timeout, invalid: one sentence that
/// names the URL, what was found and what was expected.
expected<remote_server> check_remote_server(const remote_options& options);

} // namespace troupe

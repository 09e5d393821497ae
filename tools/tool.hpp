#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/json.hpp"
#include <memory>
#include <string>
#include <vector>

namespace troupe {

/// What a tool tells the world about itself. `parameters` is a JSON Schema (2020-12) object.
struct tool_spec {
  std::string name, description;
  json::object parameters;
  bool idempotent =
      true; ///< safe to call again after a crash; otherwise it is asked for its outcome by its key
};

/// What a call needs from outside.
struct tool_context {
  std::string idempotency_key; ///< (task, rollout, turn, call): the same when the same call is repeated
  duration budget{};           ///< the call gives up (errc::timeout) past it
};

/// Something an agent can call. Thread-safe: several calls run at once. Blocking calls are run on a worker's thread.
/// Errors: invalid (arguments against the schema: the text goes to the model), not_found, timeout, exhausted, io. A failure
/// is an observation for the model or a failed rollout by the caller's policy, never a reward.
class tool {
public:
  virtual ~tool() = default;
  virtual const tool_spec& spec() const = 0;
  virtual expected<std::string> call(const json::object& arguments, const tool_context& context) = 0;
};
using tool_set = std::vector<std::shared_ptr<tool>>;

} // namespace troupe

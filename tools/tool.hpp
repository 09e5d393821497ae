#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include <cstdint>
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

/// What became of a call that was made in an earlier life of its caller.
struct tool_outcome {
  enum class fate : std::uint8_t {
    unknown, ///< the tool cannot tell, or the call is still in progress
    never,   ///< it has had no effect, and no request that is still on its way will have one
    done,    ///< it has had its effect
  } what = fate::unknown;
  expected<std::string> result = std::string(); ///< of a call that is done: what it answered
};

/// What a call needs from outside.
struct tool_context {
  std::string
      idempotency_key; ///< (rollout, turn, call), "t17.3/0/1": the same when the same call is repeated
  duration budget{};   ///< the call gives up (errc::timeout) past it
};

/// Something an agent can call. Thread-safe: several calls run at once. Blocking calls are run on a worker's thread.
/// Errors: invalid (arguments against the schema: the text goes to the model), not_found, timeout, exhausted, io. A failure
/// is an observation for the model or a failed rollout by the caller's policy, never a reward.
class tool {
public:
  virtual ~tool() = default;
  virtual const tool_spec& spec() const = 0;
  virtual expected<std::string> call(const json::object& arguments, const tool_context& context) = 0;
  /// Asked of a tool that is not idempotent before any call that is not known to be the first with its key. One that cannot tell
  /// leaves it as it is: then the rollout fails (errc::uncertain) rather than have the effect twice.
  virtual tool_outcome outcome(const std::string& /*idempotency_key*/) { return {}; }
};
using tool_set = std::vector<std::shared_ptr<tool>>;

} // namespace troupe

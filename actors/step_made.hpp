#pragma once

#include "runtime/base/json.hpp"

namespace troupe {

/// How a step changed the weights: what a replay of the run holds itself against (actors/run_replay.hpp). It stands in the step's
/// consumption, as "made", in the manifest and in the store.
struct step_made {
  static constexpr std::int64_t current_format = 1;
  std::int64_t format = current_format; ///< another one: recorded by another version of Troupe
  std::string before, after;            ///< weights_checksum
  double learning_rate = 0;
  std::int64_t threads = 1; ///< of the learner: gradients are added by thread
  std::string machine;      ///< processor and instruction set
};
json::object to_json(const step_made& made);
/// Errors: version (none there, or of another format), invalid.
expected<step_made> made_in(const json::object& consumption);

} // namespace troupe

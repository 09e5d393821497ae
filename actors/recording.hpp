#pragma once

#include "actors/context.hpp"
#include "actors/step_made.hpp"

namespace troupe {

/// A turn as it was recorded, and where it stands in its rollout.
struct recorded_turn {
  struct call {
    tool_call what;
    std::optional<observation> result;
  };
  std::uint64_t seq = 0; ///< of its record: no weights that were published later sampled it
  std::size_t begin = 0; ///< its first token in the rollout's tokens
  int room = 0;          ///< tokens that it might have had
  generated what;
  std::vector<call> calls; ///< with their results, as far as they came
};

/// A training rollout, read back from its records.
struct recorded_rollout {
  std::shared_ptr<trajectory> read; ///< as far as its records fit together
  std::vector<recorded_turn> turns;
  bool failed = false;
  std::optional<error> broken; ///< a record that does not fit what came before
};

/// What changed the weights: an optimizer step, or going back to an older checkpoint.
struct recorded_event {
  std::uint64_t seq = 0;
  bool rollback = false;
  std::uint64_t step =
      0; ///< from 0: makes version step + 1. Of a rollback: the version that the weights went back to
  json::object consumed; ///< as the store has it; empty for a rollback
  step_made made;
  std::vector<std::uint64_t> groups;
};

/// Every event of a run in the order of its commits, undone steps included. Errors: not_found (no step yet), version (recorded by
/// another version of Troupe), corrupt, io.
expected<std::vector<recorded_event>> read_events(event_store& store);

/// Errors: corrupt (the store itself), io. Records that contradict each other are `broken`, for the replay to report.
expected<recorded_rollout> read_recorded(event_store& store, const run_context& ctx, const rollout_key& key);

} // namespace troupe

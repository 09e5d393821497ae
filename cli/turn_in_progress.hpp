#pragma once

#include "actors/context.hpp"

namespace troupe::cli {

/// The turn that a rollout is in, as far as the journal of tokens has it; nothing between turns, and of one that has ended. Errors: corrupt,
/// io.
expected<std::optional<transcript_turn>> turn_in_progress(event_store& store, const trajectory_rules& rules,
                                                          const trajectory& so_far);

} // namespace troupe::cli

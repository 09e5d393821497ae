#pragma once

#include "actors/recording.hpp"

namespace troupe {

/// A replay of a recorded run, from its own records and configuration. Draws are keyed by (seed, sequence, position), every
/// token carries the version that sampled it, the engine is batch-invariant (ENG-1), and the store has what every step consumed, in order.
/// So nothing else decides the result: not the order of messages, not kills, not which rollout was parked when.
///   REPL-1  Every turn of every consumed rollout is sampled again with the weights of each token's version; tokens, logprobs and the
///           reason of its end are compared bit for bit. A turn may span versions: with rl.kv_on_update recompute a token is a
///           function of what precedes it, the seed and the weights. After `keep` it is not: such a run is refused.
///   REPL-2  Every tool call is made again and every verdict given again. What came from the moment and not from the call (a deadline, a
///           fault: actors/tool_call/tool_outcomes.hpp; a tool that is not idempotent) is taken as recorded, and counted.
///   REPL-3  Every step's batch is made again, compared with what was consumed, trained on, and the weights' checksum compared with
///           what was recorded. Steps that a lost checkpoint undid are replayed too: their weights sampled tokens.
///   REPL-4  The first difference ends it, in the order of steps, rollouts, turns and tokens.
struct replay_options {
  std::uint64_t first = 1; ///< steps, from 1, whose rollouts are compared
  std::uint64_t last = ~std::uint64_t{0};
  std::uint64_t rollouts = ~std::uint64_t{0};       ///< at most so many of each step
  std::function<void(const json::object&)> on_step; ///< {"step", "rollouts", "turns", "tokens", "seconds"}
};

/// {"equal": true or false, "difference": null or {"step", "rollout"?, "turn"?, "token"?, "what", "found" (recorded), "expected" (replayed),
///  "note"?}, "steps", "undone", "rollouts", "turns", "tokens", "tool_calls", "as_recorded", "verdicts", "not_compared": tokens older than where
///  it began, "weights": checksum, "machine": {"recorded", "here"}}
/// `folder`: the run's, for its checkpoints. Errors: invalid (kv_on_update keep; a range without steps), version (recorded by another version of
/// Troupe), not_found (no step yet), corrupt (the store), and what the parts say.
expected<json::object> replay_run(const context_ptr& ctx, event_store& store, const replay_options& options);

} // namespace troupe

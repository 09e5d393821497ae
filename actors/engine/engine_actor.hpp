#pragma once

#include "actors/ask_named.hpp"
#include <unordered_map>

namespace troupe {

/// Owns one generation engine and its KV cache. Continuous batching: requests join and leave between any two steps.
///
/// | in                    | out                                                      |
/// | generate              | generated, when the turn is complete                     |
/// | new_weights           | done: every later token has this version                 |
/// | forget_sequence       | -  (its KV is freed)                                     |
/// | engine_status_request | engine_status                                            |
///
/// | backpressure: loop    | consumes        | waits for    | unblocked by            |
/// | engine_step           | admitted turns  | KV memory    | a finished sequence     |
/// Callers are bounded: one open turn per rollout, and the rollout manager bounds the rollouts.
///
///   ENGA-1  Weights change between two steps, never inside one; running sequences are not drained.
///   ENGA-2  A restarted engine takes the published weights before its first step; it lost only KV, which is computed again.
///   ENGA-3  A repeated request for a sequence replaces the older one, whose asker is dead.
class engine_actor {
public:
  static constexpr const char* name = "engine";
  engine_actor(self_ptr self, context_ptr ctx);
  behavior make_behavior();

private:
  void step();
  void schedule();

  self_ptr self_;
  context_ptr ctx_;
  std::unique_ptr<engine_core> core_;
  std::unordered_map<std::uint64_t, reply<generated>> open_; ///< by sequence; never iterated
  std::vector<generated> finished_;
  std::uint64_t version_ = 0;
  bool has_weights_ = false, scheduled_ = false;
  duration started_{}, busy_{};
};

} // namespace troupe

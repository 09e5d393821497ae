#pragma once

#include "actors/ask_named.hpp"

namespace troupe {

/// What one tool call needs.
struct tool_job {
  rollout_key key;
  std::uint64_t turn = 0;
  std::size_t call = 0;
  tool_call what;
  actor_ref asker; ///< the rollout's current life
};

/// One call of one tool: lives for it and ends. Its death is the supervisor's to repeat (tools here are idempotent), its silence
/// ends with the rollout's deadline.
///
/// | in       | out                                                        |
/// | run_tool | tool_finished to the rollout: a result or a typed failure  |
///
///   TOOL-1  Exactly one tool_finished per life; a failure is an observation that says so, never a made-up result.
///          What a tool writes reaches the rollout as well-formed UTF-8, whatever it was.
///   TOOL-2  Simulated latency is drawn from (seed, rollout, turn, call) alone.
class tool_call_actor {
public:
  static constexpr const char* name = "tool_call";
  tool_call_actor(self_ptr self, context_ptr ctx, tool_job job)
      : self_(self), ctx_(std::move(ctx)), job_(std::move(job)) {}
  behavior make_behavior();

private:
  observation run() const;
  expected<std::string> call() const;
  duration latency() const;

  self_ptr self_;
  context_ptr ctx_;
  tool_job job_;
  std::optional<fault_rule> change_; ///< what a fault plan makes of this call
};

// -- what tools used so far, for metrics and benchmarks
metric_counter tool_calls(metrics_registry& in);
metric_counter tool_cpu_seconds(metrics_registry& in);

} // namespace troupe

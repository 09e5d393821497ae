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
  write_fence placed{};
};

/// One call of one tool: lives for it and ends. Its death is the supervisor's to repeat, its silence ends with the rollout's deadline.
///
/// | asks                  | for                                                                                  |
/// | store: append_records | of a tool that is not idempotent: that the call has started, and then its result     |
/// | store: read_stream    | whether an earlier life has committed the result                                     |
/// | in       | out                                                        |
/// | run_tool | tool_finished to the rollout: a result or a typed failure  |
///
///   TOOL-1  At most one tool_finished per life; a failure is an observation that says so, never a made-up result.
///          What a tool writes reaches the rollout as well-formed UTF-8, whatever it was.
///   TOOL-2  Simulated latency is drawn from (seed, rollout, turn, call) alone.
///   TOOL-3  A tool that is not idempotent is never called blindly a second time. That a call begins is durable before it is made,
///          its result before it is told. A call that may have been made is asked for its outcome: done (that is the
///          result), never (it is made now), or unknown: then the rollout fails with errc::uncertain. It answers whichever life of the
///          rollout is there by then.
class tool_call_actor {
public:
  static constexpr const char* name = "tool_call";
  tool_call_actor(self_ptr self, context_ptr ctx, std::shared_ptr<const tool_job> job);
  behavior make_behavior();

private:
  void claim();
  void look_back();
  void begin();
  void run();
  void make_effect();
  void commit(observation result);
  void answer(tool_finished what);
  observation observe(expected<std::string> answer) const;
  expected<std::string> call() const;
  duration latency() const;

  self_ptr self_;
  context_ptr ctx_;
  const std::shared_ptr<const tool_job> kept_; ///< the same in every life
  const tool_job& job_;
  bool effect_;                              ///< of a tool that is not idempotent
  bool first_ = false;                       ///< nobody can have called with this key before
  std::unique_ptr<const fault_rule> change_; ///< what a fault plan makes of this call
};

/// "t17.3/0/1": rollout, turn, call.
std::string idempotency_key(const tool_job& job);
/// Whether a tool is one whose calls must not be repeated.
bool has_effects(const run_context& ctx, std::string_view tool);
error effect_unknown(const std::string& why);

} // namespace troupe

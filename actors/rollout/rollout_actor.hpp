#pragma once

#include "actors/ask_named.hpp"

namespace troupe {

/// One attempt at a task. Lives from its admission to its verdict; whatever kills it, its next life continues from the last
/// committed turn.
///
/// | asks                                   | for                                                       |
/// | store: read_stream                     | what earlier lives committed                              |
/// | engine: generate                       | the next turn                                             |
/// | tools (supervisor): start_child        | one tool call actor per call                              |
/// | judge: judge_request                   | the verdict                                               |
/// | store: append_records                  | durability of every turn, tool result and the verdict     |
/// tells: rollout_finished or rollout_failed to `report_to`, rollout_ended to the manager, then ends.
///
/// | backpressure: loop | consumes            | waits for                    | unblocked by                    |
/// | advance            | turns, tool results | the engine, tools, the store | reply, failure, its deadline    |
///
///   ROLL-1  A turn is acted on (tools called, context extended) only after it is durable; it is committed once.
///   ROLL-2  What was committed is never sampled again, nor a committed tool result asked for again.
///   ROLL-3  It ends with exactly one verdict or one typed failure, durable before it is told.
class rollout_actor {
public:
  static constexpr const char* name = "rollout";
  rollout_actor(self_ptr self, context_ptr ctx, rollout_job job);
  behavior make_behavior();

private:
  void restore(const std::vector<record>& records);
  void advance();
  void generate_turn();
  void call_tools();
  void start_missing_tools();
  void check_tools();
  void take_result(const tool_finished& got);
  void take_observations();
  void judge();
  void finish();
  void fail_rollout(const error& why);
  duration turn_patience() const;

  self_ptr self_;
  context_ptr ctx_;
  rollout_job job_;
  std::shared_ptr<trajectory> trajectory_;
  std::vector<std::optional<observation>> observed_; ///< of the last turn's calls, once durable
  std::vector<bool> committing_;
  bool checking_ = false; ///< a tool_check is on its way
  duration started_{}, tools_asked_{};
  duration tools_due_{}; ///< the last turn's calls fail after this
};

/// Starts (or leaves running, or lets report again) a rollout under the rollout supervisor. `refused` hears a quarantine or a
/// supervisor that stays away; a rollout of that key already running is fine.
void start_rollout(self_ptr self, const context_ptr& ctx, const rollout_job& job,
                   std::function<void(error)> refused);

} // namespace troupe

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
/// | in             | out                                                                                              |
/// | tool_finished  | -                                                                                                |
/// | park_rollout   | rollout_parked, at the next turn boundary                                                        |
/// | yield_slot     | slot_yielded, at the next turn boundary                                                          |
/// | unpark_rollout | done                                                                                             |
/// tells: rollout_finished or rollout_failed to `report_to`, rollout_ended to the manager, then ends.
///
/// | backpressure: loop | consumes            | waits for                    | unblocked by                    |
/// | advance            | turns, tool results | the engine, tools, the store | reply, failure, its deadline    |
///
///   ROLL-1  A turn is acted on (tools called, context extended) only after it is durable; it is committed once.
///   ROLL-2  What was committed is never sampled again, nor a committed tool result asked for again.
///   ROLL-3  It ends with exactly one verdict or one typed failure, durable before it is told.
///   ROLL-4  Over its time budget (rollout.time_budget) a training rollout is parked: at once if it waits for tools, else after the
///           turn in progress. It frees its slot, takes in the results of tools that still run, and ends; its next life goes
///           on from its records, so that with the same weights it leaves the same tokens. Every life that was given a slot
///           finishes at least one turn, hence parking never lasts for ever.
///   ROLL-5  It is sampled with weights no older than its group's version, however its start and a change of weights crossed.
///   ROLL-6  A life that commits a turn has made progress: only deaths without one in between count as those of a poison task. So what kills
///           rollouts at random does not select the short ones.
///   ROLL-7  Where there are several nodes, its records carry its placement; once another placement goes on with it, it ends without
///           a word. What it has to report it repeats until it is heard.
///   ROLL-8  One turn is sampled at a time: also where its slot comes back, and its tools are done, before the news that the slot was
///           free has been heard. It ends without a slot only after that news is heard.
class rollout_actor {
public:
  static constexpr const char* name = "rollout";
  rollout_actor(self_ptr self, context_ptr ctx, std::shared_ptr<const rollout_job> job);
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
  bool over_budget() const;
  bool may_park() const;
  duration next_check() const;
  void check_later();
  void park();
  void parked();
  void yield();
  void take_slot();
  void judge();
  void finish();
  void fail_rollout(const error& why);
  void report_failure(const error& why);
  template <class News>
  void report_end(News news);
  void lost(const std::string& doing, const error& why);
  new_record placed(new_record what) const;
  void without_slot();
  std::uint64_t report_number();
  void progressed();
  void fault(std::string_view point) const;
  duration turn_patience() const;

  self_ptr self_;
  context_ptr ctx_;
  const std::shared_ptr<const rollout_job> kept_; ///< the same in every life
  const rollout_job& job_;
  std::shared_ptr<trajectory> trajectory_;
  std::vector<std::optional<observation>> observed_; ///< of the last turn's calls, once durable
  std::vector<bool> committing_;
  bool checking_ = false;    ///< a tool_check is on its way
  std::uint64_t checks_ = 0; ///< the number of the last one: an earlier one is void
  /// parking: its record is on the way to the store.
  enum class slot : std::uint8_t { held, parking, free } slot_ = slot::held;
  int telling_ = 0;           ///< pieces of news of its slot that are not heard yet
  bool ending_ = false;       ///< it only waits until its end is heard
  std::uint64_t reports_ = 0; ///< of this life
  bool slot_again_ = false;   ///< given back while it was parking
  bool park_wanted_ = false, park_soon_ = false, yield_wanted_ = false;
  std::uint64_t retries_ = 0;  ///< after a quarantine, by hand
  bool progressed_ = false;    ///< this life has committed a turn, or found its verdict
  bool failing_ = false;       ///< its failure is on the way to the store
  bool finished_turn_ = false; ///< in this life, or since it has its slot again
  duration started_{}, tools_asked_{};
  duration check_at_{};  ///< the next check of its tools
  duration tools_due_{}; ///< the last turn's calls fail after this
};

/// Starts (or leaves running, or lets report again) a rollout: under this node's rollout supervisor, or on whichever node the cluster
/// actor places it. `refused` hears a quarantine or a supervisor that stays away; a rollout of that key already running is fine.
void start_rollout(self_ptr self, const context_ptr& ctx, const rollout_job& job,
                   std::function<void(error)> refused);
/// The same, on this node.
void start_rollout_here(self_ptr self, const context_ptr& ctx, const rollout_job& job,
                        std::function<void(error)> refused);

} // namespace troupe

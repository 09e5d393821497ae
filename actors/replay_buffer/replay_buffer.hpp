#pragma once

#include "actors/cluster/recent_reports.hpp"
#include "actors/ledger.hpp"
#include "actors/replay_buffer/batch_making.hpp"

namespace troupe {

/// Collects finished rollouts into whole groups and hands the learner its batches. Its memory is only an index of what the store
/// has: a restart reads the ledger and has every open group's rollouts report again.
///
/// | in               | out                                                                              |
/// | group_admitted   | -                                                                                |
/// | rollout_finished | -                                                                                |
/// | rollout_failed   | -  (durable; the group goes on with its survivors)                               |
/// | rollout_parked   | -  (no batch waits for its group)                                                |
/// | group_readmitted | -  (its rollouts go on: the group is as old as that version)                     |
/// | retry_wanted     | retry_granted: a quarantined rollout of an open group is pending again          |
/// | next_batch       | batch_ptr, when the batch of that step is complete                               |
/// | batch_consumed   | -  (its groups leave)                                                            |
/// | reread_books     | -  (the learner's start added to the ledger what a crash had kept from it)       |
/// | balance_request  | balance                                                                          |
/// What is told is acknowledged with done, and counts once however often it comes.
///
/// | backpressure: loop | consumes     | waits for                          | unblocked by     |
/// | batches            | whole groups | groups_per_step complete groups, none left to be overdue | rollouts that end |
/// Bounded by the manager's admissions.
///
///   REP-1  Staleness is strictly bounded: a group admitted at version v is in the batch of step v + eta at the latest (batches
///          wait for it in time: batch_choice.hpp) unless one of its rollouts is parked, and no batch trains on a token older
///          than eta: such tokens are masked, or their group retired as "stale" (rl.beyond_eta), with their count. That happens
///          only after a rollout was parked, or where weights went back to an older checkpoint.
///   REP-2  The same step gives the same batch until it is consumed, and no rollout is in two consumed batches.
///   REP-3  Batches are in admission order; with eta = 0 they depend on nothing but the seed and the weights.
///   REP-4  accepted = trained + pending + parked + retired, at any moment.
///   REP-5  No token is trained on that a version newer than the step's weights sampled: after a rollback that version is another one,
///          or none. Such tokens are masked, with their count (tokens_undone);
///          a rollout of nothing else is retired as "undone".
///   REP-6  A durable verdict stands: a rollout that was given up on its way to say so is taken from the store.
class replay_buffer {
public:
  static constexpr const char* name = "replay_buffer";
  replay_buffer(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {}
  behavior make_behavior();

private:
  struct group_state : ended_group {
    std::uint64_t version = 0; ///< at admission, or when its parked rollouts went on
    std::set<std::uint32_t> parked;
  };
  struct asker {
    std::uint64_t step;
    reply<batch_ptr> answer;
  };
  /// Of a group that is not open: it has left, or (an error, where messages may be lost) is not known yet.
  std::optional<error> unknown(std::uint64_t group) const;
  result<done> not_open(std::uint64_t group);
  void take_consumption(const batch_ptr& what);
  balance sheet() const;
  void take_failure(const rollout_failed& end, const std::shared_ptr<reply<done>>& heard);
  trajectory_ptr judged_in(const rollout_key& key, const std::vector<record>& records) const;
  result<retry_granted> grant_retry(const rollout_key& key);
  void recover();
  void try_batch();
  std::optional<std::vector<std::uint64_t>> choose_groups();
  void retire_stale(std::uint64_t group);
  void consumed(const batch& what);
  bool complete(const group_state& group) const;
  std::uint64_t eta() const;

  self_ptr self_;
  context_ptr ctx_;
  bool ready_ = false;
  std::uint64_t readings_ = 0;                  ///< of the ledger, begun
  std::map<std::uint64_t, group_state> groups_; ///< open ones, in admission order
  std::set<std::uint64_t> known_;               ///< groups admitted so far
  recent_reports reports_;
  std::uint64_t trained_ = 0;
  std::uint64_t steps_ = 0, lineage_ = 0; ///< consumed so far; rollbacks so far
  std::optional<std::uint64_t> ahead_;    ///< a step beyond the books, for which they were read again
  std::map<std::string, std::uint64_t> retired_;
  batch_ptr current_;           ///< handed out, not yet consumed
  std::vector<batch_ptr> late_; ///< consumed while the ledger was being read
  std::vector<asker> askers_;
  std::vector<reply<balance>> balance_askers_; ///< while the books are being read
};

} // namespace troupe

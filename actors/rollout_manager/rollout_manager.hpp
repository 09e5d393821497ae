#pragma once

#include "actors/ask_named.hpp"
#include "actors/cluster/recent_reports.hpp"
#include <deque>
#include <map>
#include <set>

namespace troupe {

/// Admits groups of rollouts and gives them slots.
///
/// | in                     | out                                                              |
/// | version_published      | more admissions                                                  |
/// | rollout_ended          | its slot is given to the next rollout                            |
/// | rollout_parked         | its slot is given to the next; group_readmitted when it goes on  |
/// | slot_yielded           | its slot is given to the next; it waits for one in its place     |
/// | slots_changed          | training rollouts are asked to yield, or slots are given out     |
/// | retry_rollout          | done: a quarantined rollout is tried again                       |
/// | group_retired          | a group more                                                     |
/// | weights_went_back      | done, when no rollout runs that was admitted for newer weights   |
/// | recover_rollouts       | every rollout of an unconsumed group is started (again)          |
/// | admission_changed      | -                                                                |
/// | manager_status_request | manager_status                                                   |
/// All but the last are acknowledged with done, and count once however often they come.
///
/// | backpressure: loop | consumes      | waits for                                               | unblocked by            |
/// | admission          | tasks         | admitted - retired < (eta + version + 1) * batch        | a weight publication    |
/// | slots              | admitted jobs | running < max_concurrent                                | a rollout that ends     |
/// | parked             | parked groups | room in the window, or an idle slot                     | a weight publication    |
/// `version` is the one that the engine is known to have (weight_board::confirmed), whatever the books say.
///
///   MAN-1  A group is durable before any of its rollouts starts, and admitted once.
///   MAN-2  admitted - retired never exceeds (eta + version + 1) * groups_per_step (arXiv 2505.24298, capacity rule), nor
///          steps * groups_per_step.
///   MAN-3  No more than max_concurrent training rollouts run (parked ones that wait for their tools hold no slot).
///   MAN-4  A group with a parked rollout is outside of the window of MAN-2: up to rollout.max_parked_groups others are admitted in
///          its place, and no batch waits for it. It enters the window again like a new group, at the version of that moment,
///          before any new group and as soon as a version has room; or earlier, if a slot would stay idle.
///   MAN-5  A rollout starts, and goes on after a resume, with weights no older than those its group was admitted with. So a run
///          that went back to an older checkpoint takes the same way again: what had been admitted later is stopped before the engine has the older weights, and waits for
///          its version.
///   MAN-6  Where slots are short, evaluations go first and older groups before newer ones (rollout.preempt): the newest running rollouts are
///          asked to yield their slots at a turn boundary, after at least one turn of that life. They wait in their group's place; nothing is
///          dropped, sampled again or parked.
///   MAN-7  A rollout that runs when a new replay buffer asks for them all may have told its end to the one before: it is started once
///          more after its end, reads its verdict and reports it again.
class rollout_manager {
public:
  static constexpr const char* name = "rollout_manager";
  rollout_manager(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {}
  behavior make_behavior();

private:
  void recover();
  void admit();
  void fill_slots();
  void enqueue(std::uint64_t group, std::uint64_t version);
  void readmit_into_room();
  void readmit_oldest();
  void park_running(bool soon);
  void make_room();
  void retry(const rollout_key& key, reply<done> answer);
  std::size_t slots() const;
  result<done> hold_back();
  /// The buffer's news of this group reaches it before the group's rollouts start.
  void tell_admitted(std::uint64_t group, std::uint64_t version);
  std::uint64_t window() const;
  std::uint64_t capacity() const;

  self_ptr self_;
  context_ptr ctx_;
  struct known {
    std::uint64_t version = 0; ///< at its group's admission
    bool again = false;        ///< when it ends it starts once more, to report again
  };
  std::uint64_t admitted_ = 0;
  std::set<std::uint64_t> retired_; ///< groups
  std::deque<rollout_key> waiting_;
  std::map<rollout_key, known> known_; ///< waiting, running or parked
  std::set<rollout_key> running_;
  std::set<rollout_key> yielding_;                        ///< running ones that were asked for their slot
  std::map<std::uint64_t, std::set<rollout_key>> parked_; ///< by group
  recent_reports reports_;
  std::uint64_t reports_made_ = 0; ///< of this life
  int readmitting_ = 0;            ///< groups of which the buffer has not heard yet
  bool ready_ = false, admitting_ = false;
};

} // namespace troupe

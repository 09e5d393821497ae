#pragma once

#include "actors/ask_named.hpp"
#include "actors/cluster/membership.hpp"
#include <deque>
#include <set>

namespace troupe {

/// On the head of a run of several nodes: who is a member, which rollout is where, who has which weights. To the manager, the learner and
/// the experiment it is what `rollouts` and `engine` are in a run of one node.
///
/// | in                     | out                                                                                        |
/// | join_cluster           | joined, when the epoch is durable; place_rollout and publish_weights follow                  |
/// | heartbeat              | head_names; or in_use                                                                      |
/// | run_rollout            | done; place_rollout to some node, after the placement is durable; again on another if it is lost |
/// | stop_child             | done, when no node runs it and none can write for it; not_found                            |
/// | park_remote            | park_placed                                                                                |
/// | rollout_over           | -                                                                                          |
/// | rollouts_died          | done; they are placed there again                                                          |
/// | rollout_given_up       | done; rollout_failed to the replay buffer or the evaluator, rollout_ended to the manager      |
/// | new_weights            | done, when every member has them: whose lease runs out is not waited for                   |
/// | engine_status_request  | engine_status, summed over the members                                                     |
/// | cluster_status_request | cluster_status                                                                             |
///
/// | backpressure: loop | consumes        | waits for                       | unblocked by       |
/// | placing            | rollouts to run | a member that has weights       | a node that joins  |
/// Bounded by the manager's slots.
///
///   CLU-1  An epoch is fenced in the store before any of its rollouts is placed elsewhere; a placement is in the store before its node
///          hears of it. So whatever an old node still writes is refused (STORE-4).
///   CLU-2  Every rollout that should run is placed on a member, or on the next that joins.
///   CLU-3  A node samples with weights that the head published, and gets rollouts once it has some.
///   CLU-4  A head that did not run for a while condemns nobody: leases are extended by that time.
/// Its memory is an index of the store: a restart reads epochs, fences and placements, and has the manager and the evaluator say again
/// what should run.
class cluster_actor {
public:
  static constexpr const char* name = "cluster";
  cluster_actor(self_ptr self, context_ptr ctx);
  behavior make_behavior();

private:
  struct placement {
    std::uint64_t number = 0;       ///< the newest; 0: never placed
    std::uint64_t epoch = 0;        ///< where it is; 0: nowhere
    std::optional<rollout_job> job; ///< nothing: it need not run, or nobody has said yet what it is
    bool queued = false, committing = false;
  };
  // -- start
  void recover();
  void read(std::size_t kind);
  void fold();
  void begin_term();
  // -- members
  result<joined> join(const join_cluster& who);
  void look();
  void declare_lost(const std::vector<std::uint64_t>& epochs);
  void lost(std::uint64_t epoch);
  head_names names_now() const;
  // -- placements
  void queue(const rollout_key& key);
  void place_waiting();
  void send_placement(const rollout_key& key);
  result<done> stop(const std::string& id);
  // -- weights
  result<done> publish(const new_weights& what);
  void push_weights(std::uint64_t epoch);
  void acknowledged(std::uint64_t epoch, std::uint64_t number);
  /// Repeats a request to a member until it is answered, its epoch is over, or `wanted` is false.
  template <class Message>
  void insist(std::uint64_t epoch, Message message, std::function<bool()> wanted, std::function<void()> ok,
              int tries = 0);

  self_ptr self_;
  context_ptr ctx_;
  membership members_;
  std::set<std::uint64_t> ending_; ///< epochs whose fence is being committed
  std::set<std::uint64_t> fenced_; ///< from the books, until they are folded
  std::set<std::string> joining_;  ///< nodes whose epoch is being committed
  std::map<rollout_key, placement> placements_;
  std::deque<rollout_key> waiting_;
  std::map<std::uint64_t, std::vector<std::shared_ptr<reply<done>>>>
      stops_;                                ///< by epoch: its end answers them, too
  std::array<std::vector<record>, 3> books_; ///< while they are being read
  std::uint64_t newest_epoch_ = 0, term_ = 0;
  bool ready_ = false;
  duration looked_{};
  std::uint64_t publication_ = 0; ///< the newest: (term << 24) + count
  struct open_publication {
    std::set<std::uint64_t> missing; ///< epochs that have not acknowledged
    std::vector<reply<done>> askers;
  };
  std::optional<open_publication> publishing_;
  std::uint64_t lost_ = 0, placed_ = 0, moved_ = 0;
};

} // namespace troupe

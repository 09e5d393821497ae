#pragma once

#include "actors/ask_named.hpp"
#include "actors/cluster/cluster_messages.hpp"
#include <map>

namespace troupe {

/// On each worker node: keeps its lease, starts what the head places here, takes in what the head publishes.
///
/// | in                  | out                                                                                   |
/// | place_rollout       | done, or in_use; the rollout starts, or goes on                                       |
/// | stop_placed         | done, when it does not run                                                            |
/// | park_placed         | park_rollout to the rollout                                                           |
/// | publish_weights     | done, when the engine has them                                                        |
/// | rollouts_lost       | rollouts_died to the head, until it is heard: it places them again (their supervisor died) |
/// | rollout_failed      | rollout_given_up to the head, until it is heard (the supervisor gave it up)           |
/// asks the head: join_cluster, heartbeat.
///
/// Backpressure: the head places no more than its manager's slots.
///
///   NODE-4  Whoever runs here was placed in the node's present epoch. An epoch that is over (the lease ran out, or the head says so) ends
///           all rollouts and tools first; then the node joins again.
///   NODE-5  A placement that was overtaken by its stop, or by a newer one, does not start.
///   NODE-6  The engine has the publication with the greatest number; older ones that come late change nothing.
/// A restart knows nothing: it ends what runs, and joins anew.
class node_actor {
public:
  static constexpr const char* name = "node";
  node_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {}
  behavior make_behavior();

private:
  void lapse(const char* why);
  void join();
  void beat();
  void take_names(const head_names& from);
  bool present(std::uint64_t epoch) const;
  write_fence placed_now(const rollout_key& key) const;
  void start(const rollout_job& job);
  result<done> stop(const stop_placed& what);
  result<done> publish(const publish_weights& what);
  void give_up_rollout(const rollout_key& key, const error& why);

  self_ptr self_;
  context_ptr ctx_;
  std::uint64_t epoch_ = 0, attempt_ = 0;       ///< epoch 0: not a member
  std::map<rollout_key, std::uint64_t> newest_; ///< placements of this epoch: the newest seen
  std::map<rollout_key, std::uint64_t> stopped_;
  std::uint64_t publication_ = 0;
  engine_status engine_;
};

} // namespace troupe

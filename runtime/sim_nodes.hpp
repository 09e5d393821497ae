#pragma once

#include "runtime/actor.hpp"
#include "runtime/base/random.hpp"
#include "runtime/sim_links.hpp"
#include <functional>
#include <map>
#include <vector>

namespace troupe {

/// Several machines in one simulation. Every actor is on the node of whoever spawned it; what an actor sends to one of another node goes
/// through sim_links, the answers and the news of deaths included. Numbers of nodes are the caller's, from 1.
///   NODES-1  Actors of one node see each other as in a simulation of one node: at once, in order, without loss.
///   NODES-2  What was on a node that crashed takes no message any more, and nothing leaves it. What was on its way to it is lost, also
///            if the node is up again.
///   NODES-3  What is on a paused node takes no message; its timers are late, what was sent to it waits.
/// Place: one life of one node, from its boot to its crash; 0 is outside of all nodes, whose messages always arrive.
class sim_nodes final : public message_carrier {
public:
  using node_id = std::uint32_t;
  explicit sim_nodes(std::uint64_t seed);
  ~sim_nodes() override;

  // -- machines
  /// What `start` spawns is on the node's new life. It returns the root of what it spawned.
  void boot(node_id node, const std::function<actor_ref()>& start);
  void crash(node_id node);
  void pause(node_id node);
  void resume(node_id node);
  bool up(node_id node) const;
  bool paused(node_id node) const;
  sim_links& links() { return links_; }

  // -- for the simulation
  std::uint32_t here() const override { return here_; }
  bool takes(base_actor& to, caf::mailbox_element_ptr& what) override;
  /// The message that the carrier hands over now comes from the network.
  void deliver(duration now);
  bool dead(const base_actor& who) const { return who.place() != 0 && places_[who.place()].dead; }
  bool held(const base_actor& who) const { return who.place() != 0 && places_[who.place()].paused; }
  void hold(const base_actor& who, caf::resumable* job);
  /// Jobs of nodes that go on, or have crashed.
  std::vector<caf::resumable*> released() { return std::exchange(released_, {}); }
  std::vector<caf::resumable*> all_held();
  void enter(const base_actor* who) { here_ = who ? who->place() : 0; }
  void clock(std::function<duration()> now) { now_ = std::move(now); }

private:
  struct place {
    node_id node = 0;
    bool dead = false, paused = false;
    actor_ref root;
    std::vector<caf::resumable*> held;
  };
  std::uint32_t place_of(node_id node) const;

  sim_links links_;
  std::vector<place> places_{1};
  std::map<node_id, std::uint32_t> now_at_; ///< the place of a node that is up
  std::vector<caf::resumable*> released_;
  std::function<duration()> now_;
  std::uint32_t here_ = 0;
  bool delivering_ = false;
};

} // namespace troupe

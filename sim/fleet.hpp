#pragma once

#include "actors/context.hpp"
#include "runtime/simulation.hpp"
#include "sim/machine.hpp"
#include "sim/weather.hpp"

namespace troupe::sim {

/// The nodes of one simulated run: contexts of their own, clocks of their own, each started and ended as a process would be. Node 1 is
/// the head, over the machine's disk; nodes 2, 3, ... are the workers "w2", "w3", ....
///   FLEET-1  Nodes share nothing but what messages carry. Their monotonic clocks have different origins, as those of machines do.
class fleet {
public:
  struct parts {
    std::function<std::shared_ptr<run_context>(const clock& time)> head_context;
    std::function<std::shared_ptr<run_context>(const clock& time, const std::string& node,
                                               const cluster_ptr& part)>
        worker_context;
    std::function<supervisor_options(const context_ptr&, const clock& time)> tree;
  };
  /// Outlives the simulation: actors look at its clocks until they are gone.
  fleet(simulation& sim, machine& disk, const drawn_world& drawn, parts what);
  void start();  ///< all nodes
  void let_go(); ///< before the simulation's end: of everything that refers to actors

  /// Called when a node has started: its directory is another one.
  void on_change(std::function<void()> changed) { changed_ = std::move(changed); }
  void boot(sim_nodes::node_id node);
  void crash(sim_nodes::node_id node);
  void jump_clock(sim_nodes::node_id node, duration by);
  /// The head's context; null while it is down.
  const context_ptr& head() const { return *head_; }
  std::vector<directory_ptr> worker_names() const;

private:
  class node_clock final : public clock {
  public:
    node_clock(const clock& of, duration origin) : of_(&of), origin_(origin) {}
    duration now() const override { return of_->now() + origin_; }
    duration wall() const override { return of_->wall() + jumped; }
    duration jumped{0};

  private:
    const clock* of_;
    duration origin_;
  };
  simulation& sim_;
  machine& machine_;
  parts parts_;
  std::function<void()> changed_;
  std::map<sim_nodes::node_id, node_clock> clocks_;
  std::shared_ptr<context_ptr> head_ = std::make_shared<context_ptr>();
  std::map<sim_nodes::node_id, context_ptr> workers_;
};

} // namespace troupe::sim

#pragma once

#include "actors/run_config.hpp"
#include "runtime/sim_nodes.hpp"
#include "sim/world.hpp"

namespace troupe::sim {

/// What the network and the nodes of one run go through, drawn from the seed. Node 1 is the head.
///   WEATHER-1  After `calm` every node is up and runs, every link is open, and nothing more goes wrong.
class weather {
public:
  static constexpr sim_nodes::node_id head = 1;
  /// What only the run knows how to do.
  struct power {
    std::function<void(sim_nodes::node_id)> boot, lose;
    std::function<void(sim_nodes::node_id, duration by)> jump_clock;
  };
  struct counts {
    std::uint64_t partitions = 0, crashes = 0, pauses = 0, jumps = 0;
  };
  /// A node that was down, stopped or alone, from when to when.
  struct outage {
    sim_nodes::node_id node = 0;
    duration from{}, to{};
  };
  weather(const drawn_world& drawn, std::uint64_t seed, duration start, sim_nodes& nodes, power what);

  /// When something happens next.
  duration next() const;
  void strike(duration now);
  void calm(duration now);
  const counts& seen() const { return seen_; }
  const std::vector<outage>& outages() const { return outages_; }

private:
  void at(duration when, std::function<void(duration)> what) { plan_.emplace(when, std::move(what)); }
  /// Does `what` again and again, at random times.
  void every(double rate, const std::function<void(duration)>& what);
  duration some(double seconds) { return from_seconds(2 * seconds * random_.uniform()); }
  sim_nodes::node_id any_worker();
  void partition(duration now);
  void cut(sim_nodes::node_id from, sim_nodes::node_id to, duration now, duration length);
  void crash(sim_nodes::node_id node, duration now);
  void pause(duration now);

  const drawn_world drawn_;
  random_stream random_;
  sim_nodes& nodes_;
  power power_;
  std::multimap<duration, std::function<void(duration)>> plan_;
  std::map<sim_nodes::node_id, duration> down_; ///< since when
  bool quiet_ = false;
  duration start_;
  counts seen_;
  std::vector<outage> outages_;
};

} // namespace troupe::sim

#pragma once

#include "actors/context.hpp"
#include "runtime/message_faults.hpp"
#include "runtime/simulation.hpp"
#include "sim/world.hpp"

namespace troupe::sim {

/// In a world of one node the network's chances are those of messages between its actors: lost, doubled, and overtaken by the next
/// one or by all of up to `overtaken_by` seconds. Without any chance the context's own fault rules decide. Lives as long as a run's life.
class lossy_actors {
public:
  /// Tells the context that messages may be lost in it, if they may.
  lossy_actors(simulation& sim, run_context& ctx, const drawn_world& drawn, std::uint64_t seed);
  ~lossy_actors();
  lossy_actors(const lossy_actors&) = delete;
  lossy_actors& operator=(const lossy_actors&) = delete;

  void quiet();
  struct counts {
    std::uint64_t lost = 0, twice = 0, overtaken = 0;
  };
  const counts& seen() const;

private:
  class by_seed;
  simulation& sim_;
  std::shared_ptr<by_seed> how_;
};

} // namespace troupe::sim

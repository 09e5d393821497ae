#pragma once

#include "runtime/simulation.hpp"
#include "sim/evidence.hpp"

namespace troupe::sim {

/// Runs one seed of a world to its end: the real tree of actors in the calling thread over a fake policy, a disk that outlives
/// power cuts, and a virtual clock. The same (world, seed) gives the same evidence. `watch` hears every message.
evidence run_seed(const drawn_world& drawn, std::uint64_t seed,
                  const std::function<void(const delivery&)>& watch = {});

} // namespace troupe::sim

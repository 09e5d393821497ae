#pragma once

#include "sim/world.hpp"
#include <map>

namespace troupe::sim {

/// A seed that broke a check.
struct broken_seed {
  std::uint64_t seed = 0;
  std::vector<std::pair<std::string, std::string>>
      findings;       ///< (check, what was found and what was expected)
  json::object drawn; ///< what the seed drew from the world
};

struct sweep_result {
  std::optional<broken_seed> broken; ///< the lowest that broke
  std::uint64_t seeds = 0;           ///< run, the broken one included
  std::uint64_t deliveries = 0, kills = 0, cuts = 0, stalls = 0, disk_full = 0, damaged = 0;
  std::uint64_t partitions = 0, node_crashes = 0, node_pauses = 0, clock_jumps = 0;
  std::uint64_t messages_lost = 0, messages_twice = 0, messages_overtaken = 0;
  std::vector<double> detections; ///< seconds from the loss of a node to its fence
  double virtual_seconds = 0;
  std::uint64_t trace = 0;                      ///< of all seeds, in order
  std::map<std::string, std::uint64_t> reached; ///< rare points, how often
  void add(const sweep_result& other);          ///< all but trace and broken
};

/// One seed, checked. Adds its figures to `sum`; gives its trace.
std::optional<broken_seed> try_seed(const world& what, std::uint64_t seed, sweep_result& sum);

/// The seeds first..last of a world, on so many threads (a simulation is one thread). Ends at the first that breaks a check.
/// `told` hears how many seeds are done.
sweep_result sweep(const world& what, std::uint64_t first, std::uint64_t last, int threads,
                   const std::function<void(std::uint64_t done)>& told = {});

} // namespace troupe::sim

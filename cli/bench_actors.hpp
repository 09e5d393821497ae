#pragma once

#include <cstdint>
#include <filesystem>

/// Benchmarks of the actors alone: the real tree and store on real threads, a scripted policy in the engine's place.
namespace troupe::cli {

struct actor_bench_arguments {
  std::filesystem::path folder; ///< for the store's file; emptied first
  std::int64_t count = 0;       ///< rollouts, or kills; 0: as many as the promise names
  std::int64_t seed = 1;
};

/// So many rollouts in one process, all of them waiting for their tools: memory and time for each, then how fast messages go
/// through all of them.
int bench_idle(const actor_bench_arguments& arguments);

/// So many kills over every kind of actor, by seed: how soon each is noticed and replaced, how soon a rollout has its next turn, and how soon
/// an actor that takes no messages is found.
int bench_restart(const actor_bench_arguments& arguments);

} // namespace troupe::cli

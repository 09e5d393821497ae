#pragma once

#include "actors/context.hpp"

namespace troupe {

/// A group all of whose rollouts have ended.
struct ended_group {
  std::map<std::uint32_t, trajectory_ptr> finished; ///< by attempt; each has its verdict
  std::map<std::uint32_t, error> failed;
};

/// The batch of a step from these groups (members[i] is groups[i]): a pure function of the configuration, the step and the
/// trajectories. Tokens older than eta are masked; what carries no signal is retired, with the reason; baselines are set.
batch_ptr make_batch(const run_context& ctx, std::uint64_t step, std::uint64_t lineage,
                     const std::vector<std::uint64_t>& groups,
                     const std::vector<const ended_group*>& members);

} // namespace troupe

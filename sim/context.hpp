#pragma once

#include "actors/context.hpp"
#include "sim/fake_policy.hpp"
#include "sim/world.hpp"

namespace troupe::sim {

/// Who hears what the fakes see; all must be there.
struct fakes_heard {
  std::shared_ptr<outside_world> effects = std::make_shared<outside_world>();
  std::function<void(std::uint64_t version, float state)> loaded = [](std::uint64_t, float) {};
  std::function<void()> sampled = [] {}; ///< a token
  std::function<void(const optimizer_step&)> stepped = [](const optimizer_step&) {};
};

/// What the actors of a simulated run share: six tasks, the fake policy and tool. Store, checkpoints and `on_end` are the caller's.
std::shared_ptr<run_context> simulated_context(const drawn_world& drawn, const clock& time,
                                               const thread_policy& threads, const fakes_heard& heard = {});

} // namespace troupe::sim

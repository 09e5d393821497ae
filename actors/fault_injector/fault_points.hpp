#pragma once

#include "actors/context.hpp"

namespace troupe {

/// The kinds of actors and the states of their protocols that a fault plan may name.
const fault_targets& run_fault_targets();

/// The plan of a run, from its configuration. Errors: invalid (parse_fault_rule).
expected<fault_plan_ptr> make_fault_plan(const run_config& config, std::uint64_t seed,
                                         const clock* time = nullptr);

/// Gives a context that is otherwise complete what a run with faults needs: the plan, who hears of its strikes, a wall clock that may
/// jump, parts whose writes may fail. Errors: invalid.
expected<void> allow_faults(const std::shared_ptr<run_context>& ctx);

/// An actor reaches a state of the protocol. Throws injected_fault where the plan says so.
inline void fault_point(const run_context& ctx, std::string_view whom, std::string_view point,
                        const std::string& who) {
  if (ctx.faults) ctx.faults->reach(whom, point, who);
}
/// An operation is about to answer: the rule that changes its answer, if any.
inline std::optional<fault_rule> fault_in_answer(const run_context& ctx, std::string_view whom,
                                                 std::string_view point, const std::string& who) {
  auto struck = ctx.faults ? ctx.faults->reach(whom, point, who) : std::nullopt;
  return struck ? std::optional(std::move(struck->rule)) : std::nullopt;
}
/// Weights as they arrive: a copy with one bit changed where the plan says so.
weights_ptr weights_under_faults(const run_context& ctx, const weights_ptr& weights);

/// Tells the injector what a fault had for a consequence. Nothing in a run without faults.
inline void note_effect(const run_context& ctx, fault_effect::kind what, const std::string& who) {
  if (ctx.faults) tell(ctx.names->find(names::faults), fault_effect{what, who, ctx.time->now()});
}

} // namespace troupe

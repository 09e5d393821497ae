#pragma once

#include "actors/context.hpp"

namespace troupe {

/// The kinds of actors and the states of their protocols that a fault plan may name.
const fault_targets& run_fault_targets();

/// The plan of a run, from its configuration. Errors: invalid (parse_fault_rule).
expected<fault_plan_ptr> make_fault_plan(const run_config& config, std::uint64_t seed);

/// An actor reaches a state of the protocol. Throws injected_fault where the plan says so.
inline void fault_point(const run_context& ctx, std::string_view whom, std::string_view point,
                        const std::string& who) {
  if (ctx.faults) ctx.faults->reach(whom, point, who);
}
/// An operation is about to answer: the rule that changes its answer, if any.
inline std::optional<fault_rule> fault_in_answer(const run_context& ctx, std::string_view whom,
                                                 std::string_view point, const std::string& who) {
  return ctx.faults ? ctx.faults->reach(whom, point, who) : std::nullopt;
}

} // namespace troupe

#include "actors/fault_injector/fault_points.hpp"

namespace troupe {

const fault_targets& run_fault_targets() {
  static const fault_targets it{{"store", "engine", "judge", "tools", "rollouts", "manager", "replay",
                                 "learner", "evaluator", "recorder", "experiment", "control", "rollout",
                                 "tool"},
                                {{"rollout", "turn_sampled"},   // not committed yet
                                 {"rollout", "turn_committed"}, // not acted on yet
                                 {"rollout", "tool_result"},    // not committed yet
                                 {"rollout", "verdict"},        // not committed yet
                                 {"tool", "call", true},
                                 {"tool", "effect"}, // made, not committed yet
                                 {"judge", "verdict", true},
                                 {"learner", "warm_up_step"},
                                 {"learner", "before_step"},
                                 {"learner", "after_step"},       // trained, no checkpoint yet
                                 {"learner", "after_checkpoint"}, // not in the books yet
                                 {"learner", "after_booking"}}};  // not published yet
  return it;
}

expected<fault_plan_ptr> make_fault_plan(const run_config& config, std::uint64_t seed) {
  auto out = std::make_shared<fault_plan>(config.faults.seed ? static_cast<std::uint64_t>(config.faults.seed)
                                                             : seed);
  for (const auto& text : config.faults.plan) {
    auto rule = parse_fault_rule(text, run_fault_targets());
    if (!rule) return fail(rule.error());
    out->add(std::move(*rule));
  }
  return out;
}

} // namespace troupe

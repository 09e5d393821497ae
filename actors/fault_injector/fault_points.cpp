#include "actors/fault_injector/fault_points.hpp"

#include "actors/fault_injector/faulty_disk.hpp"

#include <bit>

namespace troupe {

const fault_targets& run_fault_targets() {
  using enum fault_site;
  static const fault_targets it{
      {"store", "engine", "judge", "tools", "rollouts", "manager", "replay", "learner", "evaluator",
       "recorder", "experiment", "control", "rollout", "tool"},
      {{"rollout", "turn_sampled", state},   // not committed yet
       {"rollout", "turn_committed", state}, // not acted on yet
       {"rollout", "tool_result", state},    // not committed yet
       {"rollout", "verdict", state},        // not committed yet
       {"tool", "call", answer},
       {"tool", "effect", state}, // made, not committed yet
       {"judge", "verdict", answer},
       {"learner", "warm_up_step", state}, // not in a checkpoint yet
       {"learner", "before_step", state},
       {"learner", "after_step", state},       // trained, no checkpoint yet
       {"learner", "after_checkpoint", state}, // not in the books yet
       {"learner", "after_booking", state},    // not published yet
       {"store", "write", log},
       {"learner", "checkpoint", write},
       {"report", "write", log},
       {"engine", "weights", tensor}},
      {{"replay_buffer", "replay"}, {"rollout_manager", "manager"}, {"tool_call", "tool"}}};
  return it;
}

expected<fault_plan_ptr> make_fault_plan(const run_config& config, std::uint64_t seed, const clock* time) {
  auto out = std::make_shared<fault_plan>(
      config.faults.seed ? static_cast<std::uint64_t>(config.faults.seed) : seed, run_fault_targets(), time);
  for (const auto& text : config.faults.plan) {
    auto rule = parse_fault_rule(text, run_fault_targets());
    if (!rule) return fail(rule.error());
    out->add(std::move(*rule));
  }
  return out;
}

expected<void> allow_faults(const std::shared_ptr<run_context>& ctx) {
  ctx->wall_clock = std::make_shared<jumping_clock>(*ctx->time);
  ctx->time = ctx->wall_clock.get();
  auto plan = make_fault_plan(ctx->config, static_cast<std::uint64_t>(ctx->config.seed), ctx->time);
  if (!plan) return fail(plan.error());
  (*plan)->on_strike = [names = ctx->names, time = ctx->time](const fault_strike& strike) {
    tell(names->find(names::faults), fault_struck{strike, time->now()});
  };
  ctx->faults = *plan;
  ctx->redone = std::make_shared<redone_work>();
  ctx->repeat_after = std::chrono::milliseconds(100); // messages may be lost
  add_disk_faults(ctx);
  return {};
}

weights_ptr weights_under_faults(const run_context& ctx, const weights_ptr& weights) {
  const auto struck = ctx.faults ? ctx.faults->reach("engine", "weights", names::engine) : std::nullopt;
  if (!struck) return weights;
  auto copy = std::make_shared<model_weights>(*weights);
  const auto draw = ctx.faults->draw(*struck);
  auto tensor = std::next(copy->tensors.begin(), static_cast<std::ptrdiff_t>(draw % copy->tensors.size()));
  auto& data = tensor->second.data;
  auto& value = data[(draw >> 8) % data.size()];
  value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (1u << (draw >> 40) % 32));
  return copy;
}

} // namespace troupe

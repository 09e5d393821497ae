#include "sim/context.hpp"

namespace troupe::sim {

namespace {
constexpr std::size_t tasks = 6;
}

std::shared_ptr<run_context> simulated_context(const drawn_world& drawn, const clock& time,
                                               const thread_policy& threads, const fakes_heard& heard) {
  auto run = std::make_shared<run_context>();
  auto& c = run->config;
  c.seed = 7;               // the run's own seed: equal for all schedules
  c.model.hidden_size = 16; // nothing computes with these weights
  c.model.layers = c.model.heads = c.model.kv_heads = 1;
  c.model.head_dim = 8;
  c.model.ffn_size = 16;
  c.model.previous_token_map = false;
  c.rl.mode = drawn.mode;
  c.rl.eta = drawn.eta;
  c.rl.steps = drawn.steps;
  c.rl.groups_per_step = drawn.groups;
  c.rl.group_size = drawn.group_size;
  c.rl.negative_keep = 0.5;
  c.rollout.max_concurrent = drawn.slots;
  c.rollout.max_turns = drawn.turns;
  c.rollout.time_budget = drawn.time_budget;
  c.rollout.journal_interval = drawn.journal_interval;
  c.rollout.max_parked_groups = drawn.groups;
  c.warmup.steps = 5;
  c.warmup.checkpoint_every = 2;
  c.eval.questions = drawn.questions;
  c.eval.samples = 2;
  c.eval.every = drawn.eval_every;
  c.eval.curve_questions = 2;
  c.tools.simulated_latency = drawn.tool_latency;
  c.tools.simulated_tail = drawn.tool_tail;
  c.checkpoint.every = drawn.checkpoint_every;
  c.checkpoint.keep = drawn.checkpoint_keep;
  c.control.enabled = false;
  run->rules.words = words();
  run->rules.limits = c.episode_shape();
  run->rules.max_turn_tokens = 64;
  run->rules.context = 600;
  echo_options tool{drawn.tool_failing, drawn.tool_poisonous, nullptr, drawn.tool_effects == "told"};
  if (drawn.tool_effects != "none") tool.effects = heard.effects.get();
  run->tools = {echo_tool(tool)};
  run->rules.tools = {{"search", run->tools[0]->spec().parameters}};
  for (std::size_t i = 0; i < tasks; ++i) {
    task t;
    t.id = "q" + std::to_string(i);
    t.question = "Is " + std::to_string(i) + " right?";
    t.answers = {"yes"};
    t.hops = 1 + static_cast<int>(i % 3);
    run->train.push_back(t);
    t.id = "h" + std::to_string(i);
    run->heldout.push_back(t);
  }
  run->order = task_order(run->train.size(), run->seed_for("tasks"));
  run->time = &time;
  run->threads = threads;
  run->warmup_batch = [](std::int64_t step) {
    return std::vector<sft_sample>{{{static_cast<token>(step)}, {1}}};
  };
  auto& p = run->parts;
  p.engine_step_time = from_seconds(drawn.token_time);
  p.make_engine = [heard, drawn]() -> expected<std::unique_ptr<engine_core>> {
    return scripted_engine({drawn.poisonous, drawn.calls}, heard.loaded, heard.sampled);
  };
  p.make_learner = [heard](const model_weights& start) -> expected<std::unique_ptr<learner>> {
    return hashing_learner(start, heard.stepped);
  };
  return run;
}

} // namespace troupe::sim

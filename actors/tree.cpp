#include "actors/tree.hpp"

#include "actors/engine/engine_actor.hpp"
#include "actors/evaluator/evaluator_actor.hpp"
#include "actors/experiment/experiment_actor.hpp"
#include "actors/judge/judge_actor.hpp"
#include "actors/learner/learner_actor.hpp"
#include "actors/recorder/recorder_actor.hpp"
#include "actors/replay_buffer/replay_buffer.hpp"
#include "actors/rollout_manager/rollout_manager.hpp"

namespace troupe {

namespace {

/// Counts restarts, and turns the death of a rollout that was given up into what its listeners wait for.
std::function<void(const supervision_event&)> observer(const context_ptr& ctx) {
  return [ctx = std::weak_ptr<const run_context>(ctx)](const supervision_event& event) {
    auto run = ctx.lock();
    if (!run) return;
    if (event.kind == supervision_kind::restarted) ++*run->restarts;
    if (event.kind == supervision_kind::quarantined || event.kind == supervision_kind::gave_up ||
        (event.kind == supervision_kind::ended && event.reason.message != "normal"))
      if (run->on_record)
        run->on_record({{"kind", "message"},
                        {"level", event.kind == supervision_kind::ended ? "info" : "warning"},
                        {"text", event.child + (event.kind == supervision_kind::quarantined ? " was given up: "
                                                : event.kind == supervision_kind::gave_up   ? " ends the run: "
                                                                                            : " ended: ") +
                                   to_string(event.reason)}});
    if (event.kind != supervision_kind::quarantined) return;
    if (auto key = parse_rollout_stream(event.child)) {
      const rollout_failed news{*key, {errc::exhausted, "quarantined: " + to_string(event.reason)}};
      tell(run->names->find(key->why == purpose::train ? names::replay : names::evaluator), news);
      tell(run->names->find(names::manager), rollout_ended{*key});
    }
  };
}

supervisor_options options(const context_ptr& ctx, std::string name, int intensity) {
  supervisor_options out;
  out.name = std::move(name);
  out.intensity = intensity;
  out.period = std::chrono::seconds(10);
  out.seed = ctx->seed_for("supervisor " + out.name);
  out.names = ctx->names;
  out.observer = observer(ctx);
  return out;
}

} // namespace

supervisor_options tree_options(const context_ptr& ctx) { return options(ctx, "experiment-tree", 30); }

std::vector<child_spec> tree_children(const context_ptr& ctx) {
  std::vector<child_spec> out;
  auto add = [&](const std::string& id, std::function<actor_ref(self_ptr)> start, duration stop = std::chrono::seconds(2)) {
    child_spec spec;
    spec.id = id;
    spec.start = std::move(start);
    spec.stop_deadline = stop;
    out.push_back(std::move(spec));
  };
  add(names::store, [ctx](self_ptr s) { return ctx->threads.spawn<store_actor>(*s, ctx->parts.open_store); });
  add(names::recorder, [ctx](self_ptr s) { return spawn_state<recorder_actor>(*s, ctx); });
  add(names::judge, [ctx](self_ptr s) { return spawn_state<judge_actor>(*s, ctx); });
  add(names::engine, [ctx](self_ptr s) { return ctx->threads.spawn<engine_actor>(*s, ctx); });
  add(names::tools, [ctx](self_ptr s) { return spawn_supervisor(s, options(ctx, names::tools, 1000), {}); });
  add(names::rollouts, [ctx](self_ptr s) { return spawn_supervisor(s, options(ctx, names::rollouts, 1000), {}); });
  add(names::replay, [ctx](self_ptr s) { return spawn_state<replay_buffer>(*s, ctx); });
  add(names::manager, [ctx](self_ptr s) { return spawn_state<rollout_manager>(*s, ctx); });
  add(names::learner, [ctx](self_ptr s) { return ctx->threads.spawn<learner_actor>(*s, ctx); });
  add(names::evaluator, [ctx](self_ptr s) { return spawn_state<evaluator_actor>(*s, ctx); });
  add(names::experiment, [ctx](self_ptr s) { return spawn_state<experiment_actor>(*s, ctx); });
  return out;
}

} // namespace troupe

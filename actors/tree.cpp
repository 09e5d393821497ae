#include "actors/tree.hpp"

#include "actors/cluster/cluster_actor.hpp"
#include "actors/cluster/node_actor.hpp"
#include "actors/control/control_actor.hpp"
#include "actors/engine/engine_actor.hpp"
#include "actors/evaluator/evaluator_actor.hpp"
#include "actors/experiment/experiment_actor.hpp"
#include "actors/fault_injector/fault_injector.hpp"
#include "actors/judge/judge_actor.hpp"
#include "actors/learner/learner_actor.hpp"
#include "actors/recorder/recorder_actor.hpp"
#include "actors/replay_buffer/replay_buffer.hpp"
#include "actors/rollout_manager/rollout_manager.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"
#include "runtime/health.hpp"
#include "runtime/log.hpp"

namespace troupe {

namespace {

/// Normal ends of the many short-lived are no news; a death is, and giving up is a warning.
void log_supervision(const supervision_event& event) {
  if (event.kind == supervision_kind::started || event.kind == supervision_kind::stopped) return;
  if (event.kind == supervision_kind::ended && event.reason.message == "normal") return;
  const log_details details = {{"supervisor", event.supervisor},
                               {"child", event.child},
                               {"reason", to_string(event.reason)},
                               {"restarts", event.restarts}};
  switch (event.kind) {
  case supervision_kind::ended: log_event("child_ended", details); break;
  case supervision_kind::restarted: log_event("child_restarted", details); break;
  case supervision_kind::quarantined: log_event("child_quarantined", details, log_level::warning); break;
  case supervision_kind::gave_up: log_event("supervisor_gave_up", details, log_level::warning); break;
  case supervision_kind::killed_late: log_event("child_killed_late", details, log_level::warning); break;
  case supervision_kind::started:
  case supervision_kind::stopped: break;
  }
}

/// Counts restarts, and turns the death of a rollout that was given up into what its listeners wait for.
std::function<void(const supervision_event&)> observer(const context_ptr& ctx) {
  return [ctx = std::weak_ptr<const run_context>(ctx)](const supervision_event& event) {
    auto run = ctx.lock();
    if (!run) return;
    const bool worker = run->cluster && run->cluster->is_worker();
    if (event.kind == supervision_kind::restarted) {
      ++*run->restarts;
      if (worker && event.child == names::rollouts)
        tell(run->names->find_here(names::node), rollouts_lost{});
      else if (event.child == names::rollouts)
        for (const auto& name : {names::manager, names::evaluator})
          tell(run->names->find(name), rollouts_lost{});
    }
    log_supervision(event);
    if (run->faults && (event.kind == supervision_kind::ended || event.kind == supervision_kind::restarted))
      tell(run->names->find(names::faults), life_news{event.kind, event.child, run->time->now()});
    if (event.kind != supervision_kind::quarantined) return;
    if (auto key = parse_rollout_stream(event.child); key && !planted("quarantine_untold")) {
      probe<"tree: a rollout is given up">();
      const rollout_failed news{*key, {errc::exhausted, "quarantined: " + to_string(event.reason)}};
      if (worker)
        return tell(run->names->find_here(names::node), news); // which makes sure that the head hears
      tell(run->names->find(key->why == purpose::train ? names::replay : names::evaluator), news);
      tell(run->names->find(names::manager), rollout_ended{*key});
      tell(run->names->find(names::engine), forget_sequence{key->number()});
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
  out.crash_loop.lives = static_cast<int>(ctx->config.health.crash_loop);
  out.crash_loop.work = [learning = ctx->learning](const std::string& id) -> std::optional<std::uint64_t> {
    if (id != names::learner || !learning->asked) return std::nullopt;
    return learning->made + learning->warmed;
  };
  return out;
}

} // namespace

supervisor_options tree_options(const context_ptr& ctx) { return options(ctx, "experiment-tree", 30); }

namespace {

health_options health_of(const context_ptr& ctx) {
  health_options out;
  out.names = ctx->names;
  out.time = ctx->time;
  const auto& health = ctx->config.health;
  out.patience = [usual = from_seconds(health.patience), store = from_seconds(health.store_patience),
                  learner = from_seconds(health.learner_patience),
                  slow_engine = !ctx->config.model.path.empty() ||
                                !ctx->config.engine.remote.empty()](const std::string& name) {
    if (name.starts_with("tool/")) return duration(0); // the rollout's deadline watches it
    if (name == names::engine && slow_engine)
      return learner; // a step, or writing weights, takes seconds, too
    return name == names::store ? store : name == names::learner ? learner : usual;
  };
  out.on_silent = [](const std::string& name, duration patience) {
    log_event("silent_actor_killed", {{"actor", name}, {"patience_s", seconds(patience)}},
              log_level::warning);
  };
  return out;
}

class children {
public:
  explicit children(context_ptr ctx) : ctx_(std::move(ctx)) {}
  void add(const std::string& id, std::function<actor_ref(self_ptr)> start) {
    child_spec spec;
    spec.id = id;
    spec.start = std::move(start);
    spec.stop_deadline = std::chrono::seconds(2);
    list_.push_back(std::move(spec));
  }
  template <class State>
  void add_actor(const std::string& id) {
    add(id, [ctx = ctx_](self_ptr s) { return spawn_state<State>(*s, ctx); });
  }
  template <class State>
  void add_computing(const std::string& id) { // on a thread of its own
    add(id, [ctx = ctx_](self_ptr s) { return ctx->threads.spawn<State>(*s, ctx); });
  }
  void add_supervisor(const std::string& id) {
    add(id, [ctx = ctx_, id](self_ptr s) { return spawn_supervisor(s, options(ctx, id, 1000), {}); });
  }
  void add_store() {
    add(names::store, [ctx = ctx_](self_ptr s) {
      return ctx->threads.spawn<store_actor>(*s, store_opener(ctx->parts.open_store), ctx->threads);
    });
  }
  /// What any rollout needs.
  void add_rollout_floor() {
    add_store();
    add_actor<recorder_actor>(names::recorder);
    add_actor<judge_actor>(names::judge);
    add_computing<engine_actor>(names::engine);
    add_supervisor(names::tools);
    add_supervisor(names::rollouts);
  }
  void add_trainers() {
    add_actor<replay_buffer>(names::replay);
    add_actor<rollout_manager>(names::manager);
    add_computing<learner_actor>(names::learner);
    add_actor<evaluator_actor>(names::evaluator);
    add_actor<experiment_actor>(names::experiment);
    if (ctx_->config.control.enabled) add_actor<control_actor>(names::control);
  }
  void add_watchers() {
    if (ctx_->config.health.enabled)
      add(names::health, [ctx = ctx_](self_ptr s) { return spawn_state<health_actor>(*s, health_of(ctx)); });
    if (ctx_->faults) add_actor<fault_injector>(names::faults);
  }
  std::vector<child_spec> take() { return std::move(list_); }

private:
  context_ptr ctx_;
  std::vector<child_spec> list_;
};

} // namespace

std::vector<child_spec> tree_children(const context_ptr& ctx) {
  children out(ctx);
  out.add_rollout_floor();
  out.add_trainers();
  out.add_watchers();
  return out.take();
}

std::vector<child_spec> head_children(const context_ptr& ctx) {
  children out(ctx);
  out.add_store();
  out.add_actor<recorder_actor>(names::recorder);
  out.add_actor<cluster_actor>(names::cluster);
  out.add_trainers();
  out.add_watchers();
  return out.take();
}

std::vector<child_spec> worker_children(const context_ptr& ctx) {
  children out(ctx);
  out.add_actor<judge_actor>(names::judge);
  out.add_computing<engine_actor>(names::engine);
  out.add_supervisor(names::tools);
  out.add_supervisor(names::rollouts);
  out.add_actor<node_actor>(names::node);
  out.add_watchers();
  return out.take();
}

std::vector<child_spec> evaluation_children(const context_ptr& ctx) {
  children out(ctx);
  out.add_rollout_floor();
  out.add_actor<evaluator_actor>(names::evaluator);
  return out.take();
}

} // namespace troupe

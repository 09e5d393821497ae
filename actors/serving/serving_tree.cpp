#include "actors/serving/serving_tree.hpp"

#include "actors/engine/engine_actor.hpp"
#include "actors/serving/api_actor.hpp"
#include "runtime/health.hpp"
#include "runtime/log.hpp"

namespace troupe::serving {

supervisor_options tree_options(const serving_ptr& ctx) {
  supervisor_options out;
  out.name = "serving-tree";
  out.intensity = 10;
  out.period = std::chrono::seconds(10);
  out.seed = derive_seed(ctx->seed, "supervisor");
  out.names = ctx->run->names;
  out.observer = [](const supervision_event& event) {
    const log_details details = {{"supervisor", event.supervisor},
                                 {"child", event.child},
                                 {"reason", to_string(event.reason)},
                                 {"restarts", event.restarts}};
    if (event.kind == supervision_kind::restarted)
      log_event("child_restarted", details, log_level::warning);
    else if (event.kind == supervision_kind::gave_up)
      log_event("supervisor_gave_up", details, log_level::warning);
  };
  return out;
}

std::vector<child_spec> tree_children(const serving_ptr& ctx) {
  std::vector<child_spec> out;
  const auto add = [&](const std::string& id, std::function<actor_ref(self_ptr)> start) {
    child_spec spec;
    spec.id = id;
    spec.start = std::move(start);
    spec.stop_deadline = std::chrono::seconds(2);
    out.push_back(std::move(spec));
  };
  add(troupe::names::engine,
      [ctx](self_ptr s) { return ctx->run->threads.spawn<engine_actor>(*s, ctx->run); });
  add(serving_name, [ctx](self_ptr s) { return spawn_state<serving_actor>(*s, ctx); });
  add(api_name, [ctx](self_ptr s) { return spawn_state<api_actor>(*s, ctx); });
  add(troupe::names::health, [ctx](self_ptr s) {
    health_options health;
    health.names = ctx->run->names;
    health.time = ctx->run->time;
    health.patience = [ctx](const std::string& name) {
      return name == troupe::names::engine ? ctx->options.engine_patience : ctx->options.patience;
    };
    health.on_silent = [](const std::string& name, duration patience) {
      log_event("silent_actor_killed", {{"actor", name}, {"patience_s", seconds(patience)}},
                log_level::warning);
    };
    return spawn_state<health_actor>(*s, health);
  });
  return out;
}

} // namespace troupe::serving

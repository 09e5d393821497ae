#include "actors/control/control_actor.hpp"

#include "actors/audit.hpp"
#include "actors/control/exposition.hpp"
#include "actors/control/fault_requests.hpp"
#include "actors/control/quarantine.hpp"
#include "actors/ledger.hpp"
#include "runtime/base/file.hpp"
#include "runtime/log.hpp"

#include <unistd.h>

namespace troupe {

namespace {
constexpr auto patience = std::chrono::seconds(5);

/// Reads the run's files on a thread of its own, answers and ends.
struct audit_worker {
  static constexpr const char* name = "audit";
  audit_worker(self_ptr self, const context_ptr& ctx, const http::responder& answer) {
    ctx->threads.name_own(name);
    auto facts = audit_run(ctx->folder, ctx->config);
    answer.send(facts ? http::json_response(200, *facts) : http::problem(facts.error()));
    self->quit();
  }
  behavior make_behavior() { return {}; }
};
} // namespace

control_actor::control_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {
  http::server_options options;
  options.address = ctx_->config.control.address;
  // A first start takes the configured port; a restart takes the one that was announced (CTRL-2).
  const auto before = ctx_->control_port->load();
  options.port = before ? before : static_cast<std::uint16_t>(ctx_->config.control.port);
  using verb = control_request::verb;
  auto to_actor = [me = actor_ref(self_)](verb what) {
    return [me, what](http::request& got, http::responder answer) {
      const auto named = [&](const char* name) {
        const auto found = got.params.find(name);
        return found == got.params.end() ? std::string() : found->second;
      };
      auto id = named("id"), rollout = named("rollout"), item = named("n");
      tell(me, control_request{what, std::move(id), std::move(rollout), std::move(answer),
                               std::move(got.json), std::move(item)});
    };
  };
  http::router routes;
  routes.add("GET", "/healthz", to_actor(verb::health));
  routes.add("GET", "/metrics", to_actor(verb::metrics));
  routes.add("GET", "/v1/experiments", to_actor(verb::list));
  routes.add("GET", "/v1/experiments/{id}", to_actor(verb::show));
  routes.add("GET", "/v1/experiments/{id}/audit", to_actor(verb::audit));
  routes.add("GET", "/v1/experiments/{id}/quarantine", to_actor(verb::quarantine));
  routes.add("POST", "/v1/experiments/{id}/quarantine/{rollout}/retry", to_actor(verb::retry));
  routes.add("POST", "/v1/experiments/{id}/pause", to_actor(verb::pause));
  routes.add("POST", "/v1/experiments/{id}/resume", to_actor(verb::resume));
  routes.add("POST", "/v1/experiments/{id}/stop", to_actor(verb::stop));
  routes.add("POST", "/v1/experiments/{id}/faults", to_actor(verb::add_faults));
  routes.add("GET", "/v1/experiments/{id}/faults", to_actor(verb::list_faults));
  routes.add("DELETE", "/v1/experiments/{id}/faults/{n}", to_actor(verb::remove_fault));
  auto started = http::server::start(options, std::move(routes));
  if (!started) give_up("starting the control server", started.error());
  server_ = std::move(*started);
  if (!before && ctx_->on_record)
    ctx_->on_record({{"kind", "message"},
                     {"level", "info"},
                     {"text", "control: " + server_->url()},
                     {"url", server_->url()}});
  ctx_->control_port->store(server_->port());
  announce();
}

void control_actor::announce() const { // CTRL-3
  if (ctx_->folder.empty()) return;
  const json::object where{{"url", server_->url()}, {"pid", static_cast<std::int64_t>(::getpid())}};
  if (auto written = write_file_atomically(ctx_->folder / "control.json", json::dump(where)); !written)
    log_event("control_not_announced", {{"reason", written.error().message}}, log_level::warning);
}

behavior control_actor::make_behavior() {
  return {
      [this](const control_request& got) {
        using verb = control_request::verb;
        switch (got.what) {
        case verb::health:
          ask(
              self_, ctx_->names->find(names::experiment), patience, experiment_status_request{},
              [answer = got.answer](const metric_record&) {
                answer.send(http::json_response(200, json::object{{"status", "ok"}}));
              },
              [answer = got.answer](const error& why) {
                answer.send(http::problem(503, "Not healthy", to_string(why)));
              });
          break;
        case verb::metrics: metrics(got.answer); break;
        case verb::list:
          got.answer.send(http::json_response(
              200, json::object{
                       {"experiments",
                        json::array{json::object{{"id", ctx_->config.run.name},
                                                 {"href", "/v1/experiments/" + ctx_->config.run.name}}}}}));
          break;
        case verb::show:
          if (known(got.id, got.answer)) status(got.id, got.answer);
          break;
        case verb::audit:
          if (known(got.id, got.answer)) ctx_->threads.spawn<audit_worker>(self_, ctx_, got.answer);
          break;
        case verb::quarantine:
          if (known(got.id, got.answer)) list_quarantine(self_, ctx_, got.answer);
          break;
        case verb::retry:
          if (known(got.id, got.answer)) retry_quarantined(self_, ctx_, got.rollout, got.answer);
          break;
        case verb::pause: command(got.id, pause_run{}, "paused", got.answer); break;
        case verb::resume: command(got.id, resume_run{}, "training", got.answer); break;
        case verb::stop: command(got.id, stop_run{"stopped by REST"}, "stopped", got.answer); break;
        case verb::add_faults:
          if (known(got.id, got.answer)) got.answer.send(add_faults(self_, *ctx_, got.body));
          break;
        case verb::list_faults:
          if (known(got.id, got.answer)) got.answer.send(list_faults(*ctx_));
          break;
        case verb::remove_fault:
          if (known(got.id, got.answer)) got.answer.send(remove_fault(*ctx_, got.item));
          break;
        }
      },
      resume_handler(),
  };
}

bool control_actor::known(const std::string& id, const http::responder& answer) const {
  if (id == ctx_->config.run.name) return true;
  answer.send(http::problem(404, "No such experiment",
                            "found \"" + id + "\", expected \"" + ctx_->config.run.name + "\""));
  return false;
}

void control_actor::status(const std::string&, const http::responder& answer) {
  auto refuse = [answer](const error& why) { answer.send(http::problem(why)); };
  ask(
      self_, ctx_->names->find(names::experiment), patience, experiment_status_request{},
      [this, answer, refuse](const metric_record& state) {
        ask(
            self_, ctx_->names->find(names::replay), patience, balance_request{},
            [answer, state](const balance& sheet) {
              auto body = state.body;
              body["balance"] = to_json(sheet);
              answer.send(http::json_response(200, body));
            },
            refuse);
      },
      refuse);
}

template <class Command>
void control_actor::command(const std::string& id, Command what, std::string_view state,
                            const http::responder& answer) {
  if (!known(id, answer)) return;
  ask(
      self_, ctx_->names->find(names::experiment), patience, std::move(what),
      [answer, state = std::string(state)](const done&) {
        answer.send(http::json_response(202, json::object{{"state", state}}));
      },
      [answer](const error& why) { answer.send(http::problem(why)); });
}

void control_actor::metrics(const http::responder& answer) {
  auto refuse = [answer](const error& why) { answer.send(http::problem(why)); };
  ask(
      self_, ctx_->names->find(names::experiment), patience, experiment_status_request{},
      [this, answer, refuse](const metric_record& state) {
        ask(
            self_, ctx_->names->find(names::replay), patience, balance_request{},
            [this, answer, refuse, state](const balance& sheet) {
              ask(
                  self_, ctx_->names->find(names::engine), patience, engine_status_request{},
                  [ctx = ctx_, answer, state, sheet](const engine_status& engine) {
                    answer.send({200, exposition(*ctx->metrics, state.body, sheet, engine),
                                 std::string(metrics_registry::content_type)});
                  },
                  refuse);
            },
            refuse);
      },
      refuse);
}

} // namespace troupe

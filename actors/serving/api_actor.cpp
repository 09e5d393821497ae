#include "actors/serving/api_actor.hpp"

#include "actors/serving/api_routes.hpp"
#include "actors/serving/field_reader.hpp"

#include <limits>

namespace troupe::serving {

namespace {

constexpr auto patience = std::chrono::seconds(5);

/// Reads weights on a thread of its own, answers and ends.
struct weights_reader {
  static constexpr const char* name = "weights";
  weights_reader(self_ptr self, const serving_ptr& ctx, const actor_ref& to, const std::string& path,
                 std::uint64_t version, bool keep_cache, const http::responder& answer) {
    ctx->run->threads.name_own(name);
    tell(to, weights_read{ctx->load(path), version, keep_cache, answer});
    self->quit();
  }
  behavior make_behavior() { return {}; }
};

} // namespace

api_actor::api_actor(self_ptr self, serving_ptr ctx)
    : self_(self), ctx_(std::move(ctx)), metrics_(*ctx_->run->metrics, ctx_->rules.served_names.front()) {
  const auto& with = ctx_->options;
  http::server_options options;
  options.address = with.address;
  const auto before = ctx_->port->load();
  options.port = before ? before : static_cast<std::uint16_t>(with.port);
  options.threads = with.http_threads;
  options.body_limit = std::size_t{16} << 20;
  options.stream_limit = with.stream_limit;
  options.send_buffer = with.send_buffer;
  options.max_connections = static_cast<std::size_t>(with.max_queue) + 256;
  options.answer_deadline = with.request_deadline + std::chrono::seconds(30);
  options.error_form = in_api_form;
  auto started = http::server::start(options, routes_of(ctx_, actor_ref(self_)));
  if (!started) give_up("starting the server", started.error());
  server_ = std::move(*started);
  ctx_->port->store(server_->port());
  if (!before && ctx_->on_listening) ctx_->on_listening(server_->url());
}

behavior api_actor::make_behavior() {
  return {
      [this](const api_call& call) {
        using verb = api_call::verb;
        switch (call.what) {
        case verb::metrics: return metrics(call.answer);
        case verb::update_weights: return update_weights(call);
        case verb::weight_info:
          call.answer.send(http::json_response(
              200, json::object{{"weight_version", std::to_string(ctx_->run->board->current().version)}}));
          return;
        case verb::health:
        case verb::is_paused:
          ask(
              self_, ctx_->run->names->find(serving_name), patience, serving_status_request{},
              [call](const serving_status& now) {
                if (call.what == verb::is_paused)
                  call.answer.send(http::json_response(200, json::object{{"is_paused", now.paused}}));
                else if (now.engine_alive)
                  call.answer.send({200, "", ""});
                else
                  call.answer.send(api_error{503, "the engine is starting", {}, "unavailable"}.response());
              },
              [call](const error& why) { call.answer.send(to_api(why).response()); });
        }
      },
      [this](const weights_read& read) { publish(read); },
  };
}

void api_actor::metrics(const http::responder& answer) {
  auto show = [ctx = ctx_, answer] {
    answer.send({200, ctx->run->metrics->text(), std::string(metrics_registry::content_type)});
  };
  auto held = [this, show] {
    ask(
        self_, ctx_->run->names->find(serving_name), patience, serving_status_request{},
        [this, show](const serving_status& now) {
          metrics_.waiting(now.held);
          show();
        },
        [show](const error&) { show(); });
  };
  ask(
      self_, ctx_->run->names->find(troupe::names::engine), patience, engine_status_request{},
      [this, held](const engine_status& status) {
        metrics_.engine(status, ctx_->limits);
        held();
      },
      [held](const error&) { held(); }); // the last figures that it gave
}

void api_actor::update_weights(const api_call& call) {
  field_reader in(call.body);
  const auto path = in.text("model_path");
  if (path.empty()) in.wrong("model_path", "the path of a model");
  const auto now = ctx_->run->board->current().version;
  std::uint64_t version = now + 1;
  if (const auto* given = in.find("weight_version")) {
    const auto text = given->is_string() ? std::string(given->get_string()) : json::dump(*given);
    const bool number =
        !text.empty() && text.size() < 19 && text.find_first_not_of("0123456789") == text.npos;
    if (!number || std::stoull(text) <= now)
      in.wrong("weight_version", "a whole number above " + std::to_string(now));
    else
      version = std::stoull(text);
  }
  const bool keep = !in.boolean("flush_cache", true);
  if (!in.error() && updating_) in.fail({409, "another update is under way", {}, "conflict"});
  if (in.error()) {
    call.answer.send(in.error()->response());
    return;
  }
  updating_ = true;
  ctx_->run->threads.spawn<weights_reader>(self_, ctx_, actor_ref(self_), path, version, keep, call.answer);
}

void api_actor::publish(const weights_read& read) {
  updating_ = false;
  if (!read.model) {
    read.answer.send(to_api(read.model.error()).response());
    return;
  }
  if (!(read.model->weights->config == ctx_->model.weights->config)) {
    read.answer.send(
        api_error{400, "these weights are of another shape than the model that is served", "model_path", {}}
            .response());
    return;
  }
  ctx_->run->board->publish(read.model->weights, read.version); // API-2
  ask(
      self_, ctx_->run->names->find(troupe::names::engine), std::chrono::seconds(60),
      new_weights{read.model->weights, read.version, 0,
                  read.keep_cache ? kv_policy::keep : kv_policy::recompute},
      [read](const done&) {
        read.answer.send(
            http::json_response(200, json::object{{"success", true},
                                                  {"message", "the next step has the new weights"},
                                                  {"weight_version", std::to_string(read.version)},
                                                  {"num_paused_requests", 0}}));
      },
      [read](const error& why) { read.answer.send(to_api(why).response()); });
}

} // namespace troupe::serving

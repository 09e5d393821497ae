#include "actors/serving/api_routes.hpp"

#include <cstdio>

namespace troupe::serving {

namespace {

/// As long for a wrong key as for a right one.
bool same(std::string_view a, std::string_view b) {
  unsigned different = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    different |=
        static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[b.empty() ? 0 : i % b.size()]);
  return different == 0 && !b.empty();
}

std::optional<api_error> check_key(const http::request& got, const std::string& key) {
  constexpr std::string_view scheme = "Bearer ";
  const auto given = got.header("authorization");
  if (given.empty())
    return api_error{
        401, "a key is needed: send the header Authorization: Bearer KEY", {}, "invalid_api_key"};
  if (!given.starts_with(scheme) || !same(given.substr(scheme.size()), key))
    return api_error{401, "the key is wrong", {}, "invalid_api_key"};
  return std::nullopt;
}

std::optional<api_error> check_admin(const serving_context& ctx, const http::request& got) {
  if (ctx.options.admin_key.empty())
    return api_error{403,
                     got.path + " needs an admin key, and the server was started without one (--admin-key)",
                     {},
                     "no_admin_key"};
  return check_key(got, ctx.options.admin_key);
}

std::int64_t wall(const serving_context& ctx) {
  return static_cast<std::int64_t>(seconds(ctx.run->time->wall()));
}

class route_maker {
public:
  route_maker(serving_ptr ctx, actor_ref me)
      : ctx_(std::move(ctx)),
        me_(std::move(me)),
        metrics_(*ctx_->run->metrics, ctx_->rules.served_names.front()) {}

  /// A request with a JSON body, behind the API's key. `what`: body, responder -> an error to answer with.
  template <class What>
  http::handler api(What what) const {
    return [ctx = ctx_, metrics = metrics_, what = std::move(what)](http::request& got,
                                                                    http::responder answer) {
      const auto refuse_with = [&](const api_error& why) {
        metrics.refused(why.status);
        answer.send(why.response());
      };
      if (!ctx->options.api_key.empty())
        if (auto bad = check_key(got, ctx->options.api_key)) return refuse_with(*bad);
      json::value body;
      if (got.method == "POST") {
        auto parsed = json::parse(got.body);
        if (!parsed)
          return refuse_with({400, "the body is not JSON: " + parsed.error().message, {}, "invalid_json"});
        body = std::move(*parsed);
      }
      if (auto bad = what(body, answer)) refuse_with(*bad);
    };
  }

  template <class What>
  http::handler admin(What what) const {
    return [ctx = ctx_, what = std::move(what)](http::request& got, http::responder answer) {
      auto bad = check_admin(*ctx, got);
      if (!bad) bad = what(got, answer);
      if (bad) answer.send(bad->response());
    };
  }

  http::handler to_actor(api_call::verb what) const {
    return [me = me_, what](http::request&, http::responder answer) {
      tell(me, api_call{what, std::move(answer)});
    };
  }

  http::handler generation(bool chat) const {
    return api([ctx = ctx_, chat](const json::value& body,
                                  const http::responder& answer) -> std::optional<api_error> {
      auto parsed = chat ? parse_chat(body, ctx->model, ctx->rules, wall(*ctx))
                         : parse_completion(body, ctx->model, ctx->rules);
      if (!parsed) return parsed.error();
      const auto number = ++*ctx->requests;
      char id[48];
      std::snprintf(id, sizeof id, chat ? "chatcmpl-%016llx" : "cmpl-%016llx",
                    static_cast<unsigned long long>(derive_seed(ctx->seed ^ 0x6964, number)));
      parsed->id = id;
      const auto serving = ctx->run->names->find(serving_name);
      if (!serving) return api_error{503, "the server is starting, or recovering", {}, "unavailable"};
      tell(serving, serve_request{std::make_shared<const api_request>(std::move(*parsed)), number, answer});
      return std::nullopt;
    });
  }

private:
  serving_ptr ctx_;
  actor_ref me_;
  serving_metrics metrics_;
};

json::object models(const serving_context& ctx) {
  json::array list;
  for (const auto& name : ctx.rules.served_names)
    list.push_back(json::object{{"id", name},
                                {"object", "model"},
                                {"created", wall(ctx)},
                                {"owned_by", "troupe"},
                                {"root", ctx.model.name},
                                {"parent", nullptr},
                                {"max_model_len", ctx.rules.max_model_len}});
  return {{"object", "list"}, {"data", std::move(list)}};
}

std::optional<api_error> pause(const serving_context& ctx, const http::request& got,
                               const http::responder& answer) {
  const auto* named = got.query_value("mode");
  const std::string mode = named ? *named : "abort";
  using how = pause_serving::mode;
  if (mode != "abort" && mode != "wait" && mode != "keep")
    return api_error{400, "mode: found \"" + mode + "\", expected abort, wait or keep", "mode",
                     "invalid_value"};
  const auto serving = ctx.run->names->find(serving_name);
  if (!serving) return api_error{503, "the server is starting, or recovering", {}, "unavailable"};
  tell(serving, pause_serving{mode == "abort" ? how::abort : mode == "wait" ? how::wait : how::keep, answer});
  return std::nullopt;
}

} // namespace

http::router routes_of(const serving_ptr& ctx, const actor_ref& me) {
  const route_maker make(ctx, me);
  using verb = api_call::verb;
  constexpr auto any = http::body_kind::any; // read here, for errors in the API's form
  http::router out;
  out.add("POST", "/v1/completions", make.generation(false), any);
  out.add("POST", "/v1/chat/completions", make.generation(true), any);
  out.add("GET", "/v1/models", make.api([ctx](const json::value&, const http::responder& answer) {
    answer.send(http::json_response(200, models(*ctx)));
    return std::optional<api_error>();
  }));
  const auto text_route = [&](auto what) {
    return make.api(
        [ctx, what](const json::value& body, const http::responder& answer) -> std::optional<api_error> {
          auto made = what(body);
          if (!made) return made.error();
          answer.send(http::json_response(200, *made));
          return std::nullopt;
        });
  };
  out.add("POST", "/tokenize", text_route([ctx](const json::value& body) {
            return tokenize(body, ctx->model, ctx->rules, wall(*ctx));
          }),
          any);
  out.add("POST", "/detokenize",
          text_route([ctx](const json::value& body) { return detokenize(body, ctx->model, ctx->rules); }),
          any);
  out.add("GET", "/version", [ctx](http::request&, const http::responder& answer) {
    answer.send(http::json_response(200, json::object{{"version", ctx->version}}));
  });
  out.add("GET", "/health", make.to_actor(verb::health));
  out.add("GET", "/metrics", make.to_actor(verb::metrics));
  const auto none = [] { return std::optional<api_error>(); };
  out.add("POST", "/pause", make.admin([ctx](http::request& got, const http::responder& answer) {
    return pause(*ctx, got, answer);
  }),
          any);
  out.add("POST", "/resume", make.admin([ctx, none](http::request&, const http::responder& answer) {
    tell(ctx->run->names->find(serving_name), resume_serving{answer});
    return none();
  }),
          any);
  const auto asked = [&](verb what) {
    return make.admin([me, what, none](http::request&, const http::responder& answer) {
      tell(me, api_call{what, answer});
      return none();
    });
  };
  out.add("GET", "/is_paused", asked(verb::is_paused));
  out.add("GET", "/weight_info", asked(verb::weight_info));
  out.add("POST", "/update_weights_from_disk",
          make.admin([me](http::request& got, const http::responder& answer) -> std::optional<api_error> {
            auto parsed = json::parse(got.body);
            if (!parsed || !parsed->is_object())
              return api_error{400, "the body is not a JSON object", {}, "invalid_json"};
            tell(me, api_call{verb::update_weights, answer, std::move(parsed->get_object())});
            return std::nullopt;
          }),
          any);
  return out;
}

} // namespace troupe::serving

#pragma once

#include "tests/foreign/generator.hpp"

namespace troupe::foreign {

/// vLLM 0.33.0 with VLLM_SERVER_DEV_MODE=1: /v1/models, /v1/completions (entrypoints/openai), /pause, /resume, /is_paused, /weight_info,
/// /update_weight_version (entrypoints/rl/online), /collective_rpc and /reset_prefix_cache (entrypoints/serve/dev). `reload_weights` leaves the label
/// as it is; its cached keys and values go by /reset_prefix_cache alone here, since the cache's emptying by /pause is said to be going away.
class vllm final : public generator {
public:
  using generator::generator;
  ~vllm() override { stop(); }
  bool dev_mode = true;

protected:
  void add(http::router& routes) override {
    load_path_ = "/collective_rpc";
    add_models(routes, "vllm");
    routes.add("POST", "/v1/completions", [this](http::request& asked, http::responder answer) {
      std::scoped_lock lock(guard_);
      if (paused_) {
        ++seen.refused_while_paused;
        return (void)answer.send(error(503, "generation is paused"));
      }
      completion(asked.json.as_object(), answer);
    });
    if (!dev_mode) return;
    const auto said = [](const char* what) {
      return http::json_response(200, json::object{{"status", what}});
    };
    control(routes, "POST", "/pause", [this, said](http::request& asked) {
      const auto* mode = asked.query_value("mode");
      if (mode && *mode != "abort") return error(400, "the test knows the mode abort");
      paused_ = true;
      abort_all();
      return said("paused");
    });
    control(routes, "POST", "/resume", [this, said](http::request&) {
      paused_ = false;
      return said("resumed");
    });
    control(routes, "GET", "/is_paused", [this](http::request&) {
      return http::json_response(200, json::object{{"is_paused", paused_}});
    });
    control(routes, "GET", "/weight_info", [this](http::request&) {
      return http::json_response(200, json::object{{"weight_version", label_}});
    });
    control(routes, "POST", "/update_weight_version", [this](http::request& asked) {
      label_ = asked.json.at("new_version").as_string().c_str();
      return http::json_response(200, json::object{{"success", true}, {"new_version", label_}});
    });
    control(routes, "POST", "/collective_rpc", [this](http::request& asked) {
      if (asked.json.at("method") != "reload_weights") return error(500, "no such method");
      load(asked.json.at("kwargs").at("weights_path").as_string().c_str(), false);
      return http::json_response(200, json::object{{"results", json::array{nullptr}}});
    });
    control(routes, "POST", "/reset_prefix_cache", [this](http::request&) {
      if (open_turns() == 0) empty_cache();
      return http::json_response(200, json::object{{"success", open_turns() == 0}});
    });
  }

private:
  static http::response error(int status, const std::string& message) {
    return http::json_response(
        status, json::object{{"error", json::object{{"message", message}, {"type", "x"}, {"code", status}}}});
  }

  void completion(const json::object& body, const http::responder& answer) {
    static const std::set<std::string> known = {"model",
                                                "request_id",
                                                "prompt",
                                                "max_tokens",
                                                "temperature",
                                                "top_p",
                                                "top_k",
                                                "min_p",
                                                "repetition_penalty",
                                                "presence_penalty",
                                                "frequency_penalty",
                                                "ignore_eos",
                                                "stop_token_ids",
                                                "seed",
                                                "logprobs",
                                                "return_token_ids",
                                                "return_weight_versions",
                                                "return_tokens_as_token_ids"};
    for (const auto& [key, value] : body)
      if (!known.contains(std::string(key)))
        return (void)answer.send(error(400, "the test knows no field " + std::string(key)));
    if (body.at("model") != "policy") return (void)answer.send(error(404, "The model does not exist."));
    generate_request ask;
    for (const auto& id : body.at("prompt").as_array()) {
      if (id.to_number<int>() >= vocabulary_)
        return (void)answer.send(error(400, "Token id " + json::dump(id) + " is out of vocabulary"));
      ask.context.push_back(id.to_number<token>());
    }
    ask.max_new_tokens = body.at("max_tokens").to_number<int>();
    if (const auto* stops = body.if_contains("stop_token_ids"))
      for (const auto& id : stops->as_array()) ask.stop.push_back(id.to_number<token>());
    if (const auto* seed = body.if_contains("seed")) seen.seeds.insert(seed->as_int64());
    ask.sampling.temperature = body.at("temperature").to_number<double>();
    ask.top_logprobs = body.at("logprobs").to_number<int>();
    const auto asks = [&](const char* key) {
      return body.contains(key) && body.at(key) == json::value(true);
    };
    const bool ids = asks("return_token_ids"), versions = asks("return_weight_versions") && how.spans;
    const bool likeliest = ask.top_logprobs > 0;
    sample(body.at("request_id").as_string().c_str(), std::move(ask), answer,
           [this, ids, versions, likeliest](const sampled& turn) {
             const auto logprobs = said_logprobs(turn);
             json::object beside{{"token_logprobs", json::array(logprobs.begin(), logprobs.end())}};
             if (likeliest) {
               json::array places;
               for (const auto& place : turn.top) {
                 json::object one;
                 for (const auto& ranked : place)
                   one["token_id:" + std::to_string(ranked.id)] = ranked.logprob + (how.logits ? 12.0 : 0.0);
                 places.push_back(std::move(one));
               }
               beside["top_logprobs"] = std::move(places);
             }
             json::object choice{
                 {"index", 0}, {"text", ""}, {"finish_reason", turn.ending}, {"logprobs", std::move(beside)}};
             if (ids) choice["token_ids"] = json::array(turn.tokens.begin(), turn.tokens.end());
             choice["weight_versions"] = versions ? json::value(spans_of(turn)) : json::value(nullptr);
             return http::json_response(
                 200, json::object{{"id", "cmpl-" + turn.name},
                                   {"choices", json::array{std::move(choice)}},
                                   {"usage", json::object{{"prompt_tokens", turn.prompt}}}});
           });
  }
};

} // namespace troupe::foreign

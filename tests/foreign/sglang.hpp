#pragma once

#include "tests/foreign/generator.hpp"

#include <deque>

namespace troupe::foreign {

/// SGLang 0.5.23: /v1/models, /generate, /model_info, /pause_generation, /update_weights_from_disk, /continue_generation (srt/entrypoints/http_server,
/// srt/managers). While it is paused, new requests wait. Sampling parameters that it does not know are refused, as its JSON contract does.
class sglang final : public generator {
public:
  using generator::generator;
  ~sglang() override { stop(); }

protected:
  void add(http::router& routes) override {
    load_path_ = "/update_weights_from_disk";
    waiting_.clear();
    add_models(routes, "sglang");
    routes.add("POST", "/generate", [this](http::request& asked, http::responder answer) {
      std::scoped_lock lock(guard_);
      if (!paused_) return generate(asked.json.as_object(), answer);
      ++seen.refused_while_paused;
      waiting_.emplace_back(asked.json.as_object(), std::move(answer));
    });
    const auto said = [](const char* what) {
      return http::json_response(200, json::object{{"message", what}, {"status", "ok"}});
    };
    control(routes, "POST", "/pause_generation", [this, said](http::request& asked) {
      if (asked.json.at("mode") != "abort") return error(400, "the test knows the mode abort");
      paused_ = true;
      abort_all();
      return said("Generation paused successfully.");
    });
    control(routes, "POST", "/continue_generation", [this, said](http::request&) {
      paused_ = false;
      for (auto& [body, answer] : std::exchange(waiting_, {})) generate(body, answer);
      return said("Generation continued successfully.");
    });
    control(routes, "GET", "/model_info", [this](http::request&) {
      return http::json_response(200, json::object{{"model_path", "m"}, {"weight_version", label_}});
    });
    control(routes, "POST", "/update_weights_from_disk", [this](http::request& asked) {
      const auto& body = asked.json.as_object();
      load(body.at("model_path").as_string().c_str(), body.at("flush_cache").as_bool());
      if (const auto* label = body.if_contains("weight_version")) label_ = label->as_string().c_str();
      return http::json_response(200, json::object{{"success", true},
                                                   {"message", "Succeeded to update model weights."},
                                                   {"num_paused_requests", 0}});
    });
  }

private:
  static http::response error(int status, const std::string& message) {
    return http::json_response(
        status, json::object{{"object", "error"}, {"message", message}, {"type", "x"}, {"code", status}});
  }

  void generate(const json::object& body, const http::responder& answer) {
    static const std::set<std::string> known = {"max_new_tokens",
                                                "min_new_tokens",
                                                "temperature",
                                                "top_p",
                                                "top_k",
                                                "min_p",
                                                "repetition_penalty",
                                                "presence_penalty",
                                                "frequency_penalty",
                                                "ignore_eos",
                                                "stop_token_ids",
                                                "sampling_seed",
                                                "no_stop_trim",
                                                "skip_special_tokens"};
    const auto& how_sampled = body.at("sampling_params").as_object();
    for (const auto& [key, value] : how_sampled)
      if (!known.contains(std::string(key)))
        return (void)answer.send(error(400, "unknown field `" + std::string(key) + "`"));
    generate_request ask;
    for (const auto& id : body.at("input_ids").as_array()) ask.context.push_back(id.to_number<token>());
    if (const auto* others = body.if_contains("token_ids_logprob"))
      for (const auto& id : others->as_array())
        if (id.to_number<int>() >= vocabulary_)
          return (void)answer.send(
              error(400, "token_ids_logprob contains out-of-vocabulary token id " + json::dump(id)));
    ask.max_new_tokens = how_sampled.at("max_new_tokens").to_number<int>();
    if (const auto* stops = how_sampled.if_contains("stop_token_ids"))
      for (const auto& id : stops->as_array()) ask.stop.push_back(id.to_number<token>());
    if (const auto* seed = how_sampled.if_contains("sampling_seed")) seen.seeds.insert(seed->as_int64());
    ask.sampling.temperature = how_sampled.at("temperature").to_number<double>();
    const bool likeliest = body.contains("top_logprobs_num");
    if (likeliest) ask.top_logprobs = body.at("top_logprobs_num").to_number<int>();
    const bool logprobs = body.contains("return_logprob") && body.at("return_logprob") == json::value(true);
    sample(body.at("rid").as_string().c_str(), std::move(ask), answer,
           [this, logprobs, likeliest](const sampled& turn) {
             json::object meta{{"id", turn.name},
                               {"finish_reason", json::object{{"type", turn.ending}}},
                               {"prompt_tokens", turn.prompt},
                               {"completion_tokens", turn.tokens.size()},
                               {"cached_tokens", 0},
                               {"weight_version", label_}};
             if (how.spans && turn.ending != "abort") meta["weight_versions"] = spans_of(turn);
             if (logprobs) {
               json::array triples;
               const auto values = said_logprobs(turn);
               for (std::size_t i = 0; i < values.size(); ++i)
                 triples.push_back(json::array{values[i], turn.tokens[i], nullptr});
               meta["output_token_logprobs"] = std::move(triples);
             }
             if (likeliest) {
               json::array places;
               for (const auto& place : turn.top) {
                 json::array one;
                 for (const auto& ranked : place)
                   one.push_back(json::array{ranked.logprob + (how.logits ? 12.0 : 0.0), ranked.id, nullptr});
                 places.push_back(std::move(one));
               }
               meta["output_top_logprobs"] = std::move(places);
             }
             return http::json_response(
                 200, json::object{{"text", ""},
                                   {"output_ids", json::array(turn.tokens.begin(), turn.tokens.end())},
                                   {"meta_info", std::move(meta)}});
           });
  }

  std::deque<std::pair<json::object, http::responder>> waiting_;
};

} // namespace troupe::foreign

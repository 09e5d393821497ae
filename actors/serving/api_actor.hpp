#pragma once

#include "actors/serving/serving_actor.hpp"

namespace troupe::serving {

/// A question to the api actor, from the server's threads.
struct api_call {
  enum class verb : std::uint8_t { health, metrics, is_paused, weight_info, update_weights } what;
  http::responder answer;
  json::object body{};
};
/// A worker has read new weights, or not.
struct weights_read {
  expected<language_model> model;
  std::uint64_t version = 0;
  bool keep_cache = false;
  http::responder answer;
};

/// The HTTP face of a server. Its threads check requests, render templates and tokenize; what remains goes to the serving actor.
///
/// | request                                         | answer                                                       |
/// | GET /v1/models                                  | what is served                                               |
/// | POST /v1/completions, /v1/chat/completions      | OpenAI's API in vLLM's dialect (docs/serving.md)             |
/// | POST /tokenize, /detokenize                     | ids of a text or a conversation; the text of ids             |
/// | GET /health, /version, /metrics                 | 200 while the parts live; the program's version; Prometheus  |
/// | POST /pause?mode=abort,wait,keep, /resume       | vLLM's; GET /is_paused                                       |
/// | POST /update_weights_from_disk                  | SGLang's: {"model_path", "weight_version"?, "flush_cache"?}  |
/// | GET /weight_info                                | {"weight_version"}                                           |
/// The last three lines need the admin key. Errors have OpenAI's form.
///
///   API-1  A restart listens on the same port again.
///   API-2  Weights are published before the engine is told of them: one that starts meanwhile has them, too.
class api_actor {
public:
  static constexpr const char* name = "api";
  api_actor(self_ptr self, serving_ptr ctx);
  behavior make_behavior();

private:
  void metrics(const http::responder& answer);
  void update_weights(const api_call& call);
  void publish(const weights_read& read);
  self_ptr self_;
  serving_ptr ctx_;
  serving_metrics metrics_;
  bool updating_ = false;
  std::unique_ptr<http::server> server_;
};

} // namespace troupe::serving

TROUPE_LOCAL_TYPE(troupe::serving::api_call)
TROUPE_LOCAL_TYPE(troupe::serving::weights_read)

#pragma once

#include "actors/context.hpp"
#include "actors/serving/api_request.hpp"

namespace troupe::serving {

struct serving_options {
  std::string address = "127.0.0.1";
  int port = 8000;       ///< 0: any free one
  std::string api_key;   ///< for /v1, /tokenize and /detokenize; empty: none is asked for
  std::string admin_key; ///< for pause, resume and weights; empty: these are refused
  int max_queue = 10000; ///< requests that are open at once, beyond: 429
  duration request_deadline = std::chrono::minutes(10);
  std::size_t stream_limit = 1 << 20; ///< bytes that wait for a slow client, beyond: it is cut off
  int send_buffer = 0;                ///< of the kernel for one client; 0: its choice
  int http_threads = 2;
  /// An actor that takes no message for so long gets a new life; the engine takes none while it computes a step.
  duration patience = std::chrono::seconds(15), engine_patience = std::chrono::minutes(2);
  int most_lives = 3; ///< of an engine that a request may see end; then it fails
};

/// What the actors of a server share and none changes. `run` is what the engine's actor takes: the engine's maker, the board of
/// weights, the directory, time, threads, metrics.
struct serving_context {
  context_ptr run;
  language_model model;
  api_rules rules;
  serving_options options;
  engine_limits limits;
  std::string version; ///< of the program
  /// Reads other weights of the same model, for an update, and sees that an engine takes them.
  std::function<expected<language_model>(const std::filesystem::path&)> load;
  /// The server listens; called at its first start.
  std::function<void(const std::string& url)> on_listening;
  std::uint64_t seed = 0; ///< of requests that bring none
  std::shared_ptr<std::atomic<std::uint64_t>> requests = std::make_shared<std::atomic<std::uint64_t>>(0);
  /// Whether it is paused: it stays so through every actor's end.
  std::shared_ptr<std::atomic<bool>> paused = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<std::uint16_t>> port = std::make_shared<std::atomic<std::uint16_t>>(0);
};
using serving_ptr = std::shared_ptr<const serving_context>;

// -- names in the directory, beside names::engine
inline const std::string serving_name = "serving", api_name = "api";

} // namespace troupe::serving

#include "actors/serving/serving_metrics.hpp"

#include <algorithm>

namespace troupe::serving {

namespace {

const std::vector<double>& token_bounds() {
  static const std::vector<double> it = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000};
  return it;
}

/// The engine counts for itself; the series follows. A count that began again (a new life) goes on from where it was.
void follow(const metric_counter& series, double count) { series.add(std::max(0.0, count - series.value())); }

} // namespace

serving_metrics::serving_metrics(metrics_registry& registry, const std::string& model)
    : registry_(registry), labels_{{"engine", "0"}, {"model_name", model}} {
  // every series is there from the start, with 0
  engine({}, {});
  for (const auto* reason : {"stop", "length", "abort", "tool_calls"})
    registry_.counter("vllm:request_success_total", "Requests that were answered, by how they ended.",
                      with("finished_reason", reason));
}

metric_labels serving_metrics::with(const std::string& key, const std::string& value) const {
  auto out = labels_;
  out[key] = value;
  return out;
}

void serving_metrics::first_token(duration since_arrival) const {
  registry_
      .histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token.", labels_)
      .observe(seconds(since_arrival));
}

void serving_metrics::next_token(duration since_last) const {
  registry_.histogram("vllm:inter_token_latency_seconds", "From one token of a choice to its next.", labels_)
      .observe(seconds(since_last));
}

void serving_metrics::over(const request_figures& f) const {
  const auto count = [&](const char* name, const char* help, double n) {
    registry_.counter(name, help, labels_).add(n);
  };
  const auto size = [&](const char* name, const char* help, double n) {
    registry_.histogram(name, help, labels_, token_bounds()).observe(n);
  };
  const auto time = [&](const char* name, const char* help, duration d) {
    registry_.histogram(name, help, labels_).observe(seconds(d));
  };
  count("vllm:prompt_tokens_total", "Tokens of prompts.", static_cast<double>(f.prompt_tokens));
  count("vllm:generation_tokens_total", "Tokens that were generated.",
        static_cast<double>(f.generated_tokens));
  count("vllm:prefix_cache_queries_total",
        "Prompt tokens that were looked up in the cache of keys and values.",
        static_cast<double>(f.prompt_tokens));
  count("vllm:prefix_cache_hits_total", "Prompt tokens that were found there.",
        static_cast<double>(f.cached_tokens));
  size("vllm:request_prompt_tokens", "Tokens of a request's prompts.", static_cast<double>(f.prompt_tokens));
  size("vllm:request_generation_tokens", "Tokens generated for a request.",
       static_cast<double>(f.generated_tokens));
  size("vllm:request_params_n", "Choices asked for.", f.n);
  size("vllm:request_params_max_tokens", "Tokens asked for.", f.max_tokens);
  time("vllm:request_queue_time_seconds", "From a request's arrival to when the engine was given it.",
       f.queued);
  time("vllm:e2e_request_latency_seconds", "From a request's arrival to the end of its answer.", f.all);
  if (f.generated_tokens > 0)
    time("vllm:request_decode_time_seconds", "From a request's first token to its last.", f.decode);
  for (const auto& reason : f.reasons)
    registry_
        .counter("vllm:request_success_total", "Requests that were answered, by how they ended.",
                 with("finished_reason", reason))
        .add();
}

void serving_metrics::refused(int status) const {
  registry_
      .counter("troupe_serving_refused_total", "Requests that got an error, by its status.",
               with("status", std::to_string(status)))
      .add();
}

void serving_metrics::resumed() const {
  registry_
      .counter("troupe_serving_resumed_total", "Choices that went on in another life of the engine.", labels_)
      .add();
}

void serving_metrics::engine(const engine_status& status, const engine_limits& limits) const {
  const auto& core = status.core;
  registry_.gauge("vllm:num_requests_running", "Sequences that decode.", labels_).set(core.active);
  registry_
      .gauge("vllm:kv_cache_usage_perc", "Share of the cache of keys and values that is in use; 1 is all.",
             labels_)
      .set(static_cast<double>(core.kv_tokens) /
           static_cast<double>(std::max<std::int64_t>(1, limits.max_kv_tokens)));
  follow(registry_.counter("vllm:num_preemptions_total", "Sequences that had to give their place back.",
                           labels_),
         static_cast<double>(core.preemptions));
  registry_.gauge("vllm:num_requests_waiting", "Sequences that wait for a place.", labels_).set(core.waiting);
  follow(registry_.counter("troupe_engine_steps_total", "Steps of the engine.", labels_),
         static_cast<double>(core.steps));
  follow(
      registry_.counter("troupe_engine_busy_seconds_total", "Time the engine spent in its steps.", labels_),
      status.busy_seconds);
}

void serving_metrics::waiting(std::size_t outside_engine) const {
  registry_.gauge("vllm:num_requests_waiting", "Sequences that wait for a place.", labels_)
      .add(static_cast<double>(outside_engine));
}

} // namespace troupe::serving

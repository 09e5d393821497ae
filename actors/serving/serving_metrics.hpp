#pragma once

#include "actors/serving/serving_context.hpp"

namespace troupe::serving {

/// What a request leaves for the metrics when it is over.
struct request_figures {
  std::size_t prompt_tokens = 0, generated_tokens = 0;
  std::int64_t cached_tokens = 0;
  int n = 1, max_tokens = 0;
  std::vector<std::string> reasons; ///< of its choices
  duration queued{}, first_token{}, decode{}, all{};
};

/// A server's figures under vLLM's names, so that its dashboards work, beside Troupe's own.
class serving_metrics {
public:
  serving_metrics(metrics_registry& registry, const std::string& model);
  void first_token(duration since_arrival) const;
  void next_token(duration since_last) const;
  void over(const request_figures& figures) const;
  void refused(int status) const;
  void engine(const engine_status& status, const engine_limits& limits) const;
  /// Requests that the engine has not been given yet wait, too.
  void waiting(std::size_t outside_engine) const;
  void resumed() const; ///< a request went on after an engine's end

private:
  metric_labels with(const std::string& key, const std::string& value) const;
  metrics_registry& registry_;
  metric_labels labels_;
};

} // namespace troupe::serving

#pragma once

#include "actors/messages.hpp"
#include "runtime/metrics.hpp"

namespace troupe {

/// Writes a run's state into the registry and gives all of it as Prometheus text.
std::string exposition(metrics_registry& metrics, const json::object& state, const balance& sheet,
                       const engine_status& engine);

} // namespace troupe

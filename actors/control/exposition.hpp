#pragma once

#include "actors/messages.hpp"

namespace troupe {

/// A run's state in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats, 0.0.4).
std::string exposition(const json::object& state, const balance& sheet, const engine_status& engine);

} // namespace troupe

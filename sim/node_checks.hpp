#pragma once

#include "sim/evidence.hpp"
#include <optional>
#include <string>

namespace troupe::sim {

/// Checks of runs of several nodes, from their durable records and what the fakes saw (checks.hpp lists them).

/// Every record of a rollout was written by the placement that was its newest at that moment, in an epoch that was not over.
std::optional<std::string> fencing_holds(const evidence& of);
/// No engine made a token in an epoch after its fence: whoever is lost has stopped before.
std::optional<std::string> leases_hold(const evidence& of);
/// A node that is down, stopped or alone for two seconds is fenced within 1.5 s (and what a message takes), while the head is well.
std::optional<std::string> losses_are_seen(const evidence& of);

/// How long it took, for each such loss that was seen, in seconds.
std::vector<double> detection_times(const evidence& of);

} // namespace troupe::sim

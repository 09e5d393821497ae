#pragma once

#include "actors/serving/serving_context.hpp"

namespace troupe::serving {

/// The supervision tree of a server (one_for_one): engine, serving, api, health. Each finds the others by name and outlives their restarts.
supervisor_options tree_options(const serving_ptr& ctx);
std::vector<child_spec> tree_children(const serving_ptr& ctx);

} // namespace troupe::serving

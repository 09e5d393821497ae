#pragma once

#include "actors/context.hpp"

namespace troupe {

/// The supervision tree of one run, in the order of its start (and, reversed, of its end):
///   experiment tree (one_for_one): store, recorder, judge, engine, tools, rollouts, replay, manager, learner, evaluator, experiment,
///   control. `tools` and `rollouts` are supervisors of their own for the short-lived. Each child finds the others by name and
///   outlives their restarts; what each reads back is in its header.
supervisor_options tree_options(const context_ptr& ctx);
std::vector<child_spec> tree_children(const context_ptr& ctx);
/// The same on several nodes, each with a context of its own: the head keeps and trains, workers sample (actors/cluster/).
///   head:   store, recorder, cluster, replay, manager, learner, evaluator, experiment, control
///   worker: judge, engine, tools, rollouts, node
std::vector<child_spec> head_children(const context_ptr& ctx);
std::vector<child_spec> worker_children(const context_ptr& ctx);
/// The part of it that measures published weights: no manager, no replay buffer, no learner.
std::vector<child_spec> evaluation_children(const context_ptr& ctx);

} // namespace troupe

#pragma once

#include "runtime/base/json.hpp"
#include <filesystem>
#include <vector>

namespace troupe {

/// The records of a metrics.jsonl in their order. A last line that a kill cut short is left out; any other broken line is
/// corrupt, by its number. Errors: not_found, io, corrupt.
expected<std::vector<json::object>> read_metrics(const std::filesystem::path& jsonl);

/// What `troupe report RUN --json` prints, from the records of a run. From `extras` come, as they are, "run", "rollouts" (the
/// balance), "cpu", "transcripts" and "files"; all else is computed:
///   heldout.before / .after   the last evaluation "before" and "after": pass_at_1, pass_at_4, mean_turns, mean_tool_calls,
///                             format_error_rate (each with _ci95), by_hops and questions at temperature 1; greedy, greedy_ci95
///   heldout.curve             [{"step", "pass_at_1", "pass_at_1_ci95", "greedy"?}] by step
///   seconds                   warmup, rl, eval (before + after), total: sums over finished stages; for an unfinished RL stage
///                             the last step's seconds
///   restarts, max_logprob_gap, max_staleness, steps
/// What was not measured is null, never 0. A run that was resumed gives later records of the same step: the last counts.
json::object summarize(const std::vector<json::object>& records, const json::object& extras = {});

} // namespace troupe

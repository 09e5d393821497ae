#pragma once

#include "cli/run_folder.hpp"

namespace troupe::cli {

/// The processor's name and how many cores this process may count on.
std::string cpu_name();

/// Makes report.json and report.html of a run from what is durable: metrics.jsonl and the store. `sheet` is the balance that the
/// live run gave; without it, it is counted from the store. A file that cannot be
/// written is a warning on stderr. Errors: not_found, corrupt, io.
expected<json::object> write_report(const run_folder& folder, const run_context& ctx,
                                    const std::optional<balance>& sheet);

/// The context that reading a run needs (tasks, tokenizer, tool schemas), without engine, learner or search index.
expected<std::shared_ptr<run_context>> reading_context(const run_folder& folder);

/// One rollout from its records. Errors: not_found, corrupt.
expected<trajectory> read_rollout(event_store& store, const run_context& ctx, const rollout_key& key);

/// accepted = trained + pending + parked + retired, from the store's records alone.
expected<balance> count_balance(event_store& store, int group_size);

} // namespace troupe::cli

#pragma once

#include "cli/run_folder.hpp"
#include "cli/tables.hpp"

namespace troupe::cli {

/// What was injected into a run and what came of it, from its store:
///   {"faults": [{"fault", "kind", "strikes", "detected", "detected_ms_p50", "detected_ms_p99", "recovered", "recovered_ms_p50",
///                "recovered_ms_p99", "turns_redone", "steps_redone"}],
///    "strikes", "turns_redone", "steps_redone", "lost", "duplicated", "rollouts": the balance, "balanced"}
/// `lost`: accepted and in no other count; `duplicated`: counted twice (both by the audit). What was not measured is null.
/// Errors: the audit's, corrupt.
expected<json::object> summarize_faults(const run_folder& folder, const run_config& config,
                                        event_store& store);
/// The same of a run that nobody has opened yet. Errors: also not_found, invalid, version, io.
expected<json::object> summarize_faults(const run_folder& folder);

/// The table of that: a row for each kind of fault at each kind of actor.
table_rows fault_rows(const json::object& summary);
/// One line under it: what was lost, doubled, and the balance.
std::string fault_totals(const json::object& summary);

} // namespace troupe::cli

#pragma once

#include "actors/ledger.hpp"

namespace troupe {

// -- what ties a checkpoint to the store beside which it was made ----------------------------------------------------------------------

/// A checkpoint's manifest names a place in the store's log (extra["store"]: seq and chain). An older store, another run's, or one that
/// was cut has another log there.
json::object binding_of(const store_position& at);
/// Nothing: the manifest has none (a store that cannot tell). Errors: corrupt.
expected<std::optional<store_position>> binding_in(const json::object& extra);
/// `found`: what the store has at that place. Errors: corrupt, or what kept the store from telling.
expected<void> check_binding(const store_position& bound, const expected<store_position>& found);
/// What the step of this checkpoint consumed is what the books have for it, if they have it already. Errors: corrupt: the books end
/// earlier than a crash can explain, or know another consumption.
expected<void> check_consumption(const ledger& book, const json::object& extra, std::uint64_t version);

// -- the audit ---------------------------------------------------------------------------------------------------------------------------

/// The books of a run, from what is durable and nothing else; also of a run in progress. Every row of the store and every file of every
/// checkpoint is verified.
///   {"balanced": true, "problems": [{"code", "text"}],
///    "rollouts": {"accepted", "trained", "pending", "parked", "retired": {reason: count}},
///    "steps": [{"step", "trained", "retired", "groups", "figures"}],
///    "consumptions": {"counted", "undone"}, "checkpoints": [{"step", "verified", "error"?}],
///    "store": {"records", "kinds": {kind: count}, "seq", "chain"}}
/// `balanced` is true if and only if there is no problem. Codes: not_balanced, admission_missing, trained_twice, retired_twice, trained_and_retired,
/// not_admitted, no_verdict (trained on without one), step_missing, step_without_figures, checkpoint_damaged, checkpoint_missing, checkpoint_foreign
/// (not made beside this store, or of another history).
/// Errors: not_found, corrupt (the store: which row), version, io.
expected<json::object> audit_run(const std::filesystem::path& folder, const run_config& config);

/// Whether a run can start or go on with what is in its folder; nothing is changed but that SQLite takes in its own log. Damaged
/// checkpoints are no hindrance as long as there is a good one. Errors: corrupt (one sentence for the user), version, io, in_use.
expected<void> check_resumable(const std::filesystem::path& folder, const run_config& config);

} // namespace troupe

#pragma once

#include "actors/ask_named.hpp"
#include <set>

namespace troupe {

/// The run's books, as the store has them: what was admitted, trained on and retired. Folded from the records, so that every actor
/// that starts again sees the same.
///   LED-1  A step's consumption is one record; a record of consumption that a later rollback undid does not count, nor does one that
///          was made before a rollback and came behind it.
struct ledger {
  std::uint64_t admitted = 0;             ///< groups
  std::uint64_t steps = 0;                ///< optimizer steps whose consumption counts
  std::set<std::uint64_t> retired_groups; ///< whole groups that no step consumed (stale): replaced by as many
  std::uint64_t lineage = 0;              ///< rollbacks so far
  std::uint64_t trained = 0;              ///< rollouts
  std::map<std::string, std::uint64_t> retired;          ///< rollouts by reason
  std::map<std::uint64_t, std::uint64_t> group_versions; ///< version at admission, of open groups
  std::set<std::uint64_t> open_groups;
  std::map<std::uint64_t, std::uint32_t> consumptions;   ///< CRC-32C of what counts, by step
  std::map<std::uint64_t, std::string> consumption_keys; ///< of the same
};

/// For REST and reports.
json::object to_json(const balance& sheet);

/// What one step consumed: goes into the checkpoint's manifest and, after it, into the store.
json::object consumption_of(const batch& what);

new_record admission_record(const run_context& ctx, std::uint64_t group, std::uint64_t version);
new_record consumption_record(std::uint64_t step, std::uint64_t lineage, const json::object& consumption);
new_record group_retired_record(std::uint64_t group, std::string_view reason, int rollouts);
/// All consumption of `steps` and later is undone: the weights went back to `steps` (a lost or damaged checkpoint).
new_record rollback_record(std::uint64_t steps, std::uint64_t lineage);

/// Errors: corrupt.
expected<ledger> fold_ledger(const std::vector<record>& admissions, const std::vector<record>& consumptions,
                             const std::vector<record>& retirements, const std::vector<record>& rollbacks);

/// A consumption that a dead life of the learner had on its way when its next life rolled back: it came behind the record of that.
bool came_too_late(const record& consumption, const std::vector<record>& rollbacks);

/// Reads it through the store actor.
void read_ledger(self_ptr self, const context_ptr& ctx, std::function<void(const ledger&)> ok,
                 std::function<void(const error&)> bad);

} // namespace troupe

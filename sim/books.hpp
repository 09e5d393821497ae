#pragma once

#include "sim/evidence.hpp"

namespace troupe::sim {

/// One optimizer step's consumption, as its record says.
struct consumption {
  std::uint64_t step = 0, seq = 0;
  std::vector<std::uint64_t> groups;
  std::vector<std::string> trained;
  std::vector<std::pair<std::string, std::string>> retired; ///< (rollout, reason)
};

/// The consumptions that no later rollback undid, in order of their steps. Read from the records here and not by actors/ledger.hpp,
/// which is under test.
std::vector<consumption> counted_consumptions(const evidence& of);

/// The trajectory that a rollout's durable records make. Errors: corrupt.
expected<trajectory> replayed(const evidence& of, const rollout_key& key);

} // namespace troupe::sim

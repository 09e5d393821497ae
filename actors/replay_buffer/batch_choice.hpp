#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace troupe {

/// An open group, as the choice of a batch sees it.
struct open_group {
  std::uint64_t id = 0;
  std::uint64_t version = 0; ///< of the weights at its admission: no token of it is older
  bool complete = false;     ///< every rollout of it has ended
};

/// The groups of the batch of step `step`, or nothing: wait for a group to complete. `open` is in admission order; `size` groups
/// make a batch (B below), and a group admitted at version v is due: it must be in the batch of step v + eta at the latest.
///
/// Rule: take complete groups in admission order, up to B. Then for every version u let
///   left(u) = open groups of version <= u that are not taken, room(u) = (u + eta - step) * B
/// where room(u) is how many groups the later steps up to u + eta can still take. The batch stands if left(u) <= room(u) for every
/// u with u + eta > step, or if all of it is of version <= u, and if every group that is due now (u + eta <= step) is complete.
///
///   CHOICE-1  No group is overdue. Let I(w) be: before the batch of step w, open(u) <= (u + eta - w + 1) * B for every u.
///             The rule keeps it: what is left after step w is at most (u + eta - w) * B, which is I(w + 1). Admission keeps it:
///             groups admitted at versions <= u number at most (u + eta + 1) * B (MAN-2), versions rise with the ids, so when
///             one of version u is still to come, all w * B that are gone were of versions <= u. I(w) for u = w - eta says that at
///             most B are due: one batch takes them.
///   CHOICE-2  It waits only if it must: of all choices of complete groups, the first ones in admission order leave the fewest
///             behind for every u at once (versions rise with the ids). If they leave too many, so does every other choice.
///   CHOICE-3  It never waits for ever: when all groups are complete, the first B leave max(0, open(u) - B) <= room(u), by I(w).
///             Where I(w) was broken from outside (eta made smaller between two lives of a run), a batch that is all of version
///             <= u does what can be done.
///   CHOICE-4  With eta = 0 the batch depends on which groups are open, not on which of them end first.
/// The bound is conservative: tokens sampled after a later publication are younger than their group's version.
std::optional<std::vector<std::uint64_t>>
choose_batch(const std::vector<open_group>& open, std::uint64_t step, std::uint64_t eta, std::size_t size);

} // namespace troupe

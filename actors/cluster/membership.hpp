#pragma once

#include "actors/cluster/cluster_messages.hpp"
#include <optional>

namespace troupe {

/// The nodes of a run, as the head sees them: a lease each, on the head's monotonic clock. Knows nothing of messages or records.
///   MEMB-1  A node has at most one epoch; epochs rise over the whole run.
///   MEMB-2  An epoch that is over never comes back: its heartbeats are refused.
class membership {
public:
  struct member {
    std::string node;
    std::uint64_t epoch = 0, attempt = 0;
    actor_ref agent; ///< null: known from the books, not heard of yet
    duration until{};
    std::uint64_t weights = 0; ///< the publication that its engine has; 0: none yet
    engine_status engine;
  };
  explicit membership(duration lease) : lease_(lease) {}

  /// From the books of an earlier life: it has its lease from now on.
  void adopt(std::string node, std::uint64_t epoch, duration now);
  void add(const join_cluster& who, std::uint64_t epoch, duration now);
  /// False: no such epoch, or it is over.
  bool heard(const heartbeat& from, duration now);
  /// What a join repeats: its answer was lost. Nothing: it is a new one. The node counts its lease from this question (LEASE-1), hence
  /// it is heard.
  const member* joined_again(const join_cluster& who, duration now);
  /// Whether a join came behind later ones of the same actor, or is of one that another has followed.
  bool overtaken(const join_cluster& who) const;
  std::vector<std::uint64_t> expired(duration now) const;
  /// The head itself did not run for so long: nobody could be heard meanwhile.
  void extend(duration by);
  void remove(std::uint64_t epoch);

  member* find(std::uint64_t epoch);
  /// The epochs of a node, of which all but one are to be ended.
  std::vector<std::uint64_t> epochs_of(const std::string& node) const;
  const std::map<std::uint64_t, member>& all() const { return members_; }

private:
  duration lease_;
  std::map<std::uint64_t, member> members_; ///< by epoch
  /// Actors that have joined, with their newest attempt; by node, the newest last.
  std::map<std::string, std::vector<std::pair<actor_ref, std::uint64_t>>> agents_;
};

} // namespace troupe

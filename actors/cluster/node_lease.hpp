#pragma once

#include "runtime/actor.hpp"
#include "runtime/base/planted.hpp"
#include <algorithm>
#include <atomic>

namespace troupe {

/// How nodes of a run keep in touch. Each number is far above what a healthy network needs, and far below what a person would notice.
struct cluster_timing {
  duration lease = std::chrono::milliseconds(1200); ///< a node that was not heard of for so long is lost
  duration heartbeat = std::chrono::milliseconds(300);
  duration answer = std::chrono::milliseconds(400); ///< a question to another node is repeated after so long,
  /// then after twice, four and eight times so long.
  duration patience(int tries) const { return answer * (1 << std::min(tries, 3)); }
};

/// A worker node's permission to sample, in its own monotonic time. Written by the node's actor, looked at by the engine before every
/// step. Thread-safe.
///   LEASE-1  Counted from before the question was sent, so that it ends here no later than at the head, which counts from when it
///            heard. No clock is compared with another node's.
///   LEASE-2  Monotonic time only: a clock that people or NTP set has no say.
class node_lease {
public:
  void grant(std::uint64_t epoch, duration until) {
    epoch_ = epoch;
    until_ = until.count();
  }
  void end() { until_ = 0; }
  bool holds(const clock& time) const { return now(time).count() < until_.load(); }
  std::uint64_t epoch() const { return epoch_; }
  duration until() const { return duration(until_.load()); }
  static duration now(const clock& time) { return planted("lease_by_wall_clock") ? time.wall() : time.now(); }

private:
  std::atomic<std::uint64_t> epoch_{0};
  std::atomic<duration::rep> until_{0};
};

/// What makes a process one node of several. The head has everything that is durable or trains; workers sample.
struct cluster_part {
  std::string node; ///< "w1"; the head's is empty
  cluster_timing timing;
  node_lease lease; ///< a worker's
  /// A worker's way to the head's cluster actor; null while it is not known.
  std::function<actor_ref()> find_head;

  bool is_worker() const { return !node.empty(); }
  bool may_sample(const clock& time) const { return !is_worker() || lease.holds(time); }
};
using cluster_ptr = std::shared_ptr<cluster_part>;

} // namespace troupe

#pragma once

#include "runtime/fault_rule.hpp"
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace troupe {

/// Thrown where a plan says so: ends the actor as any exception does.
struct injected_fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One fault that struck.
struct fault_strike {
  fault_rule rule;
  std::string who; ///< the actor's name
};

/// The rules of a run and their draws. Thread-safe: actors ask it at their points, the injector changes it.
///   FAULT-1  Without a rule for points, reaching one costs an atomic read.
///   FAULT-2  The n-th time that a rule's point is reached is decided by (seed, rule, n) alone.
class fault_plan {
public:
  explicit fault_plan(std::uint64_t seed) : seed_(seed) {}

  /// Returns the rule's number, by which it is removed.
  std::uint64_t add(fault_rule rule);
  bool remove(std::uint64_t number);
  std::vector<std::pair<std::uint64_t, fault_rule>> rules() const;

  /// Hears of every strike, in the thread of the actor that is struck. Set before the first actor.
  std::function<void(const fault_strike&)> on_strike;

  /// An actor is in this state: throws injected_fault where the plan says kill or throw; otherwise gives the rule that changes the
  /// answer here, or nothing. `slow` is given back too: the caller knows how to wait.
  std::optional<fault_rule> reach(std::string_view whom, std::string_view point, const std::string& who);

private:
  struct entry {
    std::uint64_t number = 0, reached = 0;
    fault_rule rule;
  };
  const std::uint64_t seed_;
  mutable std::mutex mutex_;
  std::vector<entry> entries_;
  std::uint64_t next_ = 0;
  std::atomic<int> at_points_{0};
};
using fault_plan_ptr = std::shared_ptr<fault_plan>;

} // namespace troupe

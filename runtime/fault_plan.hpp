#pragma once

#include "runtime/fault_rule.hpp"
#include "runtime/message_faults.hpp"
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
  std::string who;     ///< the actor's name
  std::uint64_t n = 0; ///< the how many-eth of its rule
};

/// The rules of a run and their draws. Thread-safe: actors ask it at their points and on the way of each message, the injector and
/// the REST actor change it.
///   FAULT-1  Without a rule for points, reaching one costs an atomic read; without a rule for messages, sending one does.
///   FAULT-2  The n-th time that a rule's point is reached, or a message is on its way, is decided by (seed, rule, n) alone.
///   FAULT-3  Rules for messages, and those with after= or until=, begin at start(), or when they are added after it.
class fault_plan final : public message_faults {
public:
  explicit fault_plan(std::uint64_t seed, fault_targets targets = {}, const clock* time = nullptr)
      : seed_(seed), targets_(std::move(targets)), time_(time) {}

  struct entry {
    std::uint64_t number = 0;
    fault_rule rule;
    std::uint64_t reached = 0, strikes = 0;
    std::optional<duration> begun; ///< by the clock that it was given
  };
  /// Returns the rule's number, by which it is removed.
  std::uint64_t add(fault_rule rule);
  bool remove(std::uint64_t number);
  std::vector<entry> rules() const;
  std::optional<entry> find(std::uint64_t number) const;
  /// From now on time counts.
  void start();
  /// A timed rule has struck: which strike of it is it?
  std::uint64_t count(std::uint64_t number);
  /// Whether a rule's after= and until= are around now, and `who` is one of those that its of= and attempts= mean.
  bool may_strike(const entry& rule, std::string_view who) const;

  /// Hears of every strike at a point, in the thread of the actor that is struck. Set before the first actor.
  std::function<void(const fault_strike&)> on_strike;

  /// An actor is in this state: throws injected_fault where the plan says kill or throw; otherwise gives the rule that changes the
  /// answer here, or nothing. `slow` is given back too: the caller knows how to wait.
  std::optional<fault_strike> reach(std::string_view whom, std::string_view point, const std::string& who);
  message_fate fate(std::string_view from, std::string_view to) override;
  /// A number from the seed for this strike: which bit, which byte.
  std::uint64_t draw(const fault_strike& strike) const;

private:
  bool strikes(entry& it);
  bool in_time(const entry& it) const;
  void count_sites(const fault_rule& rule, int by);
  const std::uint64_t seed_;
  const fault_targets targets_;
  const clock* const time_;
  mutable std::mutex mutex_;
  std::vector<entry> entries_;
  std::uint64_t next_ = 0;
  bool started_ = false;
  std::atomic<int> at_points_{0}, of_messages_{0};
};
using fault_plan_ptr = std::shared_ptr<fault_plan>;

} // namespace troupe

#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/credit_gate.hpp"
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace troupe {

/// Hands a bounded number of credits to holders who wait for them, in the order in which they asked. `Waiter`
/// has `deliver({})` and `fail(error)`, as reply<done> has.
///
/// In:  `request` (holder), `renew` and `give_back` (holder), `drop` (its supervisor saw it end), `expire` (a
/// timer), `close`. Out: `deliver` when the credit is the holder's; `fail` with exhausted (queue full) or
/// cancelled (closed, dropped, replaced). Backpressure: at most `max_waiting` wait; who comes after is
/// refused at once.
///   CRED-1  At most `capacity` holders have a credit at a time.
///   CRED-2  Credits are granted in the order of the requests that wait.
///   CRED-3  Each request is answered exactly once.
///   CRED-4  A credit that is not renewed within its lease comes back; a dead holder costs one lease at most.
///   CRED-5  A holder that asks again, as a new life does after a restart, has its credit at once, and never
///   two.
/// Not thread-safe: it lives inside one actor, which calls `expire` from a timer at `next_expiry`.
template <class Waiter>
class credit_queue {
public:
  struct limits {
    std::size_t capacity = 1;
    std::size_t max_waiting = 1000;
    duration lease = std::chrono::seconds(60);
  };
  explicit credit_queue(limits of) : limits_(of), gate_(of.capacity) {}

  // -- properties
  std::size_t held() const { return leases_.size(); }
  std::size_t waiting() const { return queue_.size(); }
  bool drained() const { return gate_.drained(); }
  bool holds(const std::string& holder) const { return leases_.contains(holder); }
  /// When the next lease runs out.
  std::optional<duration> next_expiry() const {
    std::optional<duration> first;
    for (auto& [holder, end] : leases_)
      if (!first || end < *first) first = end;
    return first;
  }

  // -- modifiers
  void request(const std::string& holder, duration now, Waiter waiter) {
    if (leases_.contains(holder)) { // CRED-5
      leases_[holder] = now + limits_.lease;
      return waiter.deliver({});
    }
    if (gate_.closed()) return waiter.fail({errc::cancelled, "no more credits: the queue is closed"});
    for (auto& [waits, answer] : queue_)
      if (waits == holder) {
        answer.fail({errc::cancelled, "\"" + holder + "\" asked again"});
        answer = std::move(waiter);
        return;
      }
    if (queue_.empty() && gate_.try_take()) return grant(holder, now, waiter);
    if (queue_.size() >= limits_.max_waiting)
      return waiter.fail({errc::exhausted,
                          std::to_string(queue_.size()) + " wait for a credit already, no more are allowed"});
    queue_.emplace_back(holder, std::move(waiter));
  }
  /// False if the holder has no credit (any more): its lease ran out.
  bool renew(const std::string& holder, duration now) {
    auto found = leases_.find(holder);
    if (found == leases_.end()) return false;
    found->second = now + limits_.lease;
    return true;
  }
  /// False if the holder had none (any more); then nothing happens.
  bool give_back(const std::string& holder, duration now) {
    if (leases_.erase(holder) == 0) return false;
    gate_.give_back();
    hand_out(now);
    return true;
  }
  /// The holder has ended: its credit comes back, its request is withdrawn.
  void drop(const std::string& holder, duration now) {
    for (auto it = queue_.begin(); it != queue_.end(); ++it)
      if (it->first == holder) {
        it->second.fail({errc::cancelled, "\"" + holder + "\" has ended"});
        queue_.erase(it);
        break;
      }
    give_back(holder, now);
  }
  /// Takes back the credits whose lease has run out; returns how many.
  std::size_t expire(duration now) {
    std::size_t taken = 0;
    for (auto it = leases_.begin(); it != leases_.end();) {
      if (it->second > now) {
        ++it;
        continue;
      }
      it = leases_.erase(it);
      gate_.give_back();
      ++taken;
    }
    hand_out(now);
    return taken;
  }
  /// Who waits is refused; who holds a credit may finish.
  void close() {
    gate_.close();
    for (auto& [holder, answer] : std::exchange(queue_, {}))
      answer.fail({errc::cancelled, "the queue was closed"});
  }

private:
  void grant(const std::string& holder, duration now, Waiter& waiter) {
    leases_[holder] = now + limits_.lease;
    waiter.deliver({});
  }
  void hand_out(duration now) {
    while (!queue_.empty() && gate_.try_take()) {
      auto [holder, waiter] = std::move(queue_.front());
      queue_.pop_front();
      grant(holder, now, waiter);
    }
  }

  limits limits_;
  credit_gate gate_;
  std::map<std::string, duration> leases_; ///< holder -> end of its lease
  std::deque<std::pair<std::string, Waiter>> queue_;
};

} // namespace troupe

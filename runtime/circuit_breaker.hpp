#pragma once

#include "runtime/base/clock.hpp"
#include <utility>

namespace troupe {

/// Keeps callers away from a service that fails, and lets one try now and then (Nygard, Release It!, 2007). Closed: every call may go.
/// After `trip_after` failures in a row it opens: none may go, but one probe (half open) every `probe_every`. A success closes it.
///   BREAK-1  Of a service that always fails, no more than trip_after calls, and one for every probe_every since.
/// Not thread-safe: one owner.
class circuit_breaker {
public:
  circuit_breaker(int trip_after, duration probe_every)
      : trip_after_(trip_after), probe_every_(probe_every) {}

  /// Whether a call may go now; one that goes must be followed by succeeded() or failed().
  bool may_try(duration now) {
    if (!open_) return true;
    if (probing_ || now < next_probe_) return false;
    return probing_ = true;
  }
  /// True: it was open until now.
  bool succeeded() {
    failures_ = 0;
    probing_ = false;
    return std::exchange(open_, false);
  }
  /// True: it opens now.
  bool failed(duration now) {
    ++failures_;
    next_probe_ = now + probe_every_;
    probing_ = false;
    return failures_ >= trip_after_ && !std::exchange(open_, true);
  }
  bool open() const { return open_; }
  duration next_probe() const { return next_probe_; }

private:
  int trip_after_, failures_ = 0;
  duration probe_every_, next_probe_{0};
  bool open_ = false, probing_ = false;
};

} // namespace troupe

#pragma once

#include <chrono>

namespace troupe {

using duration = std::chrono::nanoseconds;

/// Monotonic time as actors see it. The simulator owns another one; nothing else reads a clock.
class clock {
public:
  virtual ~clock() = default;
  /// Monotonic time since an arbitrary start.
  virtual duration now() const = 0;
  /// Wall time since the epoch, for people only: never compared, never used for a lease.
  virtual duration wall() const = 0;
};

/// The machine's own clocks.
clock& system_clock();

/// CPU time of the calling thread so far: for metrics, never for control.
duration thread_cpu();

inline double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

} // namespace troupe

#pragma once

#include "runtime/supervisor.hpp"
#include <deque>

namespace troupe {

/// Counts restarts within a sliding period, as OTP's supervisor does.
///   WINDOW-1  Of any `intensity + 1` restarts within `period` (both ends included) the last one is refused.
class restart_window {
public:
  restart_window(int intensity, duration period) : intensity_(intensity), period_(period) {}
  /// Notes one more restart at `now`; false if it is one too many.
  [[nodiscard]] bool admit(duration now);

private:
  int intensity_;
  duration period_;
  std::deque<duration> times_;
};

/// The lives of one child that ended without getting on, one after the other.
///   LOOP-1  `end` is true for the first life that makes `lives` in a row over at least the time `over`, and for those after it; a life that
///           got on begins the count anew.
class futile_lives {
public:
  void begin(duration now, std::optional<std::uint64_t> work) { began_ = now, work_ = work; }
  /// A life has ended: is it one too many?
  [[nodiscard]] bool end(duration now, std::optional<std::uint64_t> work, const crash_loop_options& options);

private:
  duration began_{0}, first_{0};
  std::optional<std::uint64_t> work_;
  int count_ = 0;
};

/// The wait before a child's nth restart within the period (n >= 1): `initial`, then factor_base * 2^(n-2) up
/// to `maximum`, each times 1 +- jitter.
duration backoff_delay(const backoff_options& options, int nth, random_stream& random);

} // namespace troupe

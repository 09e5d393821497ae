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

/// The wait before a child's nth restart within the period (n >= 1): `initial`, then factor_base * 2^(n-2) up
/// to `maximum`, each times 1 +- jitter.
duration backoff_delay(const backoff_options& options, int nth, random_stream& random);

} // namespace troupe

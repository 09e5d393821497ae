#include "runtime/restart_policy.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>

namespace troupe {

bool restart_window::admit(duration now) {
  while (!times_.empty() && now - times_.front() > period_) times_.pop_front();
  times_.push_back(now);
  if (planted("restart_window")) return times_.size() < static_cast<std::size_t>(std::max(intensity_, 0));
  return times_.size() <= static_cast<std::size_t>(std::max(intensity_, 0));
}

bool futile_lives::end(duration now, std::optional<std::uint64_t> work, const crash_loop_options& options) {
  const bool got_on = work ? work != work_ : now - began_ >= options.stable_after;
  if (got_on) count_ = 0;
  if (got_on || options.lives <= 0) return false;
  if (count_++ == 0) first_ = began_;
  return count_ >= options.lives && now - first_ >= options.over;
}

duration backoff_delay(const backoff_options& options, int nth, random_stream& random) {
  duration wait = options.initial;
  if (nth > 1) {
    wait = options.factor_base;
    for (int i = 2; i < nth && wait < options.maximum; ++i) wait *= 2;
    wait = std::min(wait, options.maximum);
  }
  const double factor = 1 + options.jitter * (2 * random.uniform() - 1);
  return duration(static_cast<duration::rep>(static_cast<double>(wait.count()) * factor));
}

} // namespace troupe

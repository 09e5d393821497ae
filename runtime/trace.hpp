#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>

/// What each rollout, engine and learner did when, as a file for chrome://tracing or ui.perfetto.dev. Off by
/// default.
///   TRACE-1  Off, a span costs one relaxed load.
///   TRACE-2  The file can be read even if the process was killed: the format allows its last bracket to be
///   missing.
namespace troupe {

/// Starts to write spans to `file` (truncated), with times from `time`. Errors: io, not_found.
expected<void> start_trace(const std::filesystem::path& file, const clock& time);
/// Writes what is left and closes the file.
void stop_trace();

namespace detail {
extern std::atomic<bool> tracing;
}
inline bool tracing() { return detail::tracing.load(std::memory_order_relaxed); }

/// One thing with a beginning and an end (of the trace's clock), on the line of `track` ("rollout 17",
/// "engine").
void trace_span(std::string_view track, std::string_view name, duration begin, duration end,
                json::object details = {}) noexcept;
/// A moment.
void trace_event(std::string_view track, std::string_view name, duration at,
                 json::object details = {}) noexcept;

/// A span over a scope, on the machine's clock or the one given.
class scoped_span {
public:
  scoped_span(std::string_view track, std::string_view name, const clock& time = system_clock())
      : time_(tracing() ? &time : nullptr) {
    if (time_) track_ = track, name_ = name, begin_ = time.now();
  }
  ~scoped_span() {
    if (time_) trace_span(track_, name_, begin_, time_->now(), std::move(details));
  }
  scoped_span(const scoped_span&) = delete;
  json::object details;

private:
  const clock* time_;
  std::string track_, name_;
  duration begin_{};
};

} // namespace troupe

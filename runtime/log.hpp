#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/error.hpp"
#include "runtime/base/json.hpp"
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <type_traits>
#include <utility>

namespace troupe {

enum class log_level : std::uint8_t { debug, info, warning, error };

struct log_options {
  std::filesystem::path file;        ///< JSON lines, appended; empty: none
  log_level level = log_level::info; ///< what is below is dropped
  const clock* time = nullptr;       ///< null: the machine's
  /// Takes warnings and errors as one plain line each; empty: they go to stderr. A live view takes them in
  /// here.
  std::function<void(std::string_view line)> on_warning{};
};

/// Sends the process's log to a file from now on. Before, and after `close_log`, warnings go to stderr and
/// the rest nowhere. Errors: io, not_found, disk_full.
expected<void> open_log(log_options options);
void close_log();

/// One thing a log line says besides its name: a number, a text, a boolean, nested JSON, a duration (in
/// seconds), a path.
struct log_detail {
  template <class T>
  log_detail(std::string_view name, T&& what) : key(name), value(to_json(std::forward<T>(what))) {}
  std::string_view key;
  json::value value;

private:
  template <class T>
  static json::value to_json(T&& what) {
    using plain = std::remove_cvref_t<T>;
    if constexpr (std::is_same_v<plain, std::filesystem::path>)
      return json::value(what.string());
    else if constexpr (std::is_convertible_v<T, duration> && !std::is_arithmetic_v<plain>)
      return json::value(seconds(what));
    else if constexpr (std::is_convertible_v<T, std::string_view>)
      return json::value(std::string_view(what));
    else
      return json::value(std::forward<T>(what));
  }
};
using log_details = std::initializer_list<log_detail>;

/// The one logging call. `name` says what happened in words_with_underscores and is the index for whoever
/// searches:
///   log_event("child_restarted", {{"child", id}, {"restarts", 3}}, log_level::warning);
/// In the file:
/// {"time":"2026-01-31T12:00:00.123Z","level":"warning","event":"child_restarted","child":"engine","restarts":3}
///   LOG-1  It never throws and never blocks on anything but the file; what cannot be written is counted.
///   LOG-2  A line is whole: concurrent calls do not mix, a value's line breaks are escaped.
///   LOG-3  What was logged before a kill of the process is in the file.
/// Thread-safe.
void log_event(std::string_view name, log_details details = {}, log_level level = log_level::info) noexcept;

/// Lines that could not be written since the start of the process.
std::uint64_t lost_log_lines();

std::string_view to_string(log_level level);

/// "2026-01-31T12:00:00.123Z" of a wall time.
std::string utc_text(duration wall);

} // namespace troupe

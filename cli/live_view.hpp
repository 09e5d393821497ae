#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/json.hpp"
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string_view>

namespace troupe {

/// How progress is shown: a block that is redrawn in place, a line per event, or a JSON object per line.
enum class progress_mode : std::uint8_t { terminal, lines, json };

struct live_view_options {
  progress_mode mode = progress_mode::lines;
  bool color = false;                             ///< terminal only; the caller looks at NO_COLOR
  std::function<int()> width = [] { return 80; }; ///< columns of the terminal now; asked at every redraw
  std::string run;                                ///< shown in the head of the block
};

/// What the terminal must get back if the process ends without the view's end: cursor and line wrap on,
/// colours off.
inline constexpr std::string_view restore_terminal = "\x1b[?25h\x1b[?7h\x1b[0m";

/// Shows the metric records of a run (docs: the vocabulary of metrics.jsonl) to a person or a program. Not
/// thread-safe.
///
///   LIVE-1  json: every record gives exactly one line that holds exactly that record.
///   LIVE-2  lines: every stage, step, evaluation and message gives a line; and while `tick` is called, there
///   is no silence
///           of more than about 5 s: warm-up steps are thinned to one line in 3 s, and waiting is said.
///   LIVE-3  terminal: a redraw is one write of the whole block, at most ten a second, never wider than the
///   terminal; finished
///           stages and messages stay above it. `finish` (or the end) leaves the last block and restores the
///           cursor.
///   LIVE-4  No control character of a record reaches a terminal.
class live_view {
public:
  live_view(std::ostream& out, const clock& time, live_view_options options = {});
  ~live_view();
  live_view(const live_view&) = delete;
  live_view& operator=(const live_view&) = delete;

  void feed(const json::object& record);
  /// To be called a few times a second: redraws, or says that it still waits.
  void tick();
  /// Writes what is left; later calls do nothing.
  void finish();

private:
  class renderer;
  class terminal_renderer;
  class line_renderer;
  class json_renderer;
  std::unique_ptr<renderer> renderer_;
};

} // namespace troupe

#pragma once

#include "actors/context.hpp"
#include "cli/live_view.hpp"
#include "cli/tensorboard.hpp"
#include "runtime/system.hpp"

#include <condition_variable>
#include <deque>

namespace troupe::cli {

/// A run while it lives in this process: its actor system, its progress display and its signals.
///   SES-1  The first SIGINT or SIGTERM stops the run cleanly within 5 s; the second ends the process at once (exit code 130).
class session {
public:
  session(live_view& view, std::optional<event_writer> events) : view_(view), events_(std::move(events)) {}

  /// Where prepare_run and the actors put their records; thread-safe.
  void push(const json::object& record);

  /// Runs the tree to its end. The error says why it did not finish: cancelled (a signal or REST), or the cause.
  /// `last_balance` is filled in before the tree stops.
  expected<void> run(const std::shared_ptr<run_context>& ctx);

  const std::optional<balance>& last_balance() const { return balance_; }

private:
  void drain();
  live_view& view_;
  std::optional<event_writer> events_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<json::object> records_;
  bool ended_ = false;
  std::optional<error> why_;
  std::optional<balance> balance_;
};

/// The display that fits --progress and the terminal.
live_view_options view_options(const std::string& progress, const std::string& run);

/// Counts SIGINT and SIGTERM; the second ends the process with these words.
void install_signals(
    const char* last_words =
        "\ntroupe: interrupted twice, ended at once; --resume goes on from the last commit\n");
int signals_seen();

} // namespace troupe::cli

#pragma once

#include "runtime/base/clock.hpp"
#include "runtime/base/json.hpp"
#include <string>
#include <vector>

namespace troupe {

/// What a run's records say about now: the model behind both views for people.
struct live_state {
  std::string stage;         ///< the running one; empty between stages
  duration stage_since{};    ///< when it started
  json::object warmup, step; ///< the last record of each kind; empty if there was none
  duration record_at{};      ///< when the last of them came
  std::vector<double> warmup_loss, rewards, held_out; ///< histories; held_out: pass@1 at temperature 1
  json::object evaluation;                            ///< the last at temperature 1
  double first_held_out = -1; ///< pass@1 of the first evaluation at temperature 1; negative before it

  void feed(const json::object& record, duration now);
  double progress() const;                ///< of the running stage, in [0, 1]; negative if unknown
  double eta_seconds(duration now) const; ///< of the running stage; negative if unknown
};

/// "data" -> "data", "eval_before" -> "evaluation before": a stage's name for people.
std::string stage_name(std::string_view stage);

/// A finished or started stage, a step, a warm-up step, an evaluation, or a message, as one short line
/// without its line break; control characters are made visible. Empty for other kinds.
std::string progress_line(const json::object& record);

/// Block characters of eight heights, for at most `columns` values: longer histories are averaged into
/// columns.
std::string sparkline(const std::vector<double>& values, std::size_t columns);

/// "━━━━╸─────": a bar of `columns` columns, filled up to `share` in [0, 1].
std::string progress_bar(double share, std::size_t columns);

} // namespace troupe

#include "cli/live_state.hpp"

#include "cli/report_values.hpp"
#include "cli/terminal_text.hpp"
#include <algorithm>
#include <array>
#include <cmath>

namespace troupe {

namespace {

using namespace values;

std::string of_steps(const json::object& record) {
  return grouped(number(record, "step")) + "/" + grouped(number(record, "steps"));
}

std::string with_eta(const json::object& record) {
  const double eta = number(record, "eta_seconds");
  return std::isfinite(eta) ? ", " + clock_time(eta) + " left" : "";
}

std::string step_line(const json::object& it) {
  return "step " + of_steps(it) + ": reward " + fixed(number(it, "reward_mean"), 3) + ", right " +
         percent(number(it, "correct_rate"), 0) + ", turns " + fixed(number(it, "turns_mean"), 2) +
         ", calls " + fixed(number(it, "tool_calls_mean"), 2) + ", format errors " +
         percent(number(it, "format_error_rate")) + ", staleness " + fixed(number(it, "staleness_mean"), 2) +
         ", engine " + grouped(number(it, "engine_tokens_per_second")) + " tok/s (idle " +
         percent(number(it, "engine_idle"), 0) + "), learner " +
         grouped(number(it, "learner_tokens_per_second")) + " tok/s (idle " +
         percent(number(it, "learner_idle"), 0) + "), restarts " + grouped(number(it, "restarts")) +
         with_eta(it);
}

std::string warmup_line(const json::object& it) {
  return "warm-up " + of_steps(it) + ": loss " + fixed(number(it, "loss"), 3) + ", " +
         grouped(number(it, "tokens_per_second")) + " tok/s" + with_eta(it);
}

std::string eval_line(const json::object& it) {
  std::string out = "held-out at step " + grouped(number(it, "step")) +
                    (text(it, "sampling") == "greedy" ? ", greedy" : "") + ": pass@1 " +
                    fixed(number(it, "pass_at_1"), 3);
  if (const auto between = interval(it, "pass_at_1_ci95"))
    out += " (" + fixed((*between)[0], 3) + " – " + fixed((*between)[1], 3) + ")";
  if (const double four = number(it, "pass_at_4"); std::isfinite(four)) out += ", pass@4 " + fixed(four, 3);
  return out + ", " + grouped(number(it, "questions")) + " questions";
}

} // namespace

std::string stage_name(std::string_view stage) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> names = {
      {{"data", "data"},
       {"tokenizer", "tokenizer"},
       {"warmup", "warm-up"},
       {"eval_before", "evaluation before RL"},
       {"rl", "RL"},
       {"eval_after", "evaluation after RL"},
       {"report", "report"}}};
  for (const auto& [key, name] : names)
    if (key == stage) return std::string(name);
  return printable(stage);
}

std::string progress_line(const json::object& record) {
  const auto kind = text(record, "kind");
  if (kind == "step") return step_line(record);
  if (kind == "warmup") return warmup_line(record);
  if (kind == "eval") return eval_line(record);
  if (kind == "message") {
    const auto level = text(record, "level");
    return (level == "info" || level.empty() ? "" : printable(level) + ": ") +
           printable(text(record, "text"));
  }
  if (kind != "stage") return {};
  if (text(record, "state") == "start") return stage_name(text(record, "stage")) + " ...";
  const double took = number(record, "seconds");
  return stage_name(text(record, "stage")) + " done" + (std::isfinite(took) ? " in " + clock_time(took) : "");
}

void live_state::feed(const json::object& record, duration now) {
  const auto kind = text(record, "kind");
  const auto remember = [](std::vector<double>& history, double value) {
    if (std::isfinite(value)) history.push_back(value);
  };
  if (kind == "stage") {
    stage = text(record, "state") == "start" ? text(record, "stage") : "";
    stage_since = now;
  } else if (kind == "warmup") {
    warmup = record;
    record_at = now;
    remember(warmup_loss, number(record, "loss"));
  } else if (kind == "step") {
    step = record;
    record_at = now;
    remember(rewards, number(record, "reward_mean"));
  } else if (kind == "eval" && text(record, "sampling") != "greedy") {
    evaluation = record;
    remember(held_out, number(record, "pass_at_1"));
    if (first_held_out < 0 && !held_out.empty()) first_held_out = held_out.front();
  }
}

double live_state::progress() const {
  const auto& now = stage == "warmup" ? warmup : step;
  if (stage != "warmup" && stage != "rl") return -1;
  const double share = number(now, "step") / number(now, "steps");
  return std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
}

double live_state::eta_seconds(duration now) const {
  if (stage != "warmup" && stage != "rl") return -1;
  const double then = number(stage == "warmup" ? warmup : step, "eta_seconds");
  return std::isfinite(then) ? std::max(0.0, then - seconds(now - record_at)) : -1;
}

std::string sparkline(const std::vector<double>& values, std::size_t columns) {
  constexpr std::array<const char*, 8> heights = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  if (values.empty() || columns == 0) return {};
  std::vector<double> shown;
  const std::size_t n = std::min(columns, values.size());
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t from = i * values.size() / n, to = (i + 1) * values.size() / n;
    double sum = 0;
    for (std::size_t k = from; k < to; ++k) sum += values[k];
    shown.push_back(sum / static_cast<double>(to - from));
  }
  const auto [low, high] = std::minmax_element(shown.begin(), shown.end());
  std::string out;
  for (const double value : shown) {
    const double share = *high > *low ? (value - *low) / (*high - *low) : 0.5;
    out += heights[static_cast<std::size_t>(std::clamp(std::lround(share * 7), 0l, 7l))];
  }
  return out;
}

std::string progress_bar(double share, std::size_t columns) {
  const auto halves =
      static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * 2 * static_cast<double>(columns)));
  std::string out;
  for (std::size_t i = 0; i < columns; ++i) out += 2 * i + 1 < halves ? "━" : 2 * i + 1 == halves ? "╸" : "─";
  return out;
}

} // namespace troupe

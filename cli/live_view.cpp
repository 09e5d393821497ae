#include "cli/live_view.hpp"

#include "cli/live_state.hpp"
#include "cli/report_values.hpp"
#include "cli/terminal_text.hpp"
#include <algorithm>
#include <cmath>

namespace troupe {

using namespace values;
using namespace std::chrono_literals;

class live_view::renderer {
public:
  renderer(std::ostream& out, const clock& time, live_view_options options)
      : out_(out), time_(time), options_(std::move(options)) {}
  virtual ~renderer() = default;
  virtual void feed(const json::object& record) = 0;
  virtual void tick() = 0;
  virtual void finish() = 0;

protected:
  std::ostream& out_;
  const clock& time_;
  live_view_options options_;
};

class live_view::json_renderer final : public renderer {
public:
  using renderer::renderer;
  void feed(const json::object& record) override { out_ << json::dump(record) + "\n" << std::flush; }
  void tick() override {}
  void finish() override {}
};

class live_view::line_renderer final : public renderer {
public:
  using renderer::renderer;

  void feed(const json::object& record) override {
    const auto now = time_.now();
    state_.feed(record, now);
    if (text(record, "kind") == "warmup") {
      const bool last = number(record, "step") >= number(record, "steps");
      if (warmup_said_ && !last && now - last_ < 3s) return;
      warmup_said_ = true;
    }
    say(progress_line(record), now);
  }

  void tick() override {
    const auto now = time_.now();
    if (state_.stage.empty() || now - last_ < 5s) return;
    std::string line = stage_name(state_.stage) + ", " + clock_time(seconds(now - state_.stage_since));
    if (const double eta = state_.eta_seconds(now); eta >= 0) line += ", " + clock_time(eta) + " left";
    say("  ... " + line, now);
  }

  void finish() override { out_ << std::flush; }

private:
  void say(const std::string& line, duration now) {
    if (line.empty()) return;
    out_ << line + "\n" << std::flush;
    last_ = now;
  }

  live_state state_;
  duration last_{};
  bool warmup_said_ = false;
};

class live_view::terminal_renderer final : public renderer {
public:
  terminal_renderer(std::ostream& out, const clock& time, live_view_options options)
      : renderer(out, time, std::move(options)), started_(time_.now()) {}

  void feed(const json::object& record) override {
    if (finished_) return;
    const auto now = time_.now();
    state_.feed(record, now);
    const auto kind = text(record, "kind");
    const auto when = text(record, "when");
    if (kind == "message")
      draw(now, message(record));
    else if (kind == "stage" && text(record, "state") == "done")
      draw(now, painted("32", "✓") + " " + progress_line(record));
    else if (kind == "eval" && (when == "before" || when == "after"))
      draw(now, "  " + progress_line(record));
    else if (kind == "stage" || !drawn_ || now - last_ >= 100ms)
      draw(now);
  }

  void tick() override {
    if (finished_) return;
    if (const auto now = time_.now(); !drawn_ || now - last_ >= 100ms) draw(now);
  }

  void finish() override {
    if (finished_) return;
    if (drawn_) {
      draw(time_.now());
      out_ << "\n";
    }
    finished_ = true;
    out_ << restore_terminal << std::flush;
  }

private:
  std::string painted(const char* code, const std::string& what) const {
    return options_.color ? std::string("\x1b[") + code + "m" + what + "\x1b[0m" : what;
  }

  std::string message(const json::object& record) const {
    const auto level = text(record, "level");
    return painted(level == "error" ? "31" : level == "warning" ? "33" : "0", progress_line(record));
  }

  /// One write: back to the block's first row, the line that stays (if any), the block, and away with what is
  /// below.
  void draw(duration now, const std::string& stays = {}) {
    // The last column stays free: a terminal erases it when the rest of a full line is cleared. And no line
    // is longer than needed, so that most resizes wrap nothing (tmux tells the new width a quarter of a
    // second late).
    const auto columns = static_cast<std::size_t>(std::clamp(options_.width(), 20, 400));
    std::string frame = "\x1b[?25l";
    // After a resize the terminal has wrapped the old lines anew: count the rows that they take now.
    std::size_t rows = 0;
    for (const auto width : widths_) rows += std::max<std::size_t>(1, (width + columns - 1) / columns);
    if (rows > 1) frame += "\x1b[" + std::to_string(rows - 1) + "A";
    frame += "\r";
    if (!stays.empty()) frame += stays + "\x1b[K\n";
    frame += "\x1b[?7l";
    widths_.clear();
    for (const auto& line : block(std::min<std::size_t>(columns - 1, 88), now)) {
      if (!widths_.empty()) frame += "\n";
      frame += line.shown + "\x1b[K";
      widths_.push_back(line.width);
    }
    out_ << frame + "\x1b[J\x1b[?7h" << std::flush;
    last_ = now;
    drawn_ = true;
  }

  struct line {
    std::string shown;
    std::size_t width;
  };

  std::vector<line> block(std::size_t columns, duration now) const {
    std::vector<line> out;
    const auto add = [&](const char* label, const std::string& what) {
      const auto cut = clipped(what, columns > 12 ? columns - 12 : 1);
      out.push_back({" " + painted("2", pad_right(label, 10)) + " " + cut, 12 + display_width(cut)});
    };
    out.push_back(head(columns, now));
    if (!state_.stage.empty()) out.push_back(bar(columns, now));
    const auto spark = columns > 60 ? std::min<std::size_t>(32, columns - 48) : 8;
    if (state_.stage == "warmup" && !state_.warmup.empty()) {
      add("loss",
          pad_right(fixed(number(state_.warmup, "loss"), 3), 8) + sparkline(state_.warmup_loss, spark));
      add("learner", grouped(number(state_.warmup, "tokens_per_second")) + " tok/s, learning rate " +
                         scientific(number(state_.warmup, "learning_rate")));
    }
    if (!state_.step.empty()) add_rl(add, spark);
    if (!state_.evaluation.empty()) add("held-out", held_out(spark));
    return out;
  }

  template <class Add>
  void add_rl(Add add, std::size_t spark) const {
    const auto& it = state_.step;
    const auto n = [&](const char* key) { return number(it, key); };
    add("reward", pad_right(fixed(n("reward_mean"), 3), 8) +
                      pad_right(sparkline(state_.rewards, spark), spark) + "  right " +
                      percent(n("correct_rate"), 0));
    add("rollouts", fixed(n("turns_mean"), 2) + " turns, " + fixed(n("tool_calls_mean"), 2) +
                        " tool calls, format errors " + percent(n("format_error_rate")));
    add("staleness", fixed(n("staleness_mean"), 2) + " mean, " + grouped(n("staleness_max")) +
                         " at most, policy version " + grouped(n("version")));
    add("engine",
        pad_left(grouped(n("engine_tokens_per_second")), 7) + " tok/s, idle " + percent(n("engine_idle"), 0));
    add("learner", pad_left(grouped(n("learner_tokens_per_second")), 7) + " tok/s, idle " +
                       percent(n("learner_idle"), 0));
    add("loss", fixed(n("loss"), 4) + ", gradient " + fixed(n("grad_norm"), 2) + ", entropy " +
                    fixed(n("entropy"), 3) + ", KL " + fixed(n("kl"), 4) + ", logprob gap " +
                    scientific(n("max_logprob_gap")));
    add("health", "restarts " + grouped(n("restarts")) + ", trained " + grouped(n("trained")) +
                      ", groups skipped " + grouped(n("groups_skipped")) + ", negatives dropped " +
                      grouped(n("negatives_dropped")));
  }

  std::string held_out(std::size_t spark) const {
    const auto& it = state_.evaluation;
    std::string out = pad_right(fixed(number(it, "pass_at_1"), 3), 8) +
                      pad_right(sparkline(state_.held_out, spark), spark) + "  pass@1";
    if (const auto between = interval(it, "pass_at_1_ci95"))
      out += " (" + fixed((*between)[0], 2) + " – " + fixed((*between)[1], 2) + ")";
    out += " at step " + grouped(number(it, "step"));
    if (state_.held_out.size() > 1) out += ", was " + fixed(state_.first_held_out, 3);
    return out;
  }

  line head(std::size_t columns, duration now) const {
    std::string left = "troupe" + (options_.run.empty() ? "" : " · " + printable(options_.run));
    std::string right = state_.stage.empty() ? "" : stage_name(state_.stage);
    const auto& record = state_.stage == "warmup" ? state_.warmup : state_.step;
    if ((state_.stage == "warmup" || state_.stage == "rl") && !record.empty())
      right += ", step " + grouped(number(record, "step")) + " of " + grouped(number(record, "steps"));
    if (right.empty()) right = clock_time(seconds(now - started_)) + " in all";
    const auto all =
        clipped(pad_right(left, columns > display_width(right) + 2 ? columns - display_width(right) - 2 : 0) +
                    " " + right,
                columns - 1);
    return {" " + painted("1", all), 1 + display_width(all)};
  }

  line bar(std::size_t columns, duration now) const {
    const double share = state_.progress(), eta = state_.eta_seconds(now);
    const double gone = seconds(now - state_.stage_since);
    std::string times = clock_time(gone) + " gone";
    if (eta >= 0) times += ", " + clock_time(eta) + " left";
    if (share >= 0) times = percent(share, 0) + ", " + times;
    const std::size_t room = columns > display_width(times) + 8 ? columns - display_width(times) - 5 : 3;
    std::string drawn;
    if (share >= 0) {
      drawn = progress_bar(share, room);
    } else { // nobody knows how much is left: a mark that moves once a second
      const auto at = static_cast<std::size_t>(std::max(0.0, gone)) % room;
      for (std::size_t i = 0; i < room; ++i) drawn += i == at ? "━" : "─";
    }
    const auto tail = clipped(times, columns > room + 3 ? columns - room - 3 : 0);
    return {" " + painted("36", drawn) + "  " + tail, 3 + room + display_width(tail)};
  }

  live_state state_;
  duration started_, last_{};
  bool drawn_ = false, finished_ = false;
  std::vector<std::size_t> widths_; ///< of the lines of the block on the screen
};

live_view::live_view(std::ostream& out, const clock& time, live_view_options options) {
  switch (options.mode) {
  case progress_mode::terminal:
    renderer_ = std::make_unique<terminal_renderer>(out, time, std::move(options));
    break;
  case progress_mode::lines:
    renderer_ = std::make_unique<line_renderer>(out, time, std::move(options));
    break;
  case progress_mode::json: renderer_ = std::make_unique<json_renderer>(out, time, std::move(options)); break;
  }
}

live_view::~live_view() { finish(); }
void live_view::feed(const json::object& record) { renderer_->feed(record); }
void live_view::tick() { renderer_->tick(); }
void live_view::finish() { renderer_->finish(); }

} // namespace troupe

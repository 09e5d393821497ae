#include "actors/experiment/experiment_actor.hpp"

#include "actors/recorder/recorder_actor.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>

namespace troupe {

namespace {
constexpr auto long_patience =
    std::chrono::minutes(60); // for what computes: its own pieces have their own deadlines
constexpr auto drain_time =
    std::chrono::milliseconds(1500); ///< for turns in progress when the run is stopped
constexpr std::uint64_t before_round = 1, after_round = 3, curve_round = 16;
} // namespace

behavior experiment_actor::make_behavior() {
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), read_kind{"metric", 0},
      [this](const std::vector<record>& records) {
        for (const auto& r : records) {
          recorded_.insert(r.key);
          if (!r.key.starts_with("metric/step/")) continue;
          if (auto body = json::parse(r.body); body && body->is_object())
            if (auto t = json::number_at(body->get_object(), "seconds"))
              rl_seconds_before_ = std::max(rl_seconds_before_, *t);
        }
        warm_up_stage();
      },
      [](const error& why) { give_up("reading the metrics", why); });
  return {
      [this](const pause_run&) -> result<done> {
        paused_ = true;
        admission(false, true);
        return done{};
      },
      [this](const resume_run&) -> result<done> {
        paused_ = false;
        admission(state_ == "training" || state_ == "paused");
        if (std::exchange(waiting_while_paused_, false)) next_step();
        return done{};
      },
      [this](const stop_run& wish) -> result<done> {
        admission(false, true);
        // The answer first: the end of the run takes the control actor with it before it could pass the answer on.
        const auto end = ctx_->time->now() + drain_time;
        send_later(self_, std::chrono::milliseconds(200),
                   resume_later{[this, why = wish.why, end] { drain(why, end); }});
        return done{};
      },
      [this](const experiment_status_request&) { return metric_record{status()}; },
      resume_handler(),
  };
}

// -- the run, stage by stage -----------------------------------------------------------------------------------------------------

void experiment_actor::warm_up_stage() {
  state_ = "warming_up";
  stage("warmup", true, [this] {
    ctx_->learning->asked = true;
    ask_named(
        self_, ctx_, names::learner, long_patience, warm_up{},
        [this](const done&) {
          ctx_->learning->asked = false;
          stage("warmup", false, [this] { before_stage(); });
        },
        [this](error why) { finish(std::move(why)); });
  });
}

void experiment_actor::before_stage() {
  const auto& e = ctx_->config.eval;
  if (!e.before || e.questions == 0 || ctx_->heldout.empty()) return next_step();
  state_ = "evaluating";
  const int n = static_cast<int>(e.questions);
  stage("eval_before", true, [this, n, &e] {
    run_evaluation({"before", before_round, 0, "t1", n, static_cast<int>(e.samples)}, [this, n] {
      run_evaluation({"before", before_round + 1, 0, "greedy", n, 1},
                     [this] { stage("eval_before", false, [this] { next_step(); }); });
    });
  });
}

void experiment_actor::next_step() {
  if (ended_) return;
  const auto version = ctx_->board->current().version;
  // A step that is durable but whose figures are not (somebody died between the two): the learner still has its report.
  const bool unreported = version > 0 && !recorded_.contains("metric/step/" + std::to_string(version)) &&
                          !planted("step_without_figures");
  if (unreported) probe<"experiment: a durable step without its figures">();
  if (!unreported && (version >= static_cast<std::uint64_t>(ctx_->config.rl.steps) || out_of_time()))
    return after_stage();
  const auto step = unreported ? version - 1 : version;
  if (paused_) {
    state_ = "paused";
    waiting_while_paused_ = true;
    return;
  }
  if (state_ != "training") {
    state_ = "training";
    rl_started_ = stage_started_ = last_status_at_ = ctx_->time->now();
    note({{"kind", "stage"}, {"stage", "rl"}, {"state", "start"}}, [] {});
    ask_named( // the engine's figures count from here
        self_, ctx_, names::engine, std::chrono::seconds(10), engine_status_request{},
        [this](const engine_status& engine) { last_engine_ = engine; }, [](const error&) {});
    admission(true);
  }
  ctx_->learning->asked = true;
  ask_named(
      self_, ctx_, names::learner, long_patience, train_step{step},
      [this](const step_report& report) {
        ctx_->learning->asked = false;
        disagreements_ = 0;
        take_report(report);
      },
      [this](error why) {
        // A learner that went back to an older checkpoint has not published it yet: look at the board again.
        probe<"experiment: it disagrees with the learner about the step">();
        if (why.code != errc::conflict || ++disagreements_ > 100) return finish(std::move(why));
        send_later(self_, std::chrono::milliseconds(50), resume_later{[this] { next_step(); }});
      });
}

bool experiment_actor::out_of_time() const {
  const double limit = ctx_->config.rl.time_limit;
  const double now = state_ == "training" ? seconds(ctx_->time->now() - rl_started_) : 0;
  return limit > 0 && rl_seconds_before_ + now >= limit;
}

void experiment_actor::take_report(const step_report& report) {
  // The engine's part of the figures; without it the step counts all the same.
  auto complete = [this, report](const std::optional<engine_status>& engine) {
    auto body = report.record;
    const auto now = ctx_->time->now();
    const double span = std::max(1e-9, seconds(now - last_status_at_));
    last_status_at_ = now;
    if (engine) {
      const auto tokens = [](const engine_status& s) { return static_cast<double>(s.core.decoded_tokens); };
      body["engine_tokens_per_second"] = std::max(0.0, tokens(*engine) - tokens(last_engine_)) / span;
      body["engine_idle"] =
          std::clamp(1.0 - (engine->busy_seconds - last_engine_.busy_seconds) / span, 0.0, 1.0);
      last_engine_ = *engine;
    }
    if (auto busy = json::number_at(body, "learner_busy_seconds")) {
      body["learner_idle"] = std::clamp(1.0 - (*busy - last_learner_busy_) / span, 0.0, 1.0);
      last_learner_busy_ = *busy;
    }
    const double spent = rl_seconds_before_ + seconds(now - rl_started_);
    body["seconds"] = spent;
    const double left = static_cast<double>(ctx_->config.rl.steps) - static_cast<double>(report.version);
    body["eta_seconds"] = left * spent / static_cast<double>(std::max<std::uint64_t>(1, report.version));
    body["restarts"] = ctx_->restarts->load();
    last_step_ = body;
    note(std::move(body), [this, report] {
      const auto& e = ctx_->config.eval;
      const bool due = e.every > 0 && report.version % static_cast<std::uint64_t>(e.every) == 0 &&
                       report.version < static_cast<std::uint64_t>(ctx_->config.rl.steps) &&
                       !ctx_->heldout.empty();
      if (!due) return next_step();
      run_evaluation({"curve", curve_round + report.version, report.version, "t1",
                      static_cast<int>(e.curve_questions), 1},
                     [this] { next_step(); });
    });
  };
  ask_named(
      self_, ctx_, names::engine, std::chrono::seconds(10), engine_status_request{},
      [complete](const engine_status& engine) { complete(engine); },
      [complete](const error&) { complete(std::nullopt); });
}

void experiment_actor::after_stage() {
  if (state_ == "training" || state_ == "paused") {
    admission(false);
    note({{"kind", "stage"},
          {"stage", "rl"},
          {"state", "done"},
          {"seconds", rl_seconds_before_ + seconds(ctx_->time->now() - rl_started_)}},
         [] {});
  }
  if (ctx_->config.eval.questions == 0 || ctx_->heldout.empty()) return finish(std::nullopt);
  state_ = "evaluating";
  const auto step = ctx_->board->current().version;
  const auto& e = ctx_->config.eval;
  const int n = static_cast<int>(e.questions);
  stage("eval_after", true, [this, step, n, &e] {
    run_evaluation({"after", after_round, step, "t1", n, static_cast<int>(e.samples)}, [this, step, n] {
      run_evaluation({"after", after_round + 1, step, "greedy", n, 1},
                     [this] { stage("eval_after", false, [this] { finish(std::nullopt); }); });
    });
  });
}

void experiment_actor::drain(const std::string& why, duration end) {
  auto again = [this, why, end](const manager_status& status) {
    if (status.running == 0 || ctx_->time->now() >= end) return finish(error{errc::cancelled, why});
    send_later(self_, std::chrono::milliseconds(50), resume_later{[this, why, end] { drain(why, end); }});
  };
  ask_named(self_, ctx_, names::manager, std::chrono::seconds(1), manager_status_request{}, again,
            [this, why](const error&) {
              finish(error{errc::cancelled, why});
            });
}

void experiment_actor::finish(std::optional<error> why) {
  if (std::exchange(ended_, true)) return;
  state_ = !why ? "done" : why->code == errc::cancelled ? "stopped" : "failed";
  if (ctx_->on_end) ctx_->on_end(std::move(why));
}

// -- pieces ----------------------------------------------------------------------------------------------------------------------

void experiment_actor::run_evaluation(evaluation what, std::function<void()> then) {
  if (ended_) return;
  json::object key{{"kind", "eval"}, {"when", what.when}, {"step", what.step}, {"sampling", what.sampling}};
  if (recorded_.contains(metric_key(key))) return then(); // EXP-1
  ask_named(
      self_, ctx_, names::evaluator, long_patience,
      evaluate{what.when, what.round, what.step, what.sampling, what.questions, what.samples},
      [this, then](const metric_record& got) { note(got.body, then); },
      [this](error why) { finish(std::move(why)); });
}

void experiment_actor::note(json::object body, std::function<void()> then) {
  if (auto key = metric_key(body); !key.empty()) recorded_.insert(std::move(key));
  ask_named(
      self_, ctx_, names::recorder, std::chrono::minutes(10), metric_record{std::move(body)},
      [then = std::move(then)](const done&) { then(); }, [this](error why) { finish(std::move(why)); });
}

void experiment_actor::stage(std::string_view name, bool start, std::function<void()> then) {
  json::object body{{"kind", "stage"}, {"stage", name}, {"state", start ? "start" : "done"}};
  if (start)
    stage_started_ = ctx_->time->now();
  else
    body["seconds"] = seconds(ctx_->time->now() - stage_started_);
  note(std::move(body), std::move(then));
}

void experiment_actor::admission(bool open, bool park) {
  *ctx_->admission = open;
  ask_named(
      self_, ctx_, names::manager, std::chrono::seconds(60), admission_changed{park}, [](const done&) {},
      [](const error& why) { give_up("opening or closing admission", why); });
}

json::object experiment_actor::status() const {
  return {{"name", ctx_->config.run.name},          {"state", state_},
          {"step", ctx_->board->current().version}, {"steps", ctx_->config.rl.steps},
          {"restarts", ctx_->restarts->load()},     {"last_step", last_step_}};
}

} // namespace troupe

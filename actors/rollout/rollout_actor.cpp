#include "actors/rollout/rollout_actor.hpp"

#include "actors/cluster/cluster_messages.hpp"
#include "actors/fault_injector/fault_points.hpp"
#include "actors/tool_call/tool_call_actor.hpp"
#include "actors/tool_call/tool_outcomes.hpp"
#include "runtime/trace.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {
constexpr auto store_patience = std::chrono::seconds(60);
constexpr auto report_patience = std::chrono::hours(1); ///< its node's lease ends sooner
constexpr duration tool_check_every = std::chrono::seconds(1), longest_check = std::chrono::seconds(8);

} // namespace

rollout_actor::rollout_actor(self_ptr self, context_ptr ctx, std::shared_ptr<const rollout_job> job)
    : self_(self), ctx_(std::move(ctx)), kept_(std::move(job)), job_(*kept_) {
  started_ = ctx_->time->now();
  // The rules live in the context, which outlives every trajectory that is shared from here.
  trajectory_ =
      std::shared_ptr<trajectory>(new trajectory(job_.key, job_.what, ctx_->rules, job_.sampling.temperature),
                                  [keep = ctx_](trajectory* t) { delete t; });
}

behavior rollout_actor::make_behavior() {
  ask_named(
      self_, ctx_, names::store, store_patience, read_stream{stream_of(job_.key)},
      [this](const std::vector<record>& records) { restore(records); },
      [](const error& why) { give_up("reading the rollout's records", why); });
  return {
      [this](const tool_finished& got) -> result<done> {
        take_result(got);
        return noted(self_);
      },
      [this](const tool_check& due) {
        if (due.number == checks_) check_tools();
      },
      [this](const park_rollout& wish) -> result<done> {
        park_wanted_ = true;
        park_soon_ = park_soon_ || wish.soon;
        if (checking_ && may_park() && trajectory_->next() == trajectory::need::tools) park();
        return noted(self_);
      },
      [this](const yield_slot&) -> result<done> {
        yield_wanted_ = job_.key.why == purpose::train;
        if (checking_ && yield_wanted_ && trajectory_->next() == trajectory::need::tools) yield();
        return noted(self_);
      },
      [this](const unpark_rollout& by) -> result<done> {
        if (by.placed.placement < job_.placed.placement) return done{}; // late: a newer one runs
        const bool over = by.placed != job_.placed;
        if (over) self_->quit(); // the newer one goes on; this life is no failure of its task
        if (ending_ || over) return to_caf({errc::unavailable, "it is about to end"});
        if (slot_ == slot::parking) slot_again_ = true;
        if (slot_ == slot::free) {
          take_slot();
          if (trajectory_->next() == trajectory::need::turn) generate_turn(); // it only waited to be heard
        }
        return done{};
      },
      resume_handler(),
  };
}

void rollout_actor::restore(const std::vector<record>& records) {
  const auto failure = failure_in(records);
  retries_ = failure.retries;
  if (failure.failed) return report_failure(*failure.failed); // again: who waits for it may be new
  if (auto ok = replay_records(*trajectory_, records, observed_); !ok) return fail_rollout(ok.error());
  if (trajectory_->judged()) progressed(); // it only has to say so: that it is killed is not its task's fault
  advance();
}

void rollout_actor::progressed() {
  if (!std::exchange(progressed_, true))
    tell(self_, ctx_->names->find(names::rollouts), child_progressed{stream_of(job_.key)});
}

void rollout_actor::fault(std::string_view point) const {
  fault_point(*ctx_, "rollout", point, stream_of(job_.key));
}

duration rollout_actor::turn_patience() const { return from_seconds(ctx_->config.rollout.turn_timeout); }

bool rollout_actor::over_budget() const {
  return ctx_->time->now() - started_ >= from_seconds(ctx_->config.rollout.time_budget);
}

bool rollout_actor::may_park() const {
  return job_.key.why == purpose::train && ctx_->config.rollout.over_budget == "park";
}

void rollout_actor::advance() {
  const auto next = trajectory_->next();
  if (next == trajectory::need::verdict) return trajectory_->judged() ? finish() : judge();
  if (over_budget()) {
    if (!may_park()) return fail_rollout({errc::timeout, "over its time budget (rollout.time_budget)"});
    park_wanted_ = true;
  }
  if (next == trajectory::need::tools) call_tools();
  if (park_wanted_ && may_park() && (finished_turn_ || park_soon_)) return park(); // ROLL-4
  if (yield_wanted_ && finished_turn_) return yield();                             // MAN-6
  if (next == trajectory::need::turn) generate_turn();
}

// -- a turn ----------------------------------------------------------------------------------------------------------------------

void rollout_actor::generate_turn() {
  if (job_.version > ctx_->board->confirmed()) // ROLL-5: the weights went back; they will be there again
    return send_later(self_, std::chrono::milliseconds(20), resume_later{[this] { advance(); }});
  generate_request request;
  request.sequence = job_.key.number();
  request.group = job_.key.group_number();
  request.context = trajectory_->tokens();
  request.max_new_tokens = trajectory_->room();
  request.stop = ctx_->rules.turn_ends();
  request.sampling = job_.sampling;
  request.seed = ctx_->seed_for("sampling");
  // Whoever the learner waits for first: evaluations, then the oldest groups.
  request.priority = job_.key.why == purpose::evaluation
                         ? 0
                         : 1 + static_cast<int>(std::min<std::uint64_t>(job_.key.group, 1u << 30));
  request.stream = ctx_->config.rollout.journal_interval > 0;
  const auto asked = ctx_->time->now();
  ask_named(
      self_, ctx_, names::engine, turn_patience(), generate{std::move(request), job_.version},
      [this, asked](const generated& turn) {
        if (tracing())
          trace_span(stream_of(job_.key), "generate", asked, ctx_->time->now(),
                     {{"tokens", turn.tokens.size()}});
        fault("turn_sampled");
        auto record = turn_record_of(job_.key, trajectory_->next_turn(), turn);
        ask_named(
            self_, ctx_, names::store, store_patience,
            append_records{{placed(std::move(record))}, job_.placed},
            [this, turn](const std::vector<append_outcome>&) { // ROLL-1
              fault("turn_committed");
              trajectory_->add_turn(turn);
              observed_.clear();
              finished_turn_ = true;
              progressed(); // ROLL-6
              advance();
            },
            [this](const error& why) { lost("committing a turn", why); });
      },
      [this](const error& why) {
        if (why.code == errc::timeout && *ctx_->engine_away)
          return advance(); // it waits for the server, as ROLL-4 allows
        give_up("generating a turn", why);
      });
}

void rollout_actor::call_tools() {
  observed_.resize(trajectory_->calls().size());
  committing_.assign(observed_.size(), false);
  tools_asked_ = ctx_->time->now();
  tools_due_ = tools_asked_ + from_seconds(ctx_->config.tools.timeout);
  start_missing_tools();
  if (!checking_ || check_at_ > tools_asked_ + next_check()) check_later();
}

duration rollout_actor::next_check() const {
  // Calls that died with their supervisor have to be noticed while there is time to make them again; those that may take an hour
  // seldomer, so that 100,000 that wait are no load.
  const duration usual = std::clamp((tools_due_ - ctx_->time->now()) / 8, tool_check_every, longest_check);
  if (slot_ != slot::held || !may_park()) return usual;
  const auto left = started_ + from_seconds(ctx_->config.rollout.time_budget) - ctx_->time->now();
  return left > duration(0) ? std::min(left, usual) : usual;
}

void rollout_actor::check_later() {
  const auto wait = next_check();
  check_at_ = ctx_->time->now() + wait;
  checking_ = true;
  const tool_check due{++checks_};
  if (wait < tool_check_every) return send_later(self_, wait, due); // its time budget ends
  send_about(self_, wait, due);
}

void rollout_actor::start_missing_tools() {
  const auto turn = trajectory_->next_turn() - 1;
  const auto& calls = trajectory_->calls();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (observed_[i] || committing_[i]) continue; // ROLL-2
    tool_job job{job_.key, turn, i, calls[i], self_, job_.placed};
    const bool effect = has_effects(*ctx_, calls[i].tool);
    child_spec spec;
    spec.id = "tool/" + idempotency_key(job);
    // The asker's id makes the name unique: an earlier life's call may still run. One with an effect answers this life too: TOOL-3.
    if (!effect) spec.id += "@" + std::to_string(self_->id());
    if (ctx_->names->find(spec.id)) continue; // it lives: 100,000 that wait do not ask for it every second
    // Copied with every message that starts it: by pointer.
    spec.start = [ctx = ctx_, job = std::make_shared<const tool_job>(std::move(job))](self_ptr supervisor) {
      return spawn_state<tool_call_actor>(*supervisor, ctx, job);
    };
    spec.restart = restart_kind::transient;
    spec.quarantine_after = 3;
    spec.stop_deadline = std::chrono::seconds(1);
    ask_named(
        self_, ctx_, names::tools, turn_patience(), start_child{std::move(spec)}, [](const actor_ref&) {},
        [this, turn, i, effect](const error& why) {
          if (why.code == errc::conflict) return; // it runs already
          if (effect) return take_result({turn, i, {}, false, effect_unknown(why.message)});
          const auto text =
              why.code == errc::exhausted ? tool_outcomes::failed_always : tool_outcomes::not_started;
          take_result({turn, i, {std::string(text), true}});
        });
  }
}

void rollout_actor::check_tools() {
  checking_ = false;
  if (trajectory_->next() != trajectory::need::tools) return; // the next turn's calls begin anew
  const auto now = ctx_->time->now();
  if (now >= tools_due_) {
    const auto turn = trajectory_->next_turn() - 1;
    for (std::size_t call = 0; call < observed_.size(); ++call)
      if (!observed_[call]) take_result({turn, call, {std::string(tool_outcomes::no_answer), true}});
    return;
  }
  // The tools' supervisor may have died and taken the calls with it: then they start again.
  if (now - tools_asked_ >= tool_check_every) start_missing_tools();
  if (over_budget() && may_park()) park(); // it waits for tools: that is a boundary
  check_later();
}

void rollout_actor::take_result(const tool_finished& got) {
  if (trajectory_->next() != trajectory::need::tools || got.turn + 1 != trajectory_->next_turn()) return;
  if (got.call >= observed_.size() || observed_[got.call] || committing_[got.call]) return;
  if (got.lost) return fail_rollout(*got.lost);
  fault("tool_result");
  committing_[got.call] = true;
  if (tracing())
    trace_span(stream_of(job_.key), "tool", tools_asked_, ctx_->time->now(), {{"call", got.call}});
  if (got.committed) {
    observed_[got.call] = got.result;
    return take_observations();
  }
  ask_named(
      self_, ctx_, names::store, store_patience,
      append_records{{placed(tool_record_of(job_.key, got.turn, got.call, got.result))}, job_.placed},
      [this, got](const std::vector<append_outcome>&) {
        observed_[got.call] = got.result;
        take_observations();
      },
      [this](const error& why) { lost("committing a tool result", why); });
}

void rollout_actor::take_observations() {
  std::vector<observation> all;
  for (const auto& one : observed_) {
    if (!one) return;
    all.push_back(*one);
  }
  trajectory_->add_observations(all);
  observed_.clear();
  if (slot_ == slot::held || trajectory_->next() == trajectory::need::verdict) return advance();
  if (slot_ == slot::free && telling_ == 0) self_->quit(); // its next life goes on
}

// -- parked ----------------------------------------------------------------------------------------------------------------------

void rollout_actor::park() {
  if (slot_ != slot::held) return;
  slot_ = slot::parking;
  ask_named(
      self_, ctx_, names::store, store_patience,
      append_records{{park_record_of(job_.key, trajectory_->next_turn())}, job_.placed},
      [this](const std::vector<append_outcome>&) {
        if (!std::exchange(slot_again_, false)) return parked();
        take_slot();
        if (trajectory_->next() == trajectory::need::turn) generate_turn();
      },
      [this](const error& why) { lost("committing that a rollout is parked", why); });
}

void rollout_actor::yield() {
  if (slot_ != slot::held) return;
  slot_ = slot::free;
  ++telling_;
  tell_surely(
      self_, ctx_, names::manager, report_patience, slot_yielded{job_.key, report_number()},
      [this] { without_slot(); }, [this](const error& why) { lost("reporting that a slot is free", why); });
}

/// Whoever gives slots has heard. It may have one again already.
void rollout_actor::without_slot() {
  --telling_; // an older piece of news may be heard when a newer one is not yet
  if (telling_ == 0 && slot_ == slot::free && trajectory_->next() == trajectory::need::turn)
    self_->quit(); // else its tools still run
}

std::uint64_t rollout_actor::report_number() {
  return derive_seed(derive_seed(job_.placed.placement, self_->id()), ++reports_);
}

void rollout_actor::take_slot() {
  slot_ = slot::held;
  yield_wanted_ = park_wanted_ = park_soon_ = finished_turn_ = false;
  started_ = ctx_->time->now();
}

void rollout_actor::parked() {
  slot_ = slot::free;
  ++telling_;
  const rollout_parked news{job_.key, report_number()};
  auto unheard = [this](const error& why) { lost("reporting that a rollout is parked", why); };
  tell_surely(
      self_, ctx_, names::replay, report_patience, news,
      [this, news, unheard] {
        tell_surely(
            self_, ctx_, names::manager, report_patience, news,
            [this] {
              if (ctx_->config.rollout.parked_kv == "free")
                tell(self_, ctx_->names->find(names::engine), forget_sequence{job_.key.number()});
              without_slot();
            },
            unheard);
      },
      unheard);
}

// -- the end ---------------------------------------------------------------------------------------------------------------------

void rollout_actor::judge() {
  ask_named(
      self_, ctx_, names::judge, from_seconds(ctx_->config.judge.patience) + turn_patience(),
      judge_request{std::make_shared<episode>(trajectory_->state())},
      [this](const verdict& given) {
        if (!std::isfinite(given.reward))
          return fail_rollout({errc::invalid, "the judge's reward is not a number"}); // never made up
        fault("verdict");
        trajectory_->set_verdict(given);
        ask_named(
            self_, ctx_, names::store, store_patience,
            append_records{{placed(verdict_record_of(*trajectory_))}, job_.placed},
            [this](const std::vector<append_outcome>&) { finish(); }, // ROLL-3
            [this](const error& why) { lost("committing a verdict", why); });
      },
      [this](const error& why) { fail_rollout(why); });
}

void rollout_actor::fail_rollout(const error& why) {
  if (std::exchange(failing_, true)) return;
  ask_named(
      self_, ctx_, names::store, store_patience,
      append_records{{placed(failed_record_of(job_.key, retries_, why))}, job_.placed},
      [this, why](const std::vector<append_outcome>&) {
        report_end(rollout_failed{job_.key, why});
      },
      [this](const error& cause) { lost("committing a failure", cause); });
}

void rollout_actor::report_failure(const error& why) { report_end(rollout_failed{job_.key, why}); }

void rollout_actor::finish() { report_end(rollout_finished{trajectory_}); }

template <class News>
void rollout_actor::report_end(News news) {
  ending_ = true;
  auto unheard = [this](const error& why) { lost("reporting the end of a rollout", why); };
  tell_surely(
      self_, ctx_, job_.report_to, report_patience, std::move(news),
      [this, unheard] {
        tell(self_, ctx_->names->find(names::engine), forget_sequence{job_.key.number()});
        tell_surely(
            self_, ctx_, names::manager, report_patience, rollout_ended{job_.key, report_number()},
            [this] { self_->quit(); }, unheard);
      },
      unheard);
}

void rollout_actor::lost(const std::string& doing, const error& why) {
  if (why.code != errc::in_use) give_up(doing, why);
  probe<"rollout: it is fenced">(); // another node goes on with it
  self_->quit();
}

new_record rollout_actor::placed(new_record what) const { return placed_by(job_.placed, std::move(what)); }

void start_rollout(self_ptr self, const context_ptr& ctx, const rollout_job& job,
                   std::function<void(error)> refused) {
  if (!ctx->cluster) return start_rollout_here(self, ctx, job, std::move(refused));
  ask_named(
      self, ctx, names::cluster, std::chrono::seconds(60), run_rollout{job}, [](const done&) {},
      [refused = std::move(refused)](error why) { refused(std::move(why)); });
}

void start_rollout_here(self_ptr self, const context_ptr& ctx, const rollout_job& job,
                        std::function<void(error)> refused) {
  child_spec spec;
  spec.id = stream_of(job.key);
  // Copied with every message that starts it: by pointer.
  spec.start = [ctx, job = std::make_shared<const rollout_job>(job)](self_ptr supervisor) {
    return spawn_state<rollout_actor>(*supervisor, ctx, job);
  };
  spec.restart = restart_kind::transient;
  spec.quarantine_after = 3;
  spec.stop_deadline = std::chrono::seconds(1);
  ask_named(
      self, ctx, names::rollouts, std::chrono::seconds(60), start_child{std::move(spec)},
      [](const actor_ref&) {},
      [self, ctx, job, refused = std::move(refused)](error why) {
        if (why.code != errc::conflict) return refused(std::move(why));
        // It runs already. Parked, it waits for its tools: it has a slot again. Or it is just ending: then start it after all.
        ask_life(
            self, ctx, stream_of(job.key), ctx->names->find_here(stream_of(job.key)),
            std::chrono::seconds(60), unpark_rollout{job.placed}, [](const done&) {},
            [self, ctx, job, refused](const error&) {
              send_later(self, std::chrono::milliseconds(5),
                         resume_later{[=] { start_rollout_here(self, ctx, job, refused); }});
            });
      });
}

} // namespace troupe

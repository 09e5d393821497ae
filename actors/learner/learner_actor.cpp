#include "actors/learner/learner_actor.hpp"

#include "actors/audit.hpp"
#include "actors/fault_injector/fault_points.hpp"
#include "actors/step_made.hpp"
#include "gpu/machine.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/heap.hpp"
#include "runtime/base/planted.hpp"
#include "runtime/log.hpp"
#include "runtime/trace.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe {

learner_actor::learner_actor(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {
  ctx_->threads.name_own("learner");
  const auto shape = ctx_->model_shape();
  auto stored = ctx_->parts.load_checkpoint();
  if (!stored && stored.error().code != errc::not_found) give_up("loading the checkpoint", stored.error());
  if (stored && !(stored->weights.config == shape))
    give_up("loading the checkpoint",
            {errc::conflict, "its model has another shape than the configuration asks for"});
  // Adapters need the model that they adapt; everything else begins with the checkpoint.
  auto start = [&]() -> expected<model_weights> {
    if (stored && ctx_->config.learner.lora_rank == 0) return stored->weights;
    if (ctx_->parts.start_weights) return ctx_->parts.start_weights();
    return initial_weights(shape, ctx_->seed_for("weights"));
  }();
  if (!start) give_up("loading the model", start.error());
  auto made = ctx_->parts.make_learner(*start);
  if (!made) give_up("starting the learner", made.error());
  model_ = std::move(*made);
  if (!stored) return;
  if (auto ok = model_->restore(stored->weights, stored->optimizer ? &*stored->optimizer : nullptr); !ok)
    give_up("restoring the checkpoint", ok.error());
  if (ctx_->parts.drop_warmup_parts)
    ctx_->parts.drop_warmup_parts(); // an earlier life may have died before it could
  has_checkpoint_ = true;
  version_ = stored->version;
  last_extra_ = std::move(stored->extra);
}

behavior learner_actor::make_behavior() {
  read_ledger(
      self_, ctx_, [this](const ledger& book) { check_store(book); },
      [](const error& why) { give_up("reading the ledger", why); });
  return {
      [this](const warm_up&) -> result<done> {
        reply<done> answer(self_);
        auto promise = answer.promise();
        if (ready_ && has_checkpoint_) { // an earlier life, or an earlier process, did it
          answer.deliver(done{});
          return promise;
        }
        warm_up_asker_.emplace(std::move(answer));
        if (ready_ && !std::exchange(warming_, true)) self_->send(self_, warm_up_step{});
        return promise;
      },
      [this](const warm_up_step&) { warm_up_some(); },
      [this](const weights_damaged& news) -> result<done> {
        if (ready_ && has_checkpoint_ && news.version == version_ &&
            version_ == ctx_->board->current().version)
          publish([] {}); // else others are about to be published
        return noted(self_);
      },
      [this](const train_step& ask) -> result<step_report> {
        reply<step_report> answer(self_);
        auto promise = answer.promise();
        if (!ready_) {
          answer.fail({errc::unavailable, "the learner is reading its ledger"});
        } else if (ask.step + 1 == version_) { // LEARN-4; still busy: it is being made durable and published
          probe<"learner: asked again for a finished step">();
          step_asker_.emplace(std::move(answer));
          if (!busy_step_) report_step();
        } else if (ask.step != version_) {
          answer.fail({errc::conflict, "asked for step " + std::to_string(ask.step) +
                                           ", but the weights have version " + std::to_string(version_)});
        } else {
          step_asker_.emplace(std::move(answer));
          if (!busy_step_) ask_batch(ask.step);
        }
        return promise;
      },
      resume_handler(),
  };
}

// -- start ---------------------------------------------------------------------------------------------------------------------

void learner_actor::check_store(const ledger& book) {
  if (!has_checkpoint_) return reconcile(book);
  if (auto ok = check_consumption(book, last_extra_, version_); !ok)
    give_up("comparing checkpoint and store", ok.error());
  const auto bound = binding_in(last_extra_);
  if (!bound) give_up("comparing checkpoint and store", bound.error());
  if (!*bound) return reconcile(book);
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), read_position{(*bound)->seq},
      [this, book, at = **bound](const store_position& found) {
        if (auto ok = check_binding(at, found); !ok) give_up("comparing checkpoint and store", ok.error());
        reconcile(book);
      },
      [at = **bound](const error& why) {
        give_up("comparing checkpoint and store", check_binding(at, fail(why)).error());
      });
}

void learner_actor::reconcile(const ledger& book) {
  lineage_ = book.lineage;
  auto go = [this] {
    ready_ = true;
    if (warm_up_asker_ && has_checkpoint_) {
      warm_up_asker_->deliver(done{});
      warm_up_asker_.reset();
    } else if (warm_up_asker_ && !std::exchange(warming_, true)) {
      self_->send(self_, warm_up_step{});
    }
  };
  auto publish_then_go = [this, go] {
    if (!has_checkpoint_) return go();
    if (ctx_->board->current().version <= version_ || planted("newer_rollouts_go_on")) return publish(go);
    // Weights go back: no rollout of newer groups may run when the engine has the older ones.
    probe<"learner: the engine's weights are newer than the checkpoint">();
    ctx_->board->confirm(std::min(version_, ctx_->board->confirmed()));
    ask_named(
        self_, ctx_, names::manager, std::chrono::seconds(60), weights_went_back{},
        [this, go](const done&) { publish(go); },
        [](const error& why) { give_up("holding rollouts back", why); });
  };
  auto told =
      [this,
       publish_then_go] { // before the first next_batch: the buffer may have read the books as they were
        tell_surely(self_, ctx_, names::replay, std::chrono::seconds(60), reread_books{}, publish_then_go,
                    [](const error& why) { give_up("having the books read again", why); });
      };
  if (book.steps >
      version_) { // the store is ahead of the newest good checkpoint: what those steps consumed is pending again
    lineage_ = book.lineage + 1;
    probe<"learner: a rollback">();
    if (planted("rollback_unrecorded")) return told();
    ask_named(
        self_, ctx_, names::store, std::chrono::seconds(60),
        append_records{{rollback_record(version_, book.lineage)}},
        [told](const std::vector<append_outcome>&) { told(); },
        [](const error& why) { give_up("committing a rollback", why); });
  } else if (has_checkpoint_ && book.steps < version_ &&
             !planted(
                 "manifest_ignored")) { // died between checkpoint and record: the manifest decides (LEARN-1)
    auto consumption =
        last_extra_.contains("consumed") ? last_extra_["consumed"].as_object() : json::object{};
    probe<"learner: died between checkpoint and record">();
    ask_named(
        self_, ctx_, names::store, std::chrono::seconds(60),
        append_records{{consumption_record(version_ - 1, lineage_, consumption)}},
        [told](const std::vector<append_outcome>&) { told(); },
        [](const error& why) { give_up("committing a consumption", why); });
  } else {
    told(); // an earlier life may have changed the books and died before it could tell
  }
}

// -- warm-up -------------------------------------------------------------------------------------------------------------------

double warm_up_rate(const run_config& config, std::int64_t step) {
  const auto& w = config.warmup;
  const double ramp = std::min(1.0, static_cast<double>(step + 1) /
                                        static_cast<double>(std::max<std::int64_t>(1, w.lr_warmup_steps)));
  const double progress = static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, w.steps));
  return w.learning_rate * ramp * (1.0 - (1.0 - w.lr_final_share) * progress);
}

bool learner_actor::take_cached_warm_up() {
  if (!ctx_->parts.load_warmup) return false;
  auto cached = ctx_->parts.load_warmup();
  if (!cached) return false;
  if (auto ok = model_->restore(*cached, nullptr); !ok) give_up("restoring the cached warm-up", ok.error());
  say("info", "warm-up: taken from the cache, its inputs have not changed");
  return true;
}

void learner_actor::resume_warm_up() { // LEARN-7
  if (!ctx_->parts.load_warmup_part) return;
  auto part = ctx_->parts.load_warmup_part();
  if (!part || !part->optimizer || part->step > static_cast<std::uint64_t>(ctx_->config.warmup.steps)) return;
  if (auto ok = model_->restore(part->weights, &*part->optimizer); !ok)
    give_up("restoring the middle of the warm-up", ok.error());
  probe<"learner: a warm-up goes on in its middle">();
  warm_up_step_ = planted("warm_up_loses_a_step") ? static_cast<std::int64_t>(part->step) + 1
                                                  : static_cast<std::int64_t>(part->step);
  warm_up_from_ = warm_up_step_;
  last_loss_ = json::number_at(part->extra, "loss").value_or(0);
  say("info", "warm-up: goes on at step " + std::to_string(warm_up_step_));
}

void learner_actor::keep_warm_up() {
  const auto every = ctx_->config.warmup.checkpoint_every;
  if (!ctx_->parts.save_warmup_part || every == 0 || warm_up_step_ % every != 0) return;
  checkpoint part;
  part.step = static_cast<std::uint64_t>(warm_up_step_);
  part.weights = *model_->snapshot();
  part.optimizer = model_->optimizer_state();
  part.extra = {{"loss", last_loss_}};
  if (auto ok = ctx_->parts.save_warmup_part(part); !ok) // only time is lost
    return say("warning", "the warm-up could not be saved at step " + std::to_string(warm_up_step_) + ": " +
                              ok.error().message);
  ctx_->learning->warmed = std::max(ctx_->learning->warmed.load(), part.step);
}

void learner_actor::say(std::string_view level, std::string text) {
  tell(self_, ctx_->names->find(names::recorder),
       metric_record{{{"kind", "message"}, {"level", level}, {"text", std::move(text)}}});
}

void learner_actor::warm_up_some() {
  const auto& w = ctx_->config.warmup;
  if (!std::exchange(warm_up_begun_, true)) {
    if (take_cached_warm_up()) return finish_warm_up();
    resume_warm_up();
  }
  if (!w.enabled || warm_up_step_ >= w.steps) {
    if (w.enabled && ctx_->parts.save_warmup)
      if (auto ok = ctx_->parts.save_warmup(*model_->snapshot()); !ok)
        say("warning", "the warm-up could not be cached: " + ok.error().message);
    return finish_warm_up();
  }
  const auto start = ctx_->time->now();
  auto stats = model_->sft_step(ctx_->warmup_batch(warm_up_step_), warm_up_rate(ctx_->config, warm_up_step_));
  if (!stats) give_up("a warm-up step", stats.error());
  fault_point(*ctx_, "learner", "warm_up_step", names::learner);
  if (buggify<"learner: dies in its warm-up">()) give_up("buggify", {errc::internal, "on purpose"});
  ++warm_up_step_;
  warm_up_tokens_ += static_cast<double>(stats->tokens);
  warm_up_seconds_ += seconds(ctx_->time->now() - start);
  last_loss_ = last_loss_ == 0 ? stats->loss : 0.95 * last_loss_ + 0.05 * stats->loss;
  if (const auto now = ctx_->time->now();
      now - warm_up_told_ >= std::chrono::seconds(1) || warm_up_step_ == w.steps) {
    warm_up_told_ = now;
    const double each = warm_up_seconds_ / static_cast<double>(warm_up_step_ - warm_up_from_);
    tell(self_, ctx_->names->find(names::recorder),
         metric_record{{{"kind", "warmup"},
                        {"step", warm_up_step_},
                        {"steps", w.steps},
                        {"loss", last_loss_},
                        {"tokens_per_second", warm_up_tokens_ / std::max(1e-9, warm_up_seconds_)},
                        {"learning_rate", warm_up_rate(ctx_->config, warm_up_step_)},
                        {"eta_seconds", each * static_cast<double>(w.steps - warm_up_step_)}}});
  }
  keep_warm_up();
  self_->send(self_, warm_up_step{}); // other messages (a stop) get their turn between two steps
}

void learner_actor::finish_warm_up() {
  warming_ = false;
  model_->reset_optimizer();
  version_ = 0;
  save(false, {}, [this] {
    if (ctx_->parts.drop_warmup_parts) ctx_->parts.drop_warmup_parts();
    publish([this] {
      if (warm_up_asker_) warm_up_asker_->deliver(done{});
      warm_up_asker_.reset();
    });
  });
}

// -- training ------------------------------------------------------------------------------------------------------------------

double learner_actor::learning_rate(std::uint64_t step) const {
  const auto& rl = ctx_->config.rl;
  const double ramp = std::min(1.0, static_cast<double>(step + 1) /
                                        static_cast<double>(std::max<std::int64_t>(1, rl.lr_warmup_steps)));
  const double progress =
      static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, rl.steps));
  return rl.learning_rate * ramp * (1.0 - (1.0 - rl.lr_final_share) * progress);
}

void learner_actor::ask_batch(std::uint64_t step) {
  busy_step_ = step;
  const bool follows = last_batch_ && last_batch_->step + 1 == step;
  ask_named(
      self_, ctx_, names::replay, std::chrono::seconds(30), next_batch{step, follows ? last_batch_ : nullptr},
      [this](const batch_ptr& what) { train(what); },
      [this, step](const error& why) {
        if (why.code != errc::timeout) give_up("asking for a batch", why);
        ask_batch(step); // slow rollouts are no failure of the learner
      });
}

void learner_actor::train(const batch_ptr& what) {
  if (busy_step_ != what->step || what->step != version_) return; // the answer of an older question
  const auto eta = ctx_->config.rl.mode == "sync" ? 0 : static_cast<std::uint64_t>(ctx_->config.rl.eta);
  for (const auto& sample : what->samples)
    for (std::size_t i = 0; i < sample.tokens.size(); ++i)
      if (sample.mask[i] && sample.versions[i] + eta < version_) // LEARN-3
        give_up("training", {errc::conflict, sample.id + " holds a token of version " +
                                                 std::to_string(sample.versions[i]) + " at version " +
                                                 std::to_string(version_)});
  fault_point(*ctx_, "learner", "before_step", names::learner);
  if (ctx_->redone && ctx_->redone->begin_step(version_))
    note_effect(*ctx_, fault_effect::kind::step_redone, names::learner);
  const auto start = ctx_->time->now();
  step_made made;
  made.before = weights_checksum(*model_->snapshot());
  made.learning_rate = learning_rate(version_);
  made.threads = ctx_->config.learner.threads;
  made.machine = machine_description();
  const auto [gap, compared] = compare_logprobs(*what);
  learn_stats stats;
  if (!what->samples.empty()) {
    const auto ptx = ctx_->ptx_batch ? ctx_->ptx_batch(version_) : std::vector<sft_sample>{};
    auto done_step = model_->rl_step(what->samples, ptx, ctx_->config.rl_shape(made.learning_rate), version_);
    if (!done_step) give_up("an optimizer step", done_step.error());
    stats = *done_step;
  }
  made.after = weights_checksum(*model_->snapshot());
  busy_seconds_ += seconds(ctx_->time->now() - start);
  if (tracing())
    trace_span("learner", "train step", start, ctx_->time->now(),
               {{"step", version_}, {"samples", what->samples.size()}});
  fault_point(*ctx_, "learner", "after_step", names::learner);
  ++version_;
  last_batch_ = what;
  json::object record = what->statistics;
  record["kind"] = "step";
  record["step"] = version_;
  record["steps"] = ctx_->config.rl.steps;
  record["version"] = version_;
  record["loss"] = stats.loss;
  record["grad_norm"] = stats.grad_norm;
  record["entropy"] = stats.entropy;
  record["kl"] = stats.kl;
  record["clip_fraction"] = stats.clip_fraction;
  record["max_logprob_gap"] = std::max(gap, stats.max_logprob_gap);
  record["logprobs_compared"] = compared;
  record["engine_kl"] = engine_kl_;
  record["tokens_useful"] =
      stats.rows > 0 ? static_cast<double>(stats.tokens) / static_cast<double>(stats.rows) : 1.0;
  record["learning_rate"] = made.learning_rate;
  record["learner_tokens_per_second"] =
      stats.seconds > 0 ? static_cast<double>(stats.tokens) / stats.seconds : 0.0;
  record["learner_busy_seconds"] = busy_seconds_;
  auto consumed = consumption_of(*what);
  consumed["made"] = to_json(made);
  auto before = std::exchange(last_extra_,
                              json::object{{"consumed", std::move(consumed)}, {"report", std::move(record)}});
  if (!planted("manifest_of_the_step_before")) before = last_extra_;
  const auto every = static_cast<std::uint64_t>(ctx_->config.checkpoint.every);
  if (version_ % every == 0 || version_ == static_cast<std::uint64_t>(ctx_->config.rl.steps))
    save(true, std::move(before), [this] { commit_consumption(); });
  else
    commit_consumption();
}

std::pair<double, std::int64_t> learner_actor::compare_logprobs(const batch& what) {
  constexpr double most = 5e-5;    // float32: 3e-5 is the noise between exact methods
  constexpr double most_kl = 0.01; // bfloat16
  double gap = 0, kl = 0;
  std::int64_t compared = 0, samples = 0;
  for (std::size_t i = 0; i < what.samples.size() && samples < ctx_->config.learner.check_samples; ++i) {
    const auto& sample = what.samples[(i + version_) % what.samples.size()];
    // Only samples of one version: after a change of weights in mid-rollout, what came before was computed by two.
    const auto [oldest, newest] = [&] {
      std::pair<std::uint64_t, std::uint64_t> span{~std::uint64_t{0}, 0};
      for (std::size_t t = 0; t < sample.tokens.size(); ++t)
        if (sample.mask[t])
          span = {std::min(span.first, sample.versions[t]), std::max(span.second, sample.versions[t])};
      return span;
    }();
    const auto weights = recent_.find(oldest);
    if (oldest != newest || weights == recent_.end()) continue;
    if (!checker_) {
      auto made = ctx_->parts.make_learner(*weights->second);
      if (!made) give_up("making the logprob checker", made.error());
      checker_ = std::move(*made);
    }
    if (auto ok = checker_->restore(*weights->second, nullptr); !ok)
      give_up("restoring recent weights", ok.error());
    auto ours = checker_->logprobs(sample.tokens, sample.temperature);
    if (!ours) give_up("comparing logprobs", ours.error());
    for (std::size_t t = 0; t < sample.tokens.size(); ++t)
      if (sample.mask[t]) {
        const double d = static_cast<double>((*ours)[t]) - static_cast<double>(sample.behaviour_logprobs[t]);
        gap = std::max(gap, std::abs(d));
        kl += std::exp(d) - d - 1; // k3
        ++compared;
      }
    ++samples;
  }
  if (compared > 0) kl /= static_cast<double>(compared);
  if (ctx_->config.learner.compute == "bfloat16" ? kl > most_kl : gap > most)
    log_event("logprob_gap", {{"gap", gap}, {"expected_at_most", most}, {"kl", kl}, {"step", version_}},
              log_level::warning);
  engine_kl_ = kl;
  return {gap, compared};
}

void learner_actor::commit_consumption() {
  fault_point(*ctx_, "learner", "after_checkpoint", names::learner);
  if (buggify<"learner: dies between checkpoint and record">())
    give_up("buggify", {errc::internal, "on purpose"});
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60),
      append_records{{consumption_record(version_ - 1, lineage_, last_extra_["consumed"].as_object())}},
      [this](const std::vector<append_outcome>&) {
        fault_point(*ctx_, "learner", "after_booking", names::learner);
        tell_surely(self_, ctx_, names::replay, batch_consumed{last_batch_});
        if (buggify<"learner: dies between record and publication">())
          give_up("buggify", {errc::internal, "on purpose"});
        publish([this] {
          busy_step_.reset();
          report_step();
        });
      },
      [](const error& why) { give_up("committing a consumption", why); });
}

void learner_actor::save(bool with_optimizer, json::object extra, std::function<void()> then) {
  auto what = std::make_shared<checkpoint>();
  what->step = what->version = version_;
  what->weights = *model_->snapshot();
  if (with_optimizer) what->optimizer = model_->optimizer_state();
  what->adapters = model_->adapters();
  what->extra = std::move(extra);
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), read_position{},
      [this, what, then](const store_position& at) { // LEARN-6
        if (at.seq > 0) what->extra["store"] = binding_of(at);
        try_save(what, then);
      },
      [](const error& why) { give_up("asking the store for its place", why); });
}

void learner_actor::try_save(const std::shared_ptr<const checkpoint>& what,
                             const std::function<void()>& then) {
  auto ok = ctx_->parts.save_checkpoint(*what);
  if (!ok && ok.error().code != errc::disk_full) give_up("writing a checkpoint", ok.error());
  if (ok) {
    has_checkpoint_ = true;
    return then();
  }
  probe<"learner: a checkpoint waits for space">();
  note_disk_full(*ctx_);
  send_later(self_, std::chrono::seconds(1), resume_later{[this, what, then] { try_save(what, then); }});
}

void learner_actor::publish(std::function<void()> then, int tries) {
  auto weights = model_->snapshot();
  ctx_->board->publish(weights, version_, lineage_, weights_checksum(*weights));
  recent_[version_] = weights;
  while (recent_.size() > static_cast<std::size_t>(ctx_->config.rl.eta) + 2) recent_.erase(recent_.begin());
  auto told = [this, then] { // LEARN-2
    ctx_->board->confirm(version_);
    ctx_->learning->made = std::max(ctx_->learning->made.load(), version_ + 1);
    tell_surely(self_, ctx_, names::manager, version_published{version_});
    then();
  };
  if (planted("version_before_weights")) {
    ctx_->board->confirm(version_);
    tell(self_, ctx_->names->find(names::manager), version_published{version_});
  }
  ask_named(
      self_, ctx_, names::engine, std::chrono::seconds(60), new_weights{weights, version_, lineage_},
      [told](const done&) { told(); },
      [this, then, tries](const error& why) {
        constexpr int most = 3; // then the model itself may be what is damaged
        if (why.code != errc::corrupt || tries >= most) give_up("publishing weights", why);
        publish(then, tries + 1); // a fresh copy
      });
}

void learner_actor::report_step() {
  if (!std::exchange(tidied_, true)) give_back_freed_memory(); // the life before is gone for certain
  if (!step_asker_) return;
  step_report report;
  report.step = version_ - 1;
  report.version = version_;
  if (last_extra_.contains("report")) report.record = last_extra_["report"].as_object();
  step_asker_->deliver(std::move(report));
  step_asker_.reset();
}

} // namespace troupe

#include "actors/replay_buffer/replay_buffer.hpp"

#include "actors/replay_buffer/batch_choice.hpp"
#include "gpu/advantage.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

behavior replay_buffer::make_behavior() {
  recover();
  return {
      [this](const group_admitted& news) {
        if (known_.insert(news.group).second) groups_[news.group].version = news.version;
      },
      [this](const rollout_finished& end) {
        auto found = groups_.find(end.what->key().group);
        if (found == groups_.end()) return; // consumed already: a rollout that reported again
        found->second.finished.emplace(end.what->key().attempt, end.what);
        found->second.parked.erase(end.what->key().attempt);
        try_batch();
      },
      [this](const rollout_failed& end) {
        note_failure(end);
        auto found = groups_.find(end.key.group);
        if (found == groups_.end() || found->second.finished.contains(end.key.attempt)) return;
        found->second.failed.emplace(end.key.attempt, end.reason);
        found->second.parked.erase(end.key.attempt);
        try_batch();
      },
      [this](const retry_wanted& wish) -> result<retry_granted> { return grant_retry(wish.key); },
      [this](const rollout_parked& news) {
        auto found = groups_.find(news.key.group);
        if (found == groups_.end() || found->second.finished.contains(news.key.attempt)) return;
        found->second.parked.insert(news.key.attempt);
        try_batch(); // one less to wait for
      },
      [this](const group_readmitted& news) {
        auto found = groups_.find(news.group);
        if (found == groups_.end()) return;
        found->second.parked.clear();
        found->second.version = std::max(found->second.version, news.version);
      },
      [this](const next_batch& ask) -> result<batch_ptr> {
        reply<batch_ptr> answer(self_);
        auto promise = answer.promise();
        wanted_step_ = ask.step;
        askers_.push_back(std::move(answer));
        if (ready_ && ask.step < steps_) {
          probe<
              "replay: asked for a step that it has consumed">(); // the learner went back to an older checkpoint: so do the books
          groups_.clear();
          current_.reset();
          recover();
        }
        try_batch();
        return promise;
      },
      [this](const batch_consumed& news) {
        if (ready_)
          consumed(*news.what);
        else if (!planted("late_batch_dropped"))
          late_.push_back(news.what); // the ledger we are reading may be older
      },
      [this](const reread_books&) {
        if (planted("books_not_reread")) return;
        if (!ready_) probe<"replay: the books change while it reads them">();
        current_.reset();
        askers_.clear(); // a learner that is dead: its step may be ahead of the books now
        recover();
      },
      [this](const balance_request&) -> result<balance> {
        if (ready_) return sheet();
        reply<balance> answer(self_); // half-read books do not balance
        auto promise = answer.promise();
        balance_askers_.push_back(std::move(answer));
        return promise;
      },
      resume_handler(),
  };
}

void replay_buffer::note_failure(const rollout_failed& end) {
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), read_stream{stream_of(end.key)},
      [this, end](const std::vector<record>& records) {
        const auto state = failure_in(records);
        if (state.failed) return; // the rollout committed it itself
        ask_named(
            self_, ctx_, names::store, std::chrono::seconds(60),
            append_records{{failed_record_of(end.key, state.retries, end.reason)}},
            [](const std::vector<append_outcome>&) {}, [](const error&) {}); // conflict: the same
      },
      [](const error&) {});
}

result<retry_granted> replay_buffer::grant_retry(const rollout_key& key) {
  reply<retry_granted> answer(self_);
  auto promise = answer.promise();
  const auto found = groups_.find(key.group);
  const auto refuse = [&](errc code, const std::string& why) {
    answer.fail({code, key.text() + " " + why});
    return promise;
  };
  if (!ready_) return refuse(errc::unavailable, "cannot be looked up: the books are being read");
  if (key.why != purpose::train || !known_.contains(key.group))
    return refuse(errc::not_found, "is no training rollout of this run");
  if (found == groups_.end())
    return refuse(errc::conflict, "cannot be tried again: its group has been trained on or retired");
  const auto failed = found->second.failed.find(key.attempt);
  if (failed == found->second.failed.end() || failed->second.code != errc::exhausted)
    return refuse(errc::not_found, "is not in quarantine");
  if (current_ &&
      std::find(current_->groups.begin(), current_->groups.end(), key.group) != current_->groups.end())
    return refuse(errc::conflict, "cannot be tried again: its group is being trained on");
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(10), read_stream{stream_of(key)},
      [this, key, shared = std::make_shared<reply<retry_granted>>(std::move(answer))](
          const std::vector<record>& records) {
        ask_named(
            self_, ctx_, names::store, std::chrono::seconds(10),
            append_records{{retry_record_of(key, failure_in(records).retries + 1)}},
            [this, key, shared](const std::vector<append_outcome>&) {
              const auto group = groups_.find(key.group);
              if (group == groups_.end())
                return shared->fail({errc::conflict, key.text() + ": its group has left meanwhile"});
              group->second.failed.erase(key.attempt);
              shared->deliver({group->second.version});
            },
            [shared](const error& why) { shared->fail(why); });
      },
      [](const error&) {});
  return promise;
}

balance replay_buffer::sheet() const {
  balance out;
  out.accepted = known_.size() * static_cast<std::uint64_t>(ctx_->config.rl.group_size);
  out.trained = trained_;
  out.retired = retired_;
  for (const auto& [id, group] : groups_) out.parked += group.parked.size();
  out.pending = groups_.size() * static_cast<std::uint64_t>(ctx_->config.rl.group_size) - out.parked;
  return out;
}

void replay_buffer::recover() {
  ready_ = false;
  read_ledger(
      self_, ctx_,
      [this, reading = ++readings_](const ledger& book) {
        if (reading != readings_) return; // begun before the books changed
        // What arrived while we were reading stays: the ledger can only be older.
        for (auto group : book.open_groups) groups_[group].version = book.group_versions.at(group);
        for (std::uint64_t group = 0; group < book.admitted; ++group) {
          known_.insert(group);
          if (!book.open_groups.contains(group))
            groups_.erase(group); // REP-2: consumed is consumed, whoever says so
        }
        trained_ = book.trained;
        retired_ = book.retired;
        steps_ = book.steps;
        ready_ = true;
        if (!late_.empty()) probe<"replay: a consumption arrives while it reads the books">();
        for (const auto& what : std::exchange(late_, {})) consumed(*what);
        for (auto& asker : std::exchange(balance_askers_, {})) asker.deliver(sheet());
        if (!book.open_groups.empty()) tell(self_, ctx_->names->find(names::manager), recover_rollouts{});
        try_batch();
      },
      [](const error& why) { give_up("reading the ledger", why); });
}

std::uint64_t replay_buffer::eta() const {
  return ctx_->config.rl.mode == "sync" ? 0 : static_cast<std::uint64_t>(ctx_->config.rl.eta);
}

bool replay_buffer::complete(const group_state& group) const {
  return group.finished.size() + group.failed.size() == static_cast<std::size_t>(ctx_->config.rl.group_size);
}

void replay_buffer::try_batch() {
  if (!ready_ || askers_.empty()) return;
  if (current_ && current_->step != wanted_step_)
    consumed(*current_); // the learner asks for the next: this one is durable
  if (!current_) {
    auto groups = choose_groups();
    if (!groups) return;
    current_ = make_batch(*groups);
  }
  auto askers = std::exchange(askers_, {});
  for (auto& asker : askers) asker.deliver(current_);
  if (buggify<"replay: it dies behind its batch">()) give_up("buggify", {errc::internal, "on purpose"});
}

std::optional<std::vector<std::uint64_t>> replay_buffer::choose_groups() {
  std::vector<std::uint64_t> stale;
  std::vector<open_group> open;
  for (const auto& [id, group] : groups_) {
    const bool whole = complete(group);
    auto oldest = wanted_step_;
    if (whole)
      for (const auto& [attempt, t] : group.finished) oldest = std::min(oldest, t->oldest_version());
    if (oldest + eta() < wanted_step_ && ctx_->config.rl.beyond_eta == "retire")
      stale.push_back(id);
    else if (group.parked.empty())
      open.push_back({id, group.version, whole});
  }
  for (auto id : stale) retire_stale(id);
  // Versions rise with the ids but for groups that were parked, and after a rollback.
  std::stable_sort(open.begin(), open.end(),
                   [](const auto& a, const auto& b) { return a.version < b.version; });
  return choose_batch(open, wanted_step_, eta(),
                      static_cast<std::size_t>(ctx_->config.rl.groups_per_step)); // REP-1
}

void replay_buffer::retire_stale(std::uint64_t group) {
  probe<"replay: a stale group">();
  const int rollouts = static_cast<int>(ctx_->config.rl.group_size);
  groups_.erase(group);
  retired_["stale"] += static_cast<std::uint64_t>(rollouts);
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60),
      append_records{{group_retired_record(group, "stale", rollouts)}},
      [this](const std::vector<append_outcome>&) {
        tell(self_, ctx_->names->find(names::manager), groups_retired{1});
      },
      [](const error& why) { give_up("committing a retirement", why); });
}

batch_ptr replay_buffer::make_batch(const std::vector<std::uint64_t>& groups) const {
  const auto& rl = ctx_->config.rl;
  const auto& recipe = *recipe_by_name(rl.loss);
  auto out = std::make_shared<batch>();
  out->step = wanted_step_;
  out->groups = groups;
  double reward_sum = 0, turns = 0, calls = 0, staleness_sum = 0, length = 0;
  std::uint64_t n = 0, correct = 0, malformed = 0, skipped = 0, dropped = 0, tokens = 0, beyond = 0,
                staleness_max = 0;
  json::object errors;
  for (auto id : groups) {
    const auto& group = groups_.at(id);
    for (const auto& [attempt, why] : group.failed)
      out->retired.emplace_back(rollout_key{purpose::train, id, attempt}.text(),
                                why.code == errc::exhausted   ? "quarantined"
                                : why.code == errc::uncertain ? "effect_unknown"
                                                              : "failed");
    std::vector<double> rewards;
    std::vector<rl_sample> samples;
    if (planted("failure_is_zero")) rewards.resize(group.failed.size(), 0.0);
    for (const auto& [attempt, t] : group.finished) {
      const auto& v = *t->judged();
      rewards.push_back(v.reward);
      ++n;
      reward_sum += v.reward;
      correct += v.correct;
      turns += t->state().turns();
      calls += t->state().calls();
      length += static_cast<double>(t->tokens().size());
      if (t->state().end() != episode_end::answered) ++malformed;
      if (auto kind = t->state().error(); kind != format_error::none) {
        auto& count = errors[to_string(kind)];
        count = (count.is_int64() ? count.get_int64() : 0) + 1;
      }
      auto& sample = samples.emplace_back(t->sample(rl.gamma));
      for (std::size_t i = 0; i < sample.tokens.size(); ++i) {
        if (!sample.mask[i]) continue;
        const auto age = wanted_step_ - std::min(wanted_step_, sample.versions[i]);
        if (age > eta()) { // REP-1
          sample.mask[i] = 0;
          ++beyond;
          continue;
        }
        staleness_sum += static_cast<double>(age);
        staleness_max = std::max(staleness_max, age);
        ++tokens;
      }
    }
    const auto [lowest, highest] = std::minmax_element(rewards.begin(), rewards.end());
    std::string reason;
    if (rewards.size() < 2)
      reason = "no_baseline";
    else if (*lowest == *highest)
      reason = "no_signal";
    if (!reason.empty()) {
      ++skipped;
      for (const auto& [attempt, t] : group.finished) out->retired.emplace_back(t->key().text(), reason);
      continue;
    }
    const auto unfinished = rewards.size() - group.finished.size();
    for (std::size_t m = 0; m < samples.size(); ++m) { // after the question whether there is a signal (DAPO)
      const auto sampled = std::count(samples[m].mask.begin(), samples[m].mask.end(), std::uint8_t{1});
      rewards[unfinished + m] += overlong_penalty(sampled, rl.overlong_tokens, rl.overlong_cushion);
      samples[m].reward = rewards[unfinished + m];
    }
    const auto baselines = recipe.leave_one_out ? *leave_one_out_baselines(rewards) : mean_baselines(rewards);
    const double spread = recipe.scaled ? deviation(rewards) : 1;
    std::size_t member = 0;
    for (const auto& [attempt, t] : group.finished) {
      auto& sample = samples[member];
      const double baseline = baselines[unfinished + member];
      ++member;
      const double advantage = sample.reward - baseline;
      if (!keep_negative(advantage, rl.negative_keep, ctx_->seed_for("negatives"), t->key().text())) {
        ++dropped;
        out->retired.emplace_back(t->key().text(), "negative_dropped");
        continue;
      }
      if (std::find(sample.mask.begin(), sample.mask.end(), 1) == sample.mask.end()) {
        out->retired.emplace_back(t->key().text(), "stale");
        continue;
      }
      sample.baseline = baseline;
      sample.scale = spread > 0 ? 1 / spread : 1;
      out->samples.push_back(std::move(sample));
    }
  }
  const double count = std::max<double>(1, static_cast<double>(n));
  out->statistics =
      json::object{{"reward_mean", reward_sum / count},
                   {"correct_rate", static_cast<double>(correct) / count},
                   {"turns_mean", turns / count},
                   {"tool_calls_mean", calls / count},
                   {"length_mean", length / count},
                   {"format_error_rate", static_cast<double>(malformed) / count},
                   {"format_errors", std::move(errors)},
                   {"staleness_mean", tokens ? staleness_sum / static_cast<double>(tokens) : 0.0},
                   {"staleness_max", staleness_max},
                   {"tokens_beyond_eta", beyond},
                   {"groups_skipped", skipped},
                   {"negatives_dropped", dropped},
                   {"trained", out->samples.size()}};
  return out;
}

void replay_buffer::consumed(const batch& what) {
  if (what.step < steps_) return; // counted already
  if (!planted("consumed_stays"))
    for (auto id : what.groups) groups_.erase(id);
  trained_ += what.samples.size();
  for (const auto& [id, reason] : what.retired) ++retired_[reason];
  steps_ = what.step + 1;
  current_.reset();
}

} // namespace troupe

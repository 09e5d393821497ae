#include "actors/replay_buffer/replay_buffer.hpp"

#include "actors/replay_buffer/batch_choice.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>

namespace troupe {

behavior replay_buffer::make_behavior() {
  recover();
  return {
      [this](const group_admitted& news) -> result<done> {
        if (known_.insert(news.group).second) groups_[news.group].version = news.version;
        return noted(self_);
      },
      [this](const rollout_finished& end) -> result<done> {
        auto found = groups_.find(end.what->key().group);
        if (found != groups_.end() && found->second.failed.contains(end.what->key().attempt))
          return noted(self_); // it was given up, and that is on the books
        if (found == groups_.end()) return not_open(end.what->key().group);
        found->second.finished.emplace(end.what->key().attempt, end.what);
        found->second.parked.erase(end.what->key().attempt);
        try_batch();
        return noted(self_);
      },
      [this](const rollout_failed& end) -> result<done> {
        auto found = groups_.find(end.key.group);
        if (found != groups_.end() && found->second.finished.contains(end.key.attempt))
          return noted(self_); // it has ended: it was given up while it said so
        if (found == groups_.end() && ready_ && known_.contains(end.key.group))
          return noted(self_); // its group has left with what it had
        auto heard = std::make_shared<reply<done>>(self_);
        take_failure(end, heard);
        return heard->promise();
      },
      [this](const retry_wanted& wish) -> result<retry_granted> { return grant_retry(wish.key); },
      [this](const rollout_parked& news) -> result<done> {
        auto found = groups_.find(news.key.group);
        if (found == groups_.end()) return not_open(news.key.group);
        if (!reports_.fresh(news.report)) return noted(self_);
        if (found->second.finished.contains(news.key.attempt)) return noted(self_);
        found->second.parked.insert(news.key.attempt);
        try_batch(); // one less to wait for
        return noted(self_);
      },
      [this](const group_readmitted& news) -> result<done> {
        auto found = groups_.find(news.group);
        if (found == groups_.end()) return not_open(news.group);
        if (!reports_.fresh(news.report)) return noted(self_);
        found->second.parked.clear();
        found->second.version = std::max(found->second.version, news.version);
        return noted(self_);
      },
      [this](const next_batch& ask) -> result<batch_ptr> {
        reply<batch_ptr> answer(self_);
        auto promise = answer.promise();
        if (ask.before) take_consumption(ask.before);
        askers_.push_back({ask.step, std::move(answer)});
        try_batch();
        return promise;
      },
      [this](const batch_consumed& news) -> result<done> {
        take_consumption(news.what);
        return noted(self_);
      },
      [this](const reread_books&) -> result<done> {
        if (planted("books_not_reread")) return noted(self_);
        if (!ready_) probe<"replay: the books change while it reads them">();
        recover();
        return noted(self_);
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

void replay_buffer::take_failure(const rollout_failed& end, const std::shared_ptr<reply<done>>& heard) {
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), read_stream{stream_of(end.key)},
      [this, end, heard](const std::vector<record>& records) {
        const auto state = failure_in(records);
        trajectory_ptr judged = state.failed ? nullptr : judged_in(end.key, records);
        if (judged) probe<"replay: a rollout that was given up has its verdict">();
        if (!state.failed && !judged) // else the rollout committed its end itself
          ask_named(
              self_, ctx_, names::store, std::chrono::seconds(60),
              append_records{{failed_record_of(end.key, state.retries, end.reason)}},
              [](const std::vector<append_outcome>&) {}, [](const error&) {}); // conflict: the same
        const auto found = groups_.find(end.key.group);
        if (found == groups_.end()) {
          if (auto why = unknown(end.key.group)) return heard->fail(std::move(*why));
          return heard->deliver({});
        }
        if (judged)
          found->second.finished.emplace(end.key.attempt, std::move(judged));
        else if (!found->second.finished.contains(end.key.attempt))
          found->second.failed.emplace(end.key.attempt, end.reason);
        found->second.parked.erase(end.key.attempt);
        try_batch();
        heard->deliver({});
      },
      [this, end, heard](const error&) { take_failure(end, heard); }); // nothing goes on without the store
}

trajectory_ptr replay_buffer::judged_in(const rollout_key& key, const std::vector<record>& records) const {
  // The rules live in the context.
  std::shared_ptr<trajectory> out(
      new trajectory(key, ctx_->train_task(key.group), ctx_->rules, ctx_->config.rollout.temperature),
      [keep = ctx_](trajectory* t) { delete t; });
  std::vector<std::optional<observation>> observed;
  if (!replay_records(*out, records, observed) || !out->judged()) return nullptr;
  return out;
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

std::optional<error> replay_buffer::unknown(std::uint64_t group) const {
  if (!may_be_lost(*ctx_, names::replay) || (ready_ && known_.contains(group)))
    return std::nullopt; // consumed already: a rollout that reported again
  probe<"replay: news of a group that it does not know yet">();
  return error{errc::unavailable, "group " + std::to_string(group) + " is not admitted, as far as is known"};
}

result<done> replay_buffer::not_open(std::uint64_t group) {
  if (auto why = unknown(group)) return to_caf(*why);
  return noted(self_);
}

void replay_buffer::take_consumption(const batch_ptr& what) {
  if (ready_)
    consumed(*what);
  else
    late_.push_back(what); // the ledger we are reading may be older
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
        lineage_ = book.lineage;
        ready_ = true;
        if (!late_.empty()) probe<"replay: a consumption arrives while it reads the books">();
        for (const auto& what : std::exchange(late_, {})) consumed(*what);
        for (auto& asker : std::exchange(balance_askers_, {})) asker.deliver(sheet());
        if (!book.open_groups.empty()) tell_surely(self_, ctx_, names::manager, recover_rollouts{});
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
  if (!ready_) return;
  std::erase_if(askers_, [&](auto& it) {
    if (it.step >= steps_) return false;
    probe<"replay: asked for a step that it has consumed">();
    it.answer.fail(
        {errc::conflict, "step " + std::to_string(it.step) + " is consumed, the next is " +
                             std::to_string(steps_)}); // a dead learner's, or a copy of an old message
    return true;
  });
  if (askers_.empty()) return;
  if (std::none_of(askers_.begin(), askers_.end(), [&](const auto& it) { return it.step == steps_; })) {
    if (std::exchange(ahead_, askers_.back().step) != askers_.back().step)
      return recover(); // the books may be newer
    for (auto& it : std::exchange(askers_, {}))
      it.answer.fail({errc::conflict, "asked for step " + std::to_string(it.step) + ", the books are at " +
                                          std::to_string(steps_)});
    return;
  }
  ahead_.reset();
  if (current_ && (current_->step != steps_ || current_->lineage != lineage_)) current_.reset();
  if (!current_) {
    auto groups = choose_groups();
    if (!groups) return;
    std::vector<const ended_group*> members;
    for (auto id : *groups) members.push_back(&groups_.at(id));
    current_ = make_batch(*ctx_, steps_, lineage_, *groups, members);
  }
  for (auto& it : askers_)
    if (it.step == steps_) it.answer.deliver(current_);
  std::erase_if(askers_, [&](const auto& it) { return it.step == steps_; });
  if (buggify<"replay: it dies behind its batch">()) give_up("buggify", {errc::internal, "on purpose"});
}

std::optional<std::vector<std::uint64_t>> replay_buffer::choose_groups() {
  std::vector<std::uint64_t> stale;
  std::vector<open_group> open;
  for (const auto& [id, group] : groups_) {
    const bool whole = complete(group);
    auto oldest = steps_;
    if (whole)
      for (const auto& [attempt, t] : group.finished) oldest = std::min(oldest, t->oldest_version());
    if (oldest + eta() < steps_ && ctx_->config.rl.beyond_eta == "retire")
      stale.push_back(id);
    else if (group.parked.empty())
      open.push_back({id, group.version, whole});
  }
  for (auto id : stale) retire_stale(id);
  // Versions rise with the ids but for groups that were parked, and after a rollback.
  std::stable_sort(open.begin(), open.end(),
                   [](const auto& a, const auto& b) { return a.version < b.version; });
  return choose_batch(open, steps_, eta(),
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
      [this, group](const std::vector<append_outcome>&) {
        tell_surely(self_, ctx_, names::manager, group_retired{group});
      },
      [](const error& why) { give_up("committing a retirement", why); });
}

void replay_buffer::consumed(const batch& what) {
  if (what.step < steps_ || what.lineage < lineage_) return; // counted already, or undone
  if (!planted("consumed_stays"))
    for (auto id : what.groups) groups_.erase(id);
  trained_ += what.samples.size();
  for (const auto& [id, reason] : what.retired) ++retired_[reason];
  steps_ = what.step + 1;
  current_.reset();
}

} // namespace troupe

#include "actors/rollout_manager/rollout_manager.hpp"

#include "actors/cluster/cluster_messages.hpp"
#include "actors/ledger.hpp"
#include "actors/rollout/rollout_actor.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/planted.hpp"

#include <algorithm>

namespace troupe {

behavior rollout_manager::make_behavior() {
  recover();
  return {
      [this](const version_published&) -> result<done> {
        if (ctx_->config.rollout.park_on_publish) park_running(false);
        readmit_into_room();
        admit();
        fill_slots();
        return noted(self_);
      },
      [this](const weights_went_back&) { return hold_back(); },
      [this](const group_retired& gone) -> result<done> {
        retired_.insert(gone.group);
        admit();
        return noted(self_);
      },
      [this](const rollout_ended& gone) -> result<done> {
        if (!reports_.fresh(gone.report)) return noted(self_);
        if (ctx_->cluster) tell(self_, ctx_->names->find(names::cluster), rollout_over{gone.key});
        if (!planted("slot_leaked")) running_.erase(gone.key);
        yielding_.erase(gone.key);
        std::erase(waiting_, gone.key); // held back, and ended before it was stopped
        if (auto it = known_.find(gone.key); it != known_.end()) {
          if (std::exchange(it->second.again, false)) {
            probe<"manager: a rollout reports again to a new buffer">(); // MAN-7
            waiting_.push_front(gone.key);
          } else {
            known_.erase(it);
          }
        }
        if (auto group = parked_.find(gone.key.group); group != parked_.end()) {
          group->second.erase(gone.key);
          if (group->second.empty()) parked_.erase(group);
        }
        fill_slots();
        return noted(self_);
      },
      [this](const rollout_parked& news) -> result<done> {
        if (!reports_.fresh(news.report)) return noted(self_);
        if (!known_.contains(news.key)) return noted(self_); // the books will name it, or it was given up
        if (ctx_->cluster) tell(self_, ctx_->names->find(names::cluster), rollout_over{news.key, true});
        running_.erase(news.key);
        yielding_.erase(news.key);
        parked_[news.key.group].insert(news.key);
        admit();
        fill_slots();
        return noted(self_);
      },
      [this](const slot_yielded& news) -> result<done> {
        if (!reports_.fresh(news.report)) return noted(self_);
        if (running_.erase(news.key) == 0) return noted(self_); // given up or held back meanwhile
        if (ctx_->cluster) tell(self_, ctx_->names->find(names::cluster), rollout_over{news.key, true});
        probe<"manager: a rollout yields its slot">();
        yielding_.erase(news.key);
        waiting_.insert(std::find_if(waiting_.begin(), waiting_.end(),
                                     [&](const rollout_key& other) { return news.key < other; }),
                        news.key);
        fill_slots();
        return noted(self_);
      },
      [this](const slots_changed&) -> result<done> {
        fill_slots();
        return noted(self_);
      },
      [this](const retry_rollout& wish) -> result<done> {
        reply<done> answer(self_);
        auto promise = answer.promise();
        retry(wish.key, std::move(answer));
        return promise;
      },
      [this](const recover_rollouts&) -> result<done> {
        // Who runs now may have reported to the buffer that died: when it ends, it starts once more and reports again.
        for (const auto& key : running_)
          if (auto it = known_.find(key); it != known_.end()) it->second.again = true; // MAN-7
        recover();
        return noted(self_);
      },
      [this](const rollouts_lost&) {
        probe<"manager: all rollouts are lost with their supervisor">();
        waiting_.insert(waiting_.begin(), running_.begin(), running_.end());
        running_.clear();
        yielding_.clear();
        fill_slots();
      },
      [this](const admission_changed& wish) -> result<done> {
        if (wish.park) park_running(true);
        admit();
        fill_slots();
        return done{};
      },
      [this](const manager_status_request&) {
        return manager_status{admitted_, running_.size(), ctx_->board->confirmed(), parked_.size()};
      },
      resume_handler(),
  };
}

void rollout_manager::recover() {
  read_ledger(
      self_, ctx_,
      [this](const ledger& book) {
        for (const auto& [group, keys] :
             std::exchange(parked_, {})) // every open group's rollouts start again
          for (const auto& key : keys) known_.erase(key);
        admitted_ = std::max(admitted_, book.admitted);
        retired_ = book.retired_groups;
        for (auto group : book.open_groups) { // an earlier life may have died before it could tell
          if (!planted("open_groups_forgotten")) tell_admitted(group, book.group_versions.at(group));
        }
        ready_ = true;
        admit();
        fill_slots();
      },
      [](const error& why) { give_up("reading the ledger", why); });
}

std::uint64_t rollout_manager::window() const {
  const auto per_step = static_cast<std::uint64_t>(ctx_->config.rl.groups_per_step);
  const auto eta = ctx_->config.rl.mode == "sync" ? 0 : static_cast<std::uint64_t>(ctx_->config.rl.eta);
  const auto more = planted("capacity_one_more") ? 1u : 0u;
  return (eta + ctx_->board->confirmed() + 1) * per_step + retired_.size() + more;
}

std::uint64_t rollout_manager::capacity() const {
  const auto all =
      static_cast<std::uint64_t>(ctx_->config.rl.steps * ctx_->config.rl.groups_per_step) + retired_.size();
  const auto in_their_place = std::min<std::uint64_t>(
      parked_.size(), static_cast<std::uint64_t>(ctx_->config.rollout.max_parked_groups));
  return std::min(window() + in_their_place, all);
}

void rollout_manager::readmit_into_room() {
  while (!parked_.empty() && admitted_ - parked_.size() < window()) readmit_oldest();
}

void rollout_manager::readmit_oldest() {
  auto group = parked_.extract(parked_.begin());
  ++readmitting_;
  tell_surely( // before they can park anew
      self_, ctx_, names::replay, std::chrono::seconds(60),
      group_readmitted{group.key(), ctx_->board->confirmed(), derive_seed(self_->id(), ++reports_made_)},
      [this, keys = group.mapped()] {
        --readmitting_;
        waiting_.insert(waiting_.begin(), keys.begin(), keys.end());
        if (may_be_lost(*ctx_, names::replay)) fill_slots();
      },
      [](const error& why) { give_up("telling that a group goes on", why); });
}

void rollout_manager::park_running(bool soon) {
  for (const auto& key : running_)
    if (ctx_->cluster)
      tell(self_, ctx_->names->find(names::cluster), park_remote{key, soon});
    else
      tell_life(self_, ctx_, stream_of(key), ctx_->names->find(stream_of(key)), park_rollout{soon}, [] {});
}

void rollout_manager::admit() {
  if (!ready_ || !*ctx_->admission || admitting_ || admitted_ >= capacity()) return;
  admitting_ = true;
  const auto version = ctx_->board->confirmed();
  const auto first = admitted_, last = capacity();
  append_records message;
  for (auto group = first; group < last; ++group)
    message.records.push_back(admission_record(*ctx_, group, version));
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), std::move(message),
      [this, first, last, version](const std::vector<append_outcome>&) { // MAN-1
        if (buggify<"manager: dies behind an admission">())
          give_up("buggify", {errc::internal, "on purpose"});
        admitting_ = false;
        admitted_ = std::max(admitted_, last);
        for (auto group = first; group < last; ++group) tell_admitted(group, version);
        fill_slots();
        admit();
      },
      [](const error& why) { give_up("committing an admission", why); });
}

void rollout_manager::tell_admitted(std::uint64_t group, std::uint64_t version) {
  tell_surely(
      self_, ctx_, names::replay, std::chrono::seconds(60), group_admitted{group, version},
      [this, group, version] {
        enqueue(group, version);
        if (may_be_lost(*ctx_, names::replay)) fill_slots();
      },
      [](const error& why) { give_up("telling of an admission", why); });
}

void rollout_manager::enqueue(std::uint64_t group, std::uint64_t version) {
  for (std::uint32_t attempt = 0; attempt < static_cast<std::uint32_t>(ctx_->config.rl.group_size);
       ++attempt) {
    const rollout_key key{purpose::train, group, attempt};
    if (known_.emplace(key, known{version}).second) waiting_.push_back(key);
  }
}

result<done> rollout_manager::hold_back() {
  reply<done> answer(self_);
  auto promise = answer.promise();
  if (!ready_) { // which rollouts are newer is in the books
    answer.fail({errc::unavailable, "the manager is reading its ledger"});
    return promise;
  }
  auto open = std::make_shared<std::size_t>(1);
  auto held = [open, answer = std::make_shared<reply<done>>(std::move(answer))] {
    if (--*open == 0) answer->deliver(done{});
  };
  for (const auto& [key, it] : known_) {
    if (it.version <= ctx_->board->confirmed()) continue;
    probe<"manager: a rollout is held back for newer weights">();
    yielding_.erase(key);
    if (running_.erase(key) > 0) waiting_.push_back(key);
    ++*open; // an earlier life may have started it: asked for by name, whether it runs or not
    ask_named(
        self_, ctx_, ctx_->cluster ? names::cluster : names::rollouts, std::chrono::seconds(60),
        stop_child{stream_of(key)}, [held](const done&) { held(); },
        [held](const error& why) {
          if (why.code != errc::not_found) give_up("stopping a rollout", why);
          held();
        });
  }
  held();
  return promise;
}

std::size_t rollout_manager::slots() const {
  const auto all = static_cast<std::size_t>(ctx_->config.rollout.max_concurrent);
  return ctx_->config.rollout.preempt ? all - std::min(all, ctx_->evaluation_slots->load()) : all;
}

void rollout_manager::make_room() {
  if (!ctx_->config.rollout.preempt || running_.size() < slots()) return;
  auto over = running_.size() - yielding_.size();
  over -= std::min(over, slots());
  std::set<rollout_key> older; // than some that run
  for (const auto& key : waiting_)
    if (known_.at(key).version <= ctx_->board->confirmed()) older.insert(key);
  auto next = older.begin();
  for (auto it = running_.rbegin(); it != running_.rend(); ++it) {
    if (yielding_.contains(*it)) {
      if (next != older.end()) ++next; // that slot is for it
      continue;
    }
    if (over == 0 && (next == older.end() || next->group >= it->group)) return;
    over > 0 ? void(--over) : void(++next);
    yielding_.insert(*it);
    if (ctx_->cluster) // MAN-6
      tell(self_, ctx_->names->find(names::cluster), park_remote{*it, false, true});
    else
      tell_life(self_, ctx_, stream_of(*it), ctx_->names->find(stream_of(*it)), yield_slot{}, [] {});
  }
}

void rollout_manager::retry(const rollout_key& key, reply<done> answer) {
  auto shared = std::make_shared<reply<done>>(std::move(answer));
  auto refuse = [shared](const error& why) { shared->fail(why); };
  ask_named(
      self_, ctx_, names::replay, std::chrono::seconds(10), retry_wanted{key},
      [this, key, shared, refuse](const retry_granted& granted) {
        auto start = [this, key, shared, version = granted.version] {
          if (known_.emplace(key, known{version}).second) waiting_.push_front(key);
          shared->deliver(done{});
          fill_slots();
        };
        ask_named( // what is quarantined is forgotten, so that it can start again
            self_, ctx_, ctx_->cluster ? names::cluster : names::rollouts, std::chrono::seconds(10),
            stop_child{stream_of(key)}, [start](const done&) { start(); },
            [start, refuse](const error& why) { why.code == errc::not_found ? start() : refuse(why); });
      },
      refuse);
}

void rollout_manager::fill_slots() {
  const auto weights = ctx_->board->confirmed();
  make_room();
  while (ready_ && *ctx_->admission && running_.size() < slots()) {
    const auto next = std::find_if(waiting_.begin(), waiting_.end(), // MAN-5
                                   [&](const rollout_key& key) { return known_.at(key).version <= weights; });
    if (next == waiting_.end()) {
      if (admitting_ || readmitting_ > 0 || parked_.empty()) return;
      readmit_oldest(); // MAN-4: rather than an idle slot
      continue;
    }
    const auto key = *next;
    waiting_.erase(next);
    running_.insert(key);
    rollout_job job{
        key, shared_task(ctx_, ctx_->train_task(key.group)), {}, known_.at(key).version, names::replay};
    job.sampling.temperature = ctx_->config.rollout.temperature;
    start_rollout(self_, ctx_, job, [this, key](const error& why) {
      tell_surely(self_, ctx_, names::replay, rollout_failed{key, why});
      running_.erase(key);
      known_.erase(key);
      fill_slots();
    });
  }
}

} // namespace troupe

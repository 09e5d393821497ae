#include "actors/fault_injector/fault_injector.hpp"

#include "actors/fault_injector/fault_points.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {
/// A victim that does not come back (a tool call that was over anyway, a rollout in quarantine) is written down after this.
constexpr auto given_up_after = std::chrono::seconds(30);
/// What a strike made others do again shows within this after the recovery.
constexpr auto aftermath = std::chrono::seconds(1);
constexpr auto look_every = std::chrono::milliseconds(500);
constexpr std::size_t most_open = 10'000;

bool has_consequences(fault_kind what) {
  return what <= fault_kind::hang || (what >= fault_kind::enospc && what <= fault_kind::truncate);
}
} // namespace

fault_injector::fault_injector(self_ptr self, context_ptr ctx)
    : self_(self),
      ctx_(std::move(ctx)),
      random_(derive_seed(static_cast<std::uint64_t>(ctx_->config.faults.seed), "fault injector")) {
  started_ = ctx_->time->now();
}

fault_injector::~fault_injector() {
  for (const auto& it : open_) tell(ctx_->names->find(names::store), outcome_of(it));
}

behavior fault_injector::make_behavior() {
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), read_kind{"fault", 0},
      [this](const std::vector<record>& before) { // an earlier life, or an earlier part of the run
        next_ += before.size();
        begin();
      },
      [](const error& why) { give_up("reading the faults so far", why); });
  return {
      [this](const fault_struck& news) { note(news.what.rule, news.what.who, news.at); },
      [this](const fault_added& news) {
        if (const auto it = ctx_->faults->find(news.rule)) arm(it->number, it->rule, true);
      },
      [this](const life_news& news) { hear(news); },
      [this](const fault_effect& news) { take(news); },
      [this](const fault_due& news) { due(news.rule); },
      [this](const tick&) { look(); },
      resume_handler(),
  };
}

void fault_injector::begin() {
  if (!*ctx_->admission) // INJ-3
    return send_later(self_, std::chrono::milliseconds(50), resume_later{[this] { begin(); }});
  started_ = ctx_->time->now();
  ctx_->faults->start();
  for (const auto& it : ctx_->faults->rules()) {
    counted_[it.number] = it.strikes;
    arm(it.number, it.rule, true);
  }
  send_later(self_, look_every, tick{});
}

// -- timed rules -------------------------------------------------------------------------------------------------------------

void fault_injector::arm(std::uint64_t number, const fault_rule& rule, bool first) {
  if (!rule.by_time()) return;
  duration in = rule.every;
  if (rule.rate > 0) in = from_seconds(-std::log1p(-random_.uniform()) / rule.rate);
  if (rule.every == duration(0) && rule.rate == 0) { // once
    if (!first) return;
    in = rule.after;
  } else if (first) {
    in += rule.after;
  }
  send_later(self_, in, fault_due{number});
}

void fault_injector::due(std::uint64_t number) {
  const auto found = ctx_->faults->find(number);
  if (!found) return; // removed meanwhile
  if (found->rule.until > duration(0) && found->begun &&
      ctx_->time->now() - *found->begun >= found->rule.until)
    return; // over for good
  arm(number, found->rule, false);
  if (found->rule.what == fault_kind::jump) {
    if (ctx_->wall_clock) ctx_->wall_clock->jump(found->rule.length);
    ctx_->faults->count(number);
    return note(found->rule, "clock", ctx_->time->now());
  }
  std::vector<std::string> victims;
  for (auto& name : ctx_->names->names())
    if (name != names::faults && name != names::health && found->rule.matches(name) &&
        ctx_->faults->may_strike(*found, name))
      victims.push_back(std::move(name));
  if (victims.empty()) return;
  ctx_->faults->count(number);
  hit(found->rule, victims[random_.below(victims.size())]);
}

void fault_injector::hit(const fault_rule& rule, const std::string& victim) {
  const auto who = ctx_->names->find(victim);
  if (!who) return;
  note(rule, victim, ctx_->time->now());
  switch (rule.what) {
  case fault_kind::kill: return kill(who);
  case fault_kind::raise: return tell(self_, who, inject_throw{"injected: " + rule.text});
  case fault_kind::stall: return tell(self_, who, inject_stall{rule.length});
  case fault_kind::hang: return tell(self_, who, inject_stall{});
  default: break; // at points, of messages, of the clock
  }
}

// -- what came of them ---------------------------------------------------------------------------------------------------------

void fault_injector::note(const fault_rule& rule, const std::string& who, duration at, std::uint64_t count) {
  strike it{next_++, rule, who, at, {}, {}, 0, 0};
  json::object body{{"rule", rule.text},
                    {"what", to_string(rule.what)},
                    {"who", who},
                    {"point", rule.point},
                    {"at_seconds", seconds(at - started_)}};
  if (count > 1) body["count"] = count;
  write(record_of("fault", it, std::move(body)));
  if (!has_consequences(rule.what)) return;
  if (rule.what == fault_kind::enospc || rule.what == fault_kind::eio)
    it.detected = duration(0); // an error is an answer
  open_.push_back(std::move(it));
  if (open_.size() > most_open) {
    settle(open_.front());
    open_.pop_front();
  }
}

void fault_injector::hear(const life_news& news) {
  for (auto& it : open_) {
    const bool its =
        it.who == news.child || news.child.starts_with(it.who + "/"); // a tool call has a longer name
    if (!its || news.at < it.at || it.recovered) continue;
    if (!it.detected) it.detected = news.at - it.at;
    if (news.kind == supervision_kind::restarted) it.recovered = news.at - it.at;
  }
}

void fault_injector::take(const fault_effect& news) {
  using kind = fault_effect::kind;
  if (news.what == kind::turn_redone || news.what == kind::step_redone) {
    if (auto* it = cause(news)) ++(news.what == kind::turn_redone ? it->turns : it->steps);
    return;
  }
  for (auto& it : open_) {
    const bool data = it.rule.what >= fault_kind::enospc && it.rule.what <= fault_kind::truncate;
    if (!data || it.who != news.who || it.recovered || news.at < it.at) continue;
    if (!it.detected) it.detected = news.at - it.at;
    const bool file =
        it.rule.what == fault_kind::truncate ||
        (it.rule.what == fault_kind::flip && !it.rule.point.empty() && it.who == names::learner);
    if (news.what == kind::recovered || file)
      it.recovered = news.at - it.at; // a damaged file is passed over when it is found
  }
}

fault_injector::strike* fault_injector::cause(const fault_effect& news) {
  const std::string shared[] = {news.who, names::engine, names::rollouts, names::store, names::learner};
  for (const auto& who : shared)
    for (auto it = open_.rbegin(); it != open_.rend(); ++it)
      if (it->who == who && it->at <= news.at) return &*it;
  return open_.empty() ? nullptr : &open_.back();
}

void fault_injector::look() {
  send_later(self_, look_every, tick{});
  count_messages();
  const auto now = ctx_->time->now();
  std::erase_if(open_, [&](const strike& it) {
    const bool known = it.recovered && now - it.at - *it.recovered >= aftermath;
    if (!known && now - it.at < given_up_after) return false;
    settle(it);
    return true;
  });
}

void fault_injector::count_messages() {
  for (const auto& it : ctx_->faults->rules()) {
    auto& counted = counted_[it.number];
    if (!it.rule.of_messages() || it.strikes == counted) continue;
    note(it.rule, it.rule.from + "->" + it.rule.whom, ctx_->time->now(),
         it.strikes - std::exchange(counted, it.strikes));
  }
}

void fault_injector::settle(const strike& what) { write(outcome_of(what)); }

append_records fault_injector::outcome_of(const strike& what) {
  json::object body{{"turns_redone", what.turns}, {"steps_redone", what.steps}};
  if (what.detected) body["detected_ms"] = 1e3 * seconds(*what.detected);
  if (what.recovered) body["recovered_ms"] = 1e3 * seconds(*what.recovered);
  return record_of("fault_outcome", what, std::move(body));
}

append_records fault_injector::record_of(std::string kind, const strike& what, json::object body) {
  const auto number = std::to_string(what.number);
  body["number"] = what.number;
  auto key = kind + "/" + number;
  return {{{"fault", std::move(kind), std::move(key), json::dump(body)}}};
}

void fault_injector::write(append_records what) {
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60), std::move(what),
      [](const std::vector<append_outcome>&) {},
      [](const error&) {}); // conflict: numbered by a life that died
}

} // namespace troupe

#include "actors/fault_injector/fault_injector.hpp"

#include "actors/fault_injector/fault_points.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

namespace {
/// A victim that does not come back (a tool call that was over anyway, a rollout in quarantine) is written down after this.
constexpr auto given_up_after = std::chrono::seconds(30);
} // namespace

fault_injector::fault_injector(self_ptr self, context_ptr ctx)
    : self_(self),
      ctx_(std::move(ctx)),
      random_(derive_seed(static_cast<std::uint64_t>(ctx_->config.faults.seed), "fault injector")) {
  started_ = ctx_->time->now();
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
      [this](const life_news& news) { hear(news); },
      [this](const fault_due& news) { due(news.rule); },
      resume_handler(),
  };
}

void fault_injector::begin() {
  if (!*ctx_->admission) // INJ-3
    return send_later(self_, std::chrono::milliseconds(50), resume_later{[this] { begin(); }});
  started_ = ctx_->time->now();
  for (const auto& [number, rule] : ctx_->faults->rules()) arm(number, rule, true);
}

// -- timed rules -------------------------------------------------------------------------------------------------------------

void fault_injector::arm(std::uint64_t number, const fault_rule& rule, bool first) {
  if (!rule.point.empty()) return;
  duration in = rule.every;
  if (rule.rate > 0) in = from_seconds(-std::log1p(-random_.uniform()) / rule.rate);
  if (rule.after > duration(0)) {
    if (!first) return;
    in = rule.after;
  }
  send_later(self_, in, fault_due{number});
}

void fault_injector::due(std::uint64_t number) {
  const auto rules = ctx_->faults->rules();
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const auto& r) { return r.first == number; });
  if (found == rules.end()) return; // removed meanwhile
  arm(number, found->second, false);
  std::erase_if(open_, [&](const strike& it) {
    if (ctx_->time->now() - it.at < given_up_after) return false;
    settle(it);
    return true;
  });
  std::vector<std::string> victims;
  for (auto& name : ctx_->names->names())
    if (name != names::faults && name != names::health && found->second.matches(name))
      victims.push_back(std::move(name));
  if (victims.empty()) return;
  hit(found->second, victims[random_.below(victims.size())]);
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
  case fault_kind::fail:
  case fault_kind::garbage:
  case fault_kind::slow: break; // at points only
  }
}

// -- what came of them ---------------------------------------------------------------------------------------------------------

void fault_injector::note(const fault_rule& rule, const std::string& who, duration at) {
  strike it{next_++, rule, who, at, {}, {}};
  const bool ends_it = rule.what <= fault_kind::hang;
  if (ends_it)
    open_.push_back(std::move(it));
  else
    settle(it);
}

void fault_injector::hear(const life_news& news) {
  for (auto it = open_.begin(); it != open_.end();) {
    if (it->who != news.child || news.at < it->at) {
      ++it;
      continue;
    }
    if (news.kind == supervision_kind::restarted) {
      if (!it->detected) it->detected = news.at - it->at;
      it->recovered = news.at - it->at;
      settle(*it);
      it = open_.erase(it);
      continue;
    }
    if (!it->detected) it->detected = news.at - it->at;
    ++it;
  }
}

void fault_injector::settle(const strike& what) {
  json::object body{{"rule", what.rule.text},
                    {"what", to_string(what.rule.what)},
                    {"who", what.who},
                    {"point", what.rule.point},
                    {"at_seconds", seconds(what.at - started_)}};
  if (what.detected) body["detected_ms"] = 1e3 * seconds(*what.detected);
  if (what.recovered) body["recovered_ms"] = 1e3 * seconds(*what.recovered);
  ask_named(
      self_, ctx_, names::store, std::chrono::seconds(60),
      append_records{{{"fault", "fault", "fault/" + std::to_string(what.number), json::dump(body)}}},
      [](const std::vector<append_outcome>&) {},
      [](const error&) {}); // conflict: numbered by a life that died
}

} // namespace troupe

#include "runtime/fault_plan.hpp"

#include "runtime/base/random.hpp"

#include <algorithm>
#include <charconv>

namespace troupe {

namespace {

/// "rollout/t3.1", "tool/t3.1/0/2@17": 1.
std::optional<int> attempt_of(std::string_view who) {
  const auto first = who.find('/');
  if (first == std::string_view::npos) return {};
  auto key = who.substr(first + 1);
  key = key.substr(0, key.find('/'));
  const auto dot = key.rfind('.');
  if (dot == std::string_view::npos) return {};
  int out = 0;
  const auto [end, bad] = std::from_chars(key.data() + dot + 1, key.data() + key.size(), out);
  return bad == std::errc{} && end == key.data() + key.size() ? std::optional(out) : std::nullopt;
}

std::string_view kind_of(std::string_view state, const fault_targets& targets) {
  for (const auto& [name, kind] : targets.states)
    if (name == state) return kind;
  return state;
}

/// `end` of a rule for messages against the kind of an actor; supervisors all have the same kind.
bool is_end(const std::string& end, std::string_view kind, const fault_targets& targets) {
  if (end == "any")
    return std::find(targets.kinds.begin(), targets.kinds.end(), kind) != targets.kinds.end() ||
           kind == "supervisor";
  return end == kind || (kind == "supervisor" && (end == "tools" || end == "rollouts"));
}

} // namespace

std::uint64_t fault_plan::add(fault_rule rule) {
  std::scoped_lock lock(mutex_);
  count_sites(rule, 1);
  entry it{next_, std::move(rule), 0, 0, {}};
  if (started_ && time_) it.begun = time_->now();
  entries_.push_back(std::move(it));
  return next_++;
}

void fault_plan::count_sites(const fault_rule& rule, int by) {
  if (!rule.point.empty()) at_points_ += by;
  if (rule.of_messages()) of_messages_ += by;
}

bool fault_plan::remove(std::uint64_t number) {
  std::scoped_lock lock(mutex_);
  const auto gone = std::erase_if(entries_, [&](const entry& e) {
    if (e.number != number) return false;
    count_sites(e.rule, -1);
    return true;
  });
  return gone > 0;
}

std::vector<fault_plan::entry> fault_plan::rules() const {
  std::scoped_lock lock(mutex_);
  return entries_;
}

std::optional<fault_plan::entry> fault_plan::find(std::uint64_t number) const {
  std::scoped_lock lock(mutex_);
  for (const auto& e : entries_)
    if (e.number == number) return e;
  return {};
}

void fault_plan::start() {
  std::scoped_lock lock(mutex_);
  if (std::exchange(started_, true) || !time_) return;
  for (auto& e : entries_) e.begun = time_->now();
}

std::uint64_t fault_plan::count(std::uint64_t number) {
  std::scoped_lock lock(mutex_);
  for (auto& e : entries_)
    if (e.number == number) return ++e.strikes;
  return 0;
}

bool fault_plan::in_time(const entry& it) const {
  if (it.rule.after == duration(0) && it.rule.until == duration(0))
    return !it.rule.of_messages() || started_ || !time_;
  if (!it.begun || !time_) return false;
  const auto age = time_->now() - *it.begun;
  return age >= it.rule.after && (it.rule.until == duration(0) || age < it.rule.until);
}

bool fault_plan::may_strike(const entry& it, std::string_view who) const {
  if (!in_time(it)) return false;
  if (it.rule.attempts) {
    const auto attempt = attempt_of(who);
    if (!attempt || *attempt >= it.rule.attempts) return false;
  }
  return it.rule.of >= 1 || uniform_at(derive_seed(seed_, who), it.number, 0) < it.rule.of;
}

bool fault_plan::strikes(entry& it) { // FAULT-2
  const auto n = ++it.reached;
  const bool yes = it.rule.nth    ? n == it.rule.nth
                   : it.rule.each ? n % it.rule.each == 0
                                  : uniform_at(seed_, it.number, n) < it.rule.share;
  it.strikes += yes;
  return yes;
}

std::optional<fault_strike> fault_plan::reach(std::string_view whom, std::string_view point,
                                              const std::string& who) {
  if (at_points_.load(std::memory_order_relaxed) == 0) return {}; // FAULT-1
  std::optional<fault_strike> struck;
  {
    std::scoped_lock lock(mutex_);
    for (auto& e : entries_) {
      if (e.rule.point != point || (e.rule.whom != whom && !e.rule.matches(who))) continue;
      if (!may_strike(e, who) || !strikes(e)) continue;
      struck = {e.rule, who, e.strikes};
      break;
    }
  }
  if (!struck) return {};
  if (on_strike) on_strike(*struck);
  if (struck->rule.what == fault_kind::kill || struck->rule.what == fault_kind::raise)
    throw injected_fault("injected at " + std::string(point) + ": " + struck->rule.text);
  return struck;
}

message_fate fault_plan::fate(std::string_view from, std::string_view to) {
  if (of_messages_.load(std::memory_order_relaxed) == 0) return {}; // FAULT-1
  from = kind_of(from, targets_);
  to = kind_of(to, targets_);
  std::scoped_lock lock(mutex_);
  for (auto& e : entries_) {
    if (!e.rule.of_messages() || !in_time(e) || !is_end(e.rule.from, from, targets_) ||
        !is_end(e.rule.whom, to, targets_) || !strikes(e))
      continue;
    using kind = message_fate::what;
    switch (e.rule.what) {
    case fault_kind::drop: return {kind::drop, {}};
    case fault_kind::duplicate: return {kind::duplicate, {}};
    case fault_kind::delay: return {kind::delay, e.rule.length};
    default: return {kind::reorder, std::chrono::milliseconds(50)};
    }
  }
  return {};
}

std::uint64_t fault_plan::draw(const fault_strike& strike) const {
  return derive_seed(derive_seed(derive_seed(seed_, strike.rule.text), strike.who), strike.n);
}

} // namespace troupe

#include "runtime/fault_plan.hpp"

#include "runtime/base/random.hpp"

namespace troupe {

std::uint64_t fault_plan::add(fault_rule rule) {
  std::scoped_lock lock(mutex_);
  at_points_ += !rule.point.empty();
  entries_.push_back({next_, 0, std::move(rule)});
  return next_++;
}

bool fault_plan::remove(std::uint64_t number) {
  std::scoped_lock lock(mutex_);
  const auto gone = std::erase_if(entries_, [&](const entry& e) {
    if (e.number != number) return false;
    at_points_ -= !e.rule.point.empty();
    return true;
  });
  return gone > 0;
}

std::vector<std::pair<std::uint64_t, fault_rule>> fault_plan::rules() const {
  std::scoped_lock lock(mutex_);
  std::vector<std::pair<std::uint64_t, fault_rule>> out;
  for (const auto& e : entries_) out.emplace_back(e.number, e.rule);
  return out;
}

std::optional<fault_rule> fault_plan::reach(std::string_view whom, std::string_view point,
                                            const std::string& who) {
  if (at_points_.load(std::memory_order_relaxed) == 0) return {}; // FAULT-1
  std::optional<fault_rule> struck;
  {
    std::scoped_lock lock(mutex_);
    for (auto& e : entries_) {
      if (e.rule.point != point || (e.rule.whom != whom && !e.rule.matches(who))) continue;
      const auto n = ++e.reached;
      const bool strikes =
          e.rule.nth ? n % e.rule.nth == 0 : uniform_at(seed_, e.number, n) < e.rule.share; // FAULT-2
      if (!strikes) continue;
      struck = e.rule;
      break;
    }
  }
  if (!struck) return {};
  if (on_strike) on_strike({*struck, who});
  if (struck->what == fault_kind::kill || struck->what == fault_kind::raise)
    throw injected_fault("injected at " + std::string(point) + ": " + struck->text);
  return struck;
}

} // namespace troupe

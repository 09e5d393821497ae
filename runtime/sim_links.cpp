#include "runtime/sim_links.hpp"

#include <algorithm>
#include <cmath>

namespace troupe {

void sim_links::block(std::uint32_t from, std::uint32_t to) { ++blocked_[{from, to}]; }

void sim_links::unblock(std::uint32_t from, std::uint32_t to, duration now) {
  const auto found = blocked_.find({from, to});
  if (found == blocked_.end() || --found->second > 0) return;
  blocked_.erase(found);
  if (auto waited = waiting_.extract({from, to}))
    for (auto& one : waited.mapped()) put(now, std::move(one), false);
}

void sim_links::unblock_all(duration now) {
  while (!blocked_.empty()) {
    const auto [from, to] = blocked_.begin()->first;
    blocked_.begin()->second = 1;
    unblock(from, to, now);
  }
}

duration sim_links::up_to(duration most) {
  return duration(
      static_cast<duration::rep>(std::floor(static_cast<double>(most.count()) * random_.uniform())));
}

void sim_links::send(duration now, end from, end to, caf::strong_actor_ptr whom,
                     caf::mailbox_element_ptr what) {
  ++sent_;
  if (faults_.lost > 0 && random_.chance(faults_.lost)) {
    ++lost_;
    return;
  }
  if (faults_.twice > 0 && random_.chance(faults_.twice)) {
    ++doubled_;
    parcel copy{
        from, to, whom,
        caf::make_mailbox_element(what->sender, what->mid, what->stages, what->copy_content_to_message())};
    put(now, std::move(copy), true);
  }
  const bool late = faults_.overtaken > 0 && random_.chance(faults_.overtaken);
  overtaken_ += late;
  put(now, {from, to, std::move(whom), std::move(what)}, late);
}

void sim_links::put(duration now, parcel what, bool late) {
  const line over{what.from.node, what.to.node};
  auto due = now + faults_.delay + up_to(faults_.jitter);
  if (late)
    due += up_to(faults_.late_by);
  else {
    auto& last = last_[over]; // LINK-1
    due = last = std::max(last, due);
  }
  on_the_way_.emplace(due, std::move(what));
}

std::optional<duration> sim_links::next_due() const {
  if (on_the_way_.empty()) return std::nullopt;
  return on_the_way_.begin()->first;
}

std::optional<sim_links::parcel> sim_links::take_due(duration now) {
  while (!on_the_way_.empty() && on_the_way_.begin()->first <= now) {
    auto it = std::move(on_the_way_.begin()->second);
    on_the_way_.erase(on_the_way_.begin());
    if (!blocked(it.from.node, it.to.node)) return it;
    if (random_.chance(0.5)) // LINK-2
      ++lost_;
    else
      waiting_[{it.from.node, it.to.node}].push_back(std::move(it));
  }
  return std::nullopt;
}

} // namespace troupe

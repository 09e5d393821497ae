#include "sim/weather.hpp"

#include <cmath>

namespace troupe::sim {

weather::weather(const drawn_world& drawn, std::uint64_t seed, duration start, sim_nodes& nodes, power what)
    : drawn_(drawn),
      random_(derive_seed(seed, "weather")),
      nodes_(nodes),
      power_(std::move(what)),
      start_(start) {
  link_faults links;
  links.delay = from_seconds(drawn.delay);
  links.jitter = from_seconds(drawn.jitter);
  links.lost = drawn.lost;
  links.twice = drawn.twice;
  links.overtaken = drawn.overtaken;
  links.late_by = from_seconds(drawn.overtaken_by);
  nodes_.links().weather(links);
  every(drawn.partition, [this](duration now) { partition(now); });
  every(drawn.crash, [this](duration now) { crash(any_worker(), now); });
  every(drawn.head_crash, [this](duration now) { crash(head, now); });
  every(drawn.pause, [this](duration now) { pause(now); });
  every(drawn.clock_jump, [this](duration) {
    ++seen_.jumps;
    const auto node =
        static_cast<sim_nodes::node_id>(1 + random_.below(static_cast<std::uint64_t>(drawn_.workers) + 1));
    power_.jump_clock(node, from_seconds(drawn_.clock_jump_by * (2 * random_.uniform() - 1)));
  });
}

duration weather::next() const { return plan_.empty() ? duration::max() : plan_.begin()->first; }

void weather::strike(duration now) {
  while (!plan_.empty() && plan_.begin()->first <= now) {
    auto what = std::move(plan_.begin()->second);
    plan_.erase(plan_.begin());
    what(now);
  }
}

void weather::every(double rate, const std::function<void(duration)>& what) {
  if (rate <= 0) return;
  struct repeated {
    static void plan(weather& in, duration from, double rate, const std::function<void(duration)>& what) {
      const auto wait = from_seconds(-std::log(in.random_.uniform()) / rate);
      in.at(from + wait, [&in, rate, what](duration now) {
        if (in.quiet_) return;
        what(now);
        plan(in, now, rate, what);
      });
    }
  };
  repeated::plan(*this, start_, rate, what);
}

sim_nodes::node_id weather::any_worker() {
  return static_cast<sim_nodes::node_id>(2 + random_.below(static_cast<std::uint64_t>(drawn_.workers)));
}

void weather::cut(sim_nodes::node_id from, sim_nodes::node_id to, duration now, duration length) {
  nodes_.links().block(from, to);
  at(now + length, [this, from, to](duration then) {
    if (!quiet_) nodes_.links().unblock(from, to, then);
  });
}

void weather::partition(duration now) {
  ++seen_.partitions;
  const auto length = some(drawn_.partition_for);
  const auto one = any_worker();
  auto whole = [this](sim_nodes::node_id node, duration when, duration how_long) {
    cut(node, head, when, how_long);
    cut(head, node, when, how_long);
  };
  switch (random_.below(5)) {
  case 0: // one node alone
    whole(one, now, length);
    outages_.push_back({one, now, now + length});
    break;
  case 1: // it is heard and hears nothing, or the other way round
    random_.chance(0.5) ? cut(one, head, now, length) : cut(head, one, now, length);
    break;
  case 2: // the head alone, but for a bridge of one node
    for (std::int64_t w = 0; w < drawn_.workers; ++w)
      if (const auto node = static_cast<sim_nodes::node_id>(2 + w); node != one) whole(node, now, length);
    break;
  case 3: // on and off
    for (duration t{0}; t < length; t += std::chrono::seconds(1))
      at(now + t, [this, one, whole](duration then) {
        if (!quiet_) whole(one, then, std::chrono::milliseconds(500));
      });
    break;
  default: // clogged one after the other, and opened in another order
    for (std::int64_t w = 0; w < drawn_.workers; ++w) {
      const auto begin = from_seconds(seconds(length) * random_.uniform());
      at(now + begin, [this, node = static_cast<sim_nodes::node_id>(2 + w), whole,
                       rest = some(drawn_.partition_for)](duration then) {
        if (!quiet_) whole(node, then, rest);
      });
    }
  }
}

void weather::crash(sim_nodes::node_id node, duration now) {
  if (!nodes_.up(node)) return;
  ++seen_.crashes;
  const auto length = some(drawn_.down_for);
  down_[node] = now;
  power_.lose(node);
  outages_.push_back({node, now, now + length});
  at(now + length, [this, node](duration) {
    if (down_.erase(node) > 0) power_.boot(node);
  });
}

void weather::pause(duration now) {
  const auto node =
      static_cast<sim_nodes::node_id>(1 + random_.below(static_cast<std::uint64_t>(drawn_.workers) + 1));
  if (!nodes_.up(node) || nodes_.paused(node)) return;
  ++seen_.pauses;
  const auto length = some(drawn_.pause_for);
  nodes_.pause(node);
  outages_.push_back({node, now, now + length});
  at(now + length, [this, node](duration) { nodes_.resume(node); });
}

void weather::calm(duration now) {
  if (std::exchange(quiet_, true)) return;
  for (auto& one : outages_) one.to = std::min(one.to, now);
  auto links = nodes_.links().weather();
  links.lost = links.twice = links.overtaken = 0;
  nodes_.links().weather(links);
  nodes_.links().unblock_all(now);
  for (sim_nodes::node_id node = 1; node <= static_cast<sim_nodes::node_id>(drawn_.workers) + 1; ++node) {
    nodes_.resume(node);
    if (down_.erase(node) > 0) power_.boot(node);
  }
}

} // namespace troupe::sim

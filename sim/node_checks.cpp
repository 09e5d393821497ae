#include "sim/node_checks.hpp"

#include <algorithm>

namespace troupe::sim {

namespace {

using finding = std::optional<std::string>;

std::uint64_t number(const json::value& of) { return of.to_number<std::uint64_t>(); }

std::uint64_t field(const record& r, std::string_view key) {
  return number(json::parse(r.body)->get_object().at(key));
}

/// The epochs of an outage's node that were alive when it began.
std::vector<const evidence::epoch_life*> struck(const evidence& of, const weather::outage& by) {
  std::vector<const evidence::epoch_life*> out;
  for (const auto& [epoch, life] : of.epochs)
    if (life.node == "w" + std::to_string(by.node) && life.from <= by.from &&
        (!life.to || *life.to > by.from))
      out.push_back(&life);
  return out;
}

bool head_is_well(const evidence& of, duration from, duration to) {
  return std::none_of(of.outages.begin(), of.outages.end(), [&](const weather::outage& it) {
    return it.node == weather::head && it.from <= to && it.to + std::chrono::seconds(2) >= from;
  });
}

} // namespace

std::optional<std::string> fencing_holds(const evidence& of) {
  if (of.drawn.workers == 0) return {};
  std::map<std::uint64_t, std::uint64_t> fenced; // epoch, seq of its fence
  for (const auto& r : of.fences) fenced.emplace(field(r, "epoch"), r.seq);
  std::map<std::string, std::vector<std::pair<std::uint64_t, std::uint64_t>>> placed; // (seq, number)
  for (const auto& r : of.placements) placed[r.stream].emplace_back(r.seq, field(r, "number"));
  for (const auto& [stream, records] : of.rollouts)
    for (const auto& r : records) {
      const auto body = json::parse(r.body)->get_object();
      const auto* by = body.if_contains("placed");
      if (!by) {
        if (r.kind == "failed" || r.kind == "started")
          continue; // the head gave it up; the same whoever starts it
        return r.key + " does not say by which placement it was written";
      }
      const auto epoch = number(by->get_array()[0]), placement = number(by->get_array()[1]);
      if (const auto fence = fenced.find(epoch); fence != fenced.end() && fence->second < r.seq)
        return r.key + " was taken in from epoch " + std::to_string(epoch) + " after its fence";
      std::uint64_t newest = 0;
      for (const auto& [seq, n] : placed[stream])
        if (seq < r.seq) newest = std::max(newest, n);
      if (placement != newest)
        return r.key + " was taken in from placement " + std::to_string(placement) + ", expected placement " +
               std::to_string(newest);
    }
  return {};
}

std::optional<std::string> leases_hold(const evidence& of) {
  for (const auto& [epoch, life] : of.epochs)
    if (life.to && life.sampled && *life.sampled > *life.to)
      return "node " + life.node + " sampled " + std::to_string(seconds(*life.sampled - *life.to)) +
             " s after its epoch " + std::to_string(epoch) + " was fenced";
  return {};
}

std::vector<double> detection_times(const evidence& of) {
  std::vector<double> out;
  for (const auto& it : of.outages) {
    if (it.node == weather::head || it.to - it.from < std::chrono::seconds(2)) continue;
    if (!head_is_well(of, it.from, it.from + std::chrono::seconds(2))) continue;
    for (const auto* life : struck(of, it))
      if (life->to) out.push_back(seconds(*life->to - it.from));
  }
  return out;
}

std::optional<std::string> losses_are_seen(const evidence& of) {
  const auto most = std::chrono::milliseconds(1500) + 2 * from_seconds(of.drawn.delay + of.drawn.jitter);
  for (const auto& it : of.outages) {
    if (it.node == weather::head || it.to - it.from < std::chrono::seconds(2)) continue;
    if (!head_is_well(of, it.from, it.from + std::chrono::seconds(2))) continue;
    if (of.ended && it.from + std::chrono::seconds(2) > of.virtual_time + std::chrono::hours(1)) continue;
    for (const auto* life : struck(of, it))
      if (!life->to || *life->to - it.from > most)
        return "node " + life->node + " was gone at " + std::to_string(seconds(it.from)) + " s and fenced " +
               (life->to ? std::to_string(seconds(*life->to - it.from)) + " s later" : std::string("never")) +
               ", expected within " + std::to_string(seconds(most)) + " s";
  }
  return {};
}

} // namespace troupe::sim

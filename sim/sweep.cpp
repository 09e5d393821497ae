#include "sim/sweep.hpp"

#include "sim/checks.hpp"
#include "sim/node_checks.hpp"
#include "sim/run.hpp"
#include <atomic>
#include <mutex>
#include <thread>

namespace troupe::sim {

namespace {

/// A record that a check cannot read is a finding, too.
std::optional<std::string> look(std::string_view check, const evidence& found) {
  try {
    return find_check(check)->look(found);
  } catch (const std::exception& e) {
    return std::string("a record is not what it should be: ") + e.what();
  }
}

} // namespace

std::optional<broken_seed> try_seed(const world& what, std::uint64_t seed, sweep_result& sum) {
  const auto drawn = what.draw(seed);
  const auto found = run_seed(drawn, seed);
  broken_seed broken{seed, {}, drawn.to_json()};
  for (const auto& name : what.checks)
    if (auto wrong = look(name, found)) broken.findings.emplace_back(name, std::move(*wrong));
  ++sum.seeds;
  sum.deliveries += found.deliveries;
  sum.kills += found.kills;
  sum.cuts += found.cuts;
  sum.stalls += found.stalls;
  sum.disk_full += found.disk_full;
  sum.damaged += found.damaged;
  sum.partitions += found.weather_seen.partitions;
  sum.node_crashes += found.weather_seen.crashes;
  sum.node_pauses += found.weather_seen.pauses;
  sum.clock_jumps += found.weather_seen.jumps;
  sum.messages_lost += found.messages_lost;
  sum.messages_twice += found.messages_twice;
  sum.messages_overtaken += found.messages_overtaken;
  if (drawn.workers > 0) sum.detections = detection_times(found);
  sum.virtual_seconds += seconds(found.virtual_time);
  for (const auto& [point, times] : found.reached) sum.reached[point] += times;
  sum.trace = derive_seed(seed, found.trace);
  if (broken.findings.empty()) return std::nullopt;
  return broken;
}

void sweep_result::add(const sweep_result& other) {
  for (auto member :
       {&sweep_result::seeds, &sweep_result::deliveries, &sweep_result::kills, &sweep_result::cuts,
        &sweep_result::stalls, &sweep_result::disk_full, &sweep_result::damaged, &sweep_result::partitions,
        &sweep_result::node_crashes, &sweep_result::node_pauses, &sweep_result::clock_jumps,
        &sweep_result::messages_lost, &sweep_result::messages_twice, &sweep_result::messages_overtaken})
    this->*member += other.*member;
  detections.insert(detections.end(), other.detections.begin(), other.detections.end());
  virtual_seconds += other.virtual_seconds;
  for (const auto& [point, times] : other.reached) reached[point] += times;
}

sweep_result sweep(const world& what, std::uint64_t first, std::uint64_t last, int threads,
                   const std::function<void(std::uint64_t done)>& told) {
  std::atomic<std::uint64_t> next{first}, stop_at{last};
  std::mutex guard;
  sweep_result all;
  std::map<std::uint64_t, std::uint64_t> traces;
  auto work = [&] {
    for (auto seed = next++; seed <= stop_at; seed = next++) {
      sweep_result one;
      auto broken = try_seed(what, seed, one);
      std::scoped_lock lock(guard);
      all.add(one);
      traces[seed] = one.trace;
      if (broken && (!all.broken || seed < all.broken->seed)) {
        stop_at = seed; // those below it still run: the lowest is named
        all.broken = std::move(broken);
      }
      if (told) told(all.seeds);
    }
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (auto& other : others) other.join();
  for (const auto& [seed, trace] : traces)
    if (seed <= stop_at) all.trace = derive_seed(all.trace, trace);
  return all;
}

} // namespace troupe::sim

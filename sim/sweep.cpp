#include "sim/sweep.hpp"

#include "sim/checks.hpp"
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
  sum.virtual_seconds += seconds(found.virtual_time);
  for (const auto& [point, times] : found.reached) sum.reached[point] += times;
  sum.trace = derive_seed(seed, found.trace);
  if (broken.findings.empty()) return std::nullopt;
  return broken;
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
      all.seeds += one.seeds;
      all.deliveries += one.deliveries;
      all.kills += one.kills;
      all.cuts += one.cuts;
      all.stalls += one.stalls;
      all.disk_full += one.disk_full;
      all.damaged += one.damaged;
      all.virtual_seconds += one.virtual_seconds;
      for (const auto& [point, times] : one.reached) all.reached[point] += times;
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

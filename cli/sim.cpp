#include "cli/commands.hpp"
#include "cli/number_range.hpp"
#include "cli/tables.hpp"
#include "runtime/base/buggify.hpp"
#include "runtime/base/clock.hpp"
#include "runtime/base/nearest.hpp"
#include "runtime/log.hpp"
#include "sim/checks.hpp"
#include "sim/plants.hpp"
#include "sim/run.hpp"
#include "sim/sweep.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <unistd.h>

namespace troupe::cli {

namespace {

int list(const std::filesystem::path& folder, bool as_json) {
  auto worlds = sim::all_worlds(folder);
  if (!worlds) return complain(worlds.error());
  if (as_json) {
    json::array out, checks;
    for (const auto& [name, what] : *worlds)
      out.push_back(json::object{{"name", name},
                                 {"about", what.about},
                                 {"checks", json::array(what.checks.begin(), what.checks.end())},
                                 {"seeds", what.seeds}});
    for (const auto& check : sim::all_checks())
      checks.push_back(json::object{{"name", check.name}, {"says", check.says}});
    json::array plants;
    for (const auto& it : sim::all_plants())
      plants.push_back(json::object{{"name", it.name}, {"says", it.says}});
    std::cout << json::dump(json::object{{"worlds", std::move(out)},
                                         {"checks", std::move(checks)},
                                         {"plants", std::move(plants)}})
              << '\n';
    return ok;
  }
  for (const auto& [name, what] : *worlds) std::cout << name << "\n    " << what.about << '\n';
  std::cout << "\nchecks, by name:\n";
  for (const auto& check : sim::all_checks()) std::cout << "    " << check.name << ": " << check.says << '\n';
  std::cout << "\nbugs that can be planted (--plant), to see that they are found:\n";
  for (const auto& it : sim::all_plants()) std::cout << "    " << it.name << ": " << it.says << '\n';
  return ok;
}

int trace(const sim::world& what, number_range seeds) {
  for (auto seed = seeds.first; seed <= seeds.last; ++seed) {
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed),
                json::dump(what.draw(seed).to_json()).c_str());
    const auto found = sim::run_seed(what.draw(seed), seed, [](const delivery& d) {
      std::printf("%14.6f s  %s#%llu  %s\n", seconds(d.at - std::chrono::hours(1)), d.name,
                  static_cast<unsigned long long>(d.actor), d.message.c_str());
    });
    std::printf("seed %llu: trace %016llx, %zu deliveries, %zu kills, %zu power cuts\n",
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(found.trace),
                found.deliveries, found.kills, found.cuts);
  }
  return ok;
}

std::string replay_command(const std::string& name, std::uint64_t seed) {
  return "troupe sim " + name + " --seeds " + std::to_string(seed) + ".." + std::to_string(seed) + " --trace";
}

struct time_spent {
  double real = 0, cpu = 0;
};

json::object to_json(const std::string& name, const sim::sweep_result& result, const time_spent& spent) {
  json::object out{{"world", name},
                   {"seeds", result.seeds},
                   {"seconds", spent.real},
                   {"seeds_per_second", static_cast<double>(result.seeds) / spent.real},
                   {"virtual_seconds", result.virtual_seconds},
                   {"virtual_per_real", result.virtual_seconds / spent.real},
                   {"deliveries", result.deliveries},
                   {"kills", result.kills},
                   {"power_cuts", result.cuts},
                   {"stalls", result.stalls},
                   {"disk_full", result.disk_full},
                   {"damaged_checkpoints", result.damaged},
                   {"partitions", result.partitions},
                   {"node_crashes", result.node_crashes},
                   {"node_pauses", result.node_pauses},
                   {"clock_jumps", result.clock_jumps},
                   {"messages_lost", result.messages_lost},
                   {"messages_twice", result.messages_twice},
                   {"messages_overtaken", result.messages_overtaken},
                   {"cpu_seconds", spent.cpu},
                   {"virtual_per_cpu", result.virtual_seconds / spent.cpu},
                   {"trace", result.trace},
                   {"broken", nullptr}};
  json::object reached;
  for (const auto point : all_points()) {
    const auto times = result.reached.find(std::string(point));
    reached[point] = times == result.reached.end() ? 0 : times->second;
  }
  out["reached"] = std::move(reached);
  if (!result.broken) return out;
  json::array findings;
  for (const auto& [check, found] : result.broken->findings)
    findings.push_back(json::object{{"check", check}, {"found", found}});
  out["broken"] = json::object{{"seed", result.broken->seed},
                               {"findings", std::move(findings)},
                               {"drawn", result.broken->drawn},
                               {"replay", replay_command(name, result.broken->seed)}};
  return out;
}

void print(const std::string& name, const sim::sweep_result& result, const time_spent& spent) {
  if (result.broken) {
    std::printf("seed %llu of %s:\n", static_cast<unsigned long long>(result.broken->seed), name.c_str());
    for (const auto& [check, found] : result.broken->findings)
      std::printf("  %s does not hold: %s\n", check.c_str(), found.c_str());
    std::printf("  it drew %s\n  replay it: ./%s\n", json::dump(result.broken->drawn).c_str(),
                replay_command(name, result.broken->seed).c_str());
  }
  std::printf("%s: %llu seeds in %.1f s (%.1f s of CPU), %.0f simulated seconds (%.0f per second, %.0f per "
              "second of CPU), %llu deliveries\n",
              name.c_str(), static_cast<unsigned long long>(result.seeds), spent.real, spent.cpu,
              result.virtual_seconds, result.virtual_seconds / spent.real, result.virtual_seconds / spent.cpu,
              static_cast<unsigned long long>(result.deliveries));
  std::printf(
      "  %llu kills, %llu power cuts, %llu stalls, %llu writes without space, %llu checkpoints damaged\n",
      static_cast<unsigned long long>(result.kills), static_cast<unsigned long long>(result.cuts),
      static_cast<unsigned long long>(result.stalls), static_cast<unsigned long long>(result.disk_full),
      static_cast<unsigned long long>(result.damaged));
  if (result.messages_lost + result.partitions + result.node_crashes + result.node_pauses > 0)
    std::printf("  nodes: %llu partitions, %llu crashes, %llu stops, %llu clock jumps; messages: %llu lost, "
                "%llu twice, %llu "
                "overtaken\n",
                static_cast<unsigned long long>(result.partitions),
                static_cast<unsigned long long>(result.node_crashes),
                static_cast<unsigned long long>(result.node_pauses),
                static_cast<unsigned long long>(result.clock_jumps),
                static_cast<unsigned long long>(result.messages_lost),
                static_cast<unsigned long long>(result.messages_twice),
                static_cast<unsigned long long>(result.messages_overtaken));
  if (auto times = result.detections; !times.empty()) {
    std::sort(times.begin(), times.end());
    std::printf("  a lost node is fenced after %.2f s (p50), %.2f s (p99), %.2f s (max), of %zu\n",
                times[times.size() / 2], times[times.size() * 99 / 100], times.back(), times.size());
  }
  std::string never;
  std::size_t seen = 0;
  for (const auto point : all_points())
    if (result.reached.contains(std::string(point)))
      ++seen;
    else
      never += "    " + std::string(point) + '\n';
  std::printf("  %zu of %zu rare paths reached%s\n%s", seen, all_points().size(),
              never.empty() ? "" : "; never:", never.c_str());
}

} // namespace

int sim(const sim_arguments& arguments) {
  if (arguments.list) return list(arguments.worlds, arguments.json);
  if (arguments.world.empty()) return complain({errc::invalid, "which world? `troupe sim --list` names all"});
  auto seeds = parse_range("--seeds", arguments.seeds, "0..999");
  if (!seeds) return complain(seeds.error());
  auto what = sim::load_world(arguments.worlds, arguments.world);
  if (!what) return complain(what.error());
  if (!sim::plant_bug(arguments.plant)) {
    std::vector<std::string_view> known;
    for (const auto& it : sim::all_plants()) known.push_back(it.name);
    return complain({errc::invalid, "no bug \"" + arguments.plant + "\" can be planted; the nearest is " +
                                        std::string(nearest_word(arguments.plant, known))});
  }
  (void)open_log(
      {.level = log_level::error, .on_warning = [](std::string_view) {}}); // deaths are no news here
  const auto start = system_clock().now();
  const auto cpu = std::clock();
  if (arguments.trace) return trace(*what, *seeds);
  const bool live = !arguments.json && ::isatty(STDERR_FILENO) != 0;
  const auto result =
      sim::sweep(*what, seeds->first, seeds->last, arguments.threads, [&](std::uint64_t done) {
        if (live && done % 16 == 0)
          std::fprintf(stderr, "\r%llu of %llu seeds", static_cast<unsigned long long>(done),
                       static_cast<unsigned long long>(seeds->last - seeds->first + 1));
      });
  if (live) std::fprintf(stderr, "\r\033[K");
  const time_spent spent{std::max(1e-6, seconds(system_clock().now() - start)),
                         std::max(1e-6, static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC)};
  if (arguments.json)
    std::cout << json::dump(to_json(arguments.world, result, spent)) << '\n';
  else
    print(arguments.world, result, spent);
  return result.broken ? failed : ok;
}

} // namespace troupe::cli

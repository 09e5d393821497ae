#pragma once

#include "runtime/base/random.hpp"
#include "runtime/config.hpp"
#include <optional>

namespace troupe::sim {

/// What a seed has drawn from a world: one number for each knob.
struct drawn_world {
  // -- workload
  std::string mode = "async";
  std::int64_t eta = 1, steps = 4, groups = 2, group_size = 3, slots = 5, turns = 3, eval_every = 2;
  double time_budget = 600;                ///< seconds
  double tool_latency = 0, tool_tail = 10; ///< seconds; p99 over median
  double tool_failing = 0, tool_poisonous = 0, poisonous = 0;
  std::string tool_effects = "none";
  double calls = 0.5;                          ///< share of turns that call a tool: the longer the rollouts
  double token_time = 0, journal_interval = 0; ///< seconds
  std::int64_t checkpoint_every = 1, checkpoint_keep = 3;
  std::int64_t workers = 0; ///< nodes beside the head; 0: one process
  // -- faults
  double kill = 0, power_cut = 0, stall = 0, late_timer = 0; ///< chances per step
  double stall_by = 0, late_by = 0;                          ///< seconds
  double disk_full = 0;                                      ///< per write
  double cut_at_checkpoint = 0, damaged_checkpoint = 0;
  std::vector<std::string> plan; ///< rules (docs/faults.md)
  double buggify = 0;            ///< chance that a point is on in this run
  // -- of several nodes: rates are per second, times in seconds
  double delay = 0.001, jitter = 0.001, lost = 0, twice = 0, overtaken = 0, overtaken_by = 0.2;
  double partition = 0, partition_for = 0, crash = 0, head_crash = 0, down_for = 0, pause = 0, pause_for = 0;
  double clock_jump = 0, clock_jump_by = 0;
  std::int64_t quiet_after = 100'000; ///< deliveries
  std::int64_t intensity = 100'000;   ///< of the run's supervisor
  std::int64_t crash_loop = 0;        ///< health.crash_loop
  std::int64_t strike_at = -1; ///< for tests that try every message: before this one of the first life ...
  std::string strike_whom;     ///< ... this one is killed (a name or its beginning); empty: the power goes
  std::int64_t questions = 3;  ///< held-out ones
  std::int64_t minutes = 60;   ///< virtual time until it hangs

  /// The same workload without faults, synchronous: what the weights are compared with.
  drawn_world calm() const;
  json::object to_json() const;
};

/// A world of the simulator, read from configs/worlds/NAME.yaml: what runs, what goes wrong, what must hold. A knob of several
/// values is drawn anew for each seed: two numbers that rise are a range, anything else is a list.
struct world {
  std::string about;
  struct workload_section {
    std::vector<std::string> mode{"async"};
    std::vector<std::int64_t> eta{1}, steps{4}, groups{2}, group_size{3}, slots{5}, turns{3}, eval_every{2};
    std::vector<double> time_budget{600};
    std::vector<double> tool_latency{0}, tool_tail{10}, tool_failing{0}, tool_poisonous{0}, poisonous{0};
    std::vector<std::string> tool_effects{"none"};
    std::vector<double> calls{0.5}, token_time{0}, journal_interval{0};
    std::vector<std::int64_t> checkpoint_every{1}, checkpoint_keep{3}, workers{0};
    std::int64_t intensity = 100'000;
  } workload;
  struct faults_section {
    std::vector<double> kill{0}, power_cut{0}, stall{0}, stall_by{0.1}, late_timer{0}, late_by{0.1},
        disk_full{0};
    std::vector<double> cut_at_checkpoint{0}, damaged_checkpoint{0}, buggify{0};
    std::int64_t quiet_after = 100'000;
    std::vector<std::string> plan;
  } faults;
  struct network_section {
    std::vector<double> delay{0.001}, jitter{0.001}, lost{0}, twice{0}, overtaken{0}, overtaken_by{0.2};
    std::vector<double> partition{0}, partition_for{3}, crash{0}, head_crash{0}, down_for{3}, pause{0},
        pause_for{3};
    std::vector<double> clock_jump{0}, clock_jump_by{100};
  } network;
  std::vector<std::string> checks;
  std::int64_t minutes = 60;
  std::int64_t seeds = 100;

  void visit(config_visitor& v);
  /// Errors: invalid (a check that does not exist, no check).
  expected<void> check() const;
  drawn_world draw(std::uint64_t seed) const;
};

struct named_world {
  std::string name;
  world what;
};
/// All of a folder, by name. Errors: not_found, and load_world's.
expected<std::vector<named_world>> all_worlds(const std::filesystem::path& folder);
/// Errors: not_found (with the nearest name), invalid (file, line, column, what was expected).
expected<world> load_world(const std::filesystem::path& folder, const std::string& name);

} // namespace troupe::sim

#include "sim/world.hpp"

#include "actors/fault_injector/fault_points.hpp"
#include "runtime/base/nearest.hpp"
#include "sim/checks.hpp"
#include <algorithm>

namespace troupe::sim {

namespace fs = std::filesystem;

void world::visit(config_visitor& v) {
  v.key("about", about, "What the world is for, in a sentence.");
  v.section("workload", "What runs: the real actors over a fake policy.");
  auto& w = workload;
  v.knob("workload.mode", w.mode, {"sync", "async"}, "rl.mode of the run.");
  v.knob("workload.eta", w.eta, {0, 64}, "versions", "rl.eta.");
  v.knob("workload.steps", w.steps, {1, 1000}, "steps", "rl.steps.");
  v.knob("workload.groups", w.groups, {1, 64}, "groups", "rl.groups_per_step.");
  v.knob("workload.group_size", w.group_size, {1, 64}, "rollouts", "rl.group_size.");
  v.knob("workload.slots", w.slots, {1, 10'000}, "rollouts", "rollout.max_concurrent.");
  v.knob("workload.turns", w.turns, {1, 100}, "turns", "rollout.max_turns.");
  v.knob("workload.eval_every", w.eval_every, {0, 1000}, "steps", "eval.every.");
  v.knob("workload.time_budget", w.time_budget, {0.001, 86'400}, "s", "rollout.time_budget.");
  v.knob("workload.tool_latency", w.tool_latency, {0, 3600}, "s", "tools.simulated_latency.");
  v.knob("workload.tool_tail", w.tool_tail, {1, 1000}, "", "tools.simulated_tail.");
  v.knob("workload.tool_failing", w.tool_failing, {0, 1}, "share", "Tool calls that answer with an error.");
  v.knob("workload.tool_poisonous", w.tool_poisonous, {0, 1}, "share",
         "Tool calls that throw, however often they are tried.");
  v.knob("workload.tool_effects", w.tool_effects, {"none", "told", "untold"},
         "Whether calls have effects that must not be repeated, and whether the tool can tell afterwards.");
  v.knob("workload.calls", w.calls, {0, 1}, "share",
         "Turns that call a tool: the more, the longer the rollouts.");
  v.knob("workload.token_time", w.token_time, {0, 3600}, "s",
         "Time that a step of the engine takes, a token for each sequence.");
  v.knob("workload.journal_interval", w.journal_interval, {0, 60}, "s", "rollout.journal_interval.");
  v.knob("workload.poisonous", w.poisonous, {0, 1}, "share",
         "Rollouts whose turns the engine refuses, however often they are tried.");
  v.knob("workload.checkpoint_every", w.checkpoint_every, {1, 1000}, "steps", "checkpoint.every.");
  v.knob("workload.checkpoint_keep", w.checkpoint_keep, {1, 1000}, "checkpoints", "checkpoint.keep.");
  v.knob("workload.workers", w.workers, {0, 32}, "nodes",
         "Worker nodes beside the head; 0: the whole run is one process.");
  v.key("workload.intensity", w.intensity, {1, 1'000'000}, "restarts",
        "Restarts within ten seconds past which the run's supervisor gives up.");
  v.section("faults", "What goes wrong, from the seed.");
  auto& f = faults;
  v.knob("faults.kill", f.kill, {0, 1}, "chance", "Per message: some actor is killed.");
  v.knob("faults.power_cut", f.power_cut, {0, 1}, "chance",
         "Per message: everything stops; a new tree starts over the store and the checkpoints.");
  v.knob("faults.stall", f.stall, {0, 1}, "chance", "Per message: its actor takes nothing for a while ...");
  v.knob("faults.stall_by", f.stall_by, {0, 3600}, "s", "... at most so long.");
  v.knob("faults.late_timer", f.late_timer, {0, 1}, "chance", "Per timer: it fires late ...");
  v.knob("faults.late_by", f.late_by, {0, 3600}, "s", "... at most so much.");
  v.knob("faults.disk_full", f.disk_full, {0, 1}, "chance",
         "Per write: no space; half of those writes have happened all the same.");
  v.knob("faults.cut_at_checkpoint", f.cut_at_checkpoint, {0, 1}, "chance",
         "Per checkpoint: the power goes right behind it, before its consumption record.");
  v.knob("faults.damaged_checkpoint", f.damaged_checkpoint, {0, 1}, "chance",
         "Per power cut: the newest checkpoint does not verify.");
  v.knob("faults.buggify", f.buggify, {0, 1}, "chance", "Per point in the code: it misbehaves in this run.");
  v.key("faults.quiet_after", f.quiet_after, {0, 1'000'000'000}, "messages",
        "Then there are no more faults: what was accepted must end.");
  v.key("faults.plan", f.plan, "Rules beside these, as in a run (docs/faults.md); the same for every seed.");
  v.section("network", "What goes wrong between nodes and with them; in a world of one node `lost`, `twice` "
                       "and `overtaken` are of messages "
                       "between its actors. Rates are events per second of the run.");
  auto& n = network;
  v.knob("network.delay", n.delay, {0, 10}, "s", "Each message takes so long ...");
  v.knob("network.jitter", n.jitter, {0, 10}, "s", "... and up to this much more.");
  v.knob("network.lost", n.lost, {0, 1}, "chance", "Per message: it never arrives.");
  v.knob("network.twice", n.twice, {0, 1}, "chance", "Per message: it arrives twice, the second time later.");
  v.knob("network.overtaken", n.overtaken, {0, 1}, "chance", "Per message: later ones may overtake it ...");
  v.knob("network.overtaken_by", n.overtaken_by, {0, 60}, "s", "... by up to this much.");
  v.knob("network.partition", n.partition, {0, 100}, "/s",
         "Links break: one node alone, one direction only, all but one, on and off every half second, or one "
         "after the other.");
  v.knob("network.partition_for", n.partition_for, {0, 600}, "s", "For up to twice so long.");
  v.knob("network.crash", n.crash, {0, 100}, "/s", "A worker node dies with all that runs on it ...");
  v.knob("network.head_crash", n.head_crash, {0, 100}, "/s", "The head dies; its disk stays ...");
  v.knob("network.down_for", n.down_for, {0, 600}, "s", "... and is back after up to twice so long.");
  v.knob("network.pause", n.pause, {0, 100}, "/s", "Some node stops, as by SIGSTOP ...");
  v.knob("network.pause_for", n.pause_for, {0, 600}, "s", "... and goes on after up to twice so long.");
  v.knob("network.clock_jump", n.clock_jump, {0, 100}, "/s", "Some node's wall clock jumps ...");
  v.knob("network.clock_jump_by", n.clock_jump_by, {0, 1e6}, "s", "... by up to so much, either way.");
  v.key("checks", checks, "What must hold, by name (`troupe sim --list`).");
  v.key("minutes", minutes, {1, 100'000}, "min", "Virtual time after which a run that has not ended hangs.");
  v.key("seeds", seeds, {1, 1'000'000'000}, "seeds", "Seeds of the normal test run.");
}

expected<void> world::check() const {
  for (const auto& text : faults.plan)
    if (auto rule = parse_fault_rule(text, run_fault_targets()); !rule)
      return fail(errc::invalid, "faults.plan: " + rule.error().message);
  if (checks.empty())
    return fail(errc::invalid, "checks is empty: a world that checks nothing finds nothing");
  for (const auto& name : checks)
    if (!find_check(name))
      return fail(errc::invalid, "checks: there is no check \"" + name + "\"; the nearest is " +
                                     std::string(nearest_word(name, check_names())));
  return {};
}

namespace {

template <class T>
T pick(const std::vector<T>& from, random_stream random) {
  if constexpr (std::is_arithmetic_v<T>) {
    if (from.size() == 2 && from[0] < from[1]) {
      if constexpr (std::is_floating_point_v<T>)
        return from[0] + (from[1] - from[0]) * random.uniform();
      else
        return from[0] + static_cast<T>(random.below(static_cast<std::uint64_t>(from[1] - from[0] + 1)));
    }
  }
  return from.empty() ? T{} : from[random.below(from.size())];
}

} // namespace

drawn_world world::draw(std::uint64_t seed) const {
  // Each knob from a stream of its own: a new knob changes no other's value.
  auto of = [seed](std::string_view knob) {
    return random_stream(derive_seed(derive_seed(seed, "knobs"), knob));
  };
  const auto& w = workload;
  const auto& f = faults;
  drawn_world out;
  out.mode = pick(w.mode, of("mode"));
  out.eta = pick(w.eta, of("eta"));
  out.steps = pick(w.steps, of("steps"));
  out.groups = pick(w.groups, of("groups"));
  out.group_size = pick(w.group_size, of("group_size"));
  out.slots = pick(w.slots, of("slots"));
  out.turns = pick(w.turns, of("turns"));
  out.eval_every = pick(w.eval_every, of("eval_every"));
  out.time_budget = pick(w.time_budget, of("time_budget"));
  out.tool_latency = pick(w.tool_latency, of("tool_latency"));
  out.tool_tail = pick(w.tool_tail, of("tool_tail"));
  out.tool_failing = pick(w.tool_failing, of("tool_failing"));
  out.tool_poisonous = pick(w.tool_poisonous, of("tool_poisonous"));
  out.tool_effects = pick(w.tool_effects, of("tool_effects"));
  out.calls = pick(w.calls, of("calls"));
  out.token_time = pick(w.token_time, of("token_time"));
  out.journal_interval = pick(w.journal_interval, of("journal_interval"));
  out.poisonous = pick(w.poisonous, of("poisonous"));
  out.checkpoint_every = pick(w.checkpoint_every, of("checkpoint_every"));
  out.checkpoint_keep = pick(w.checkpoint_keep, of("checkpoint_keep"));
  out.workers = pick(w.workers, of("workers"));
  const auto& n = network;
  out.delay = pick(n.delay, of("delay"));
  out.jitter = pick(n.jitter, of("jitter"));
  out.lost = pick(n.lost, of("lost"));
  out.twice = pick(n.twice, of("twice"));
  out.overtaken = pick(n.overtaken, of("overtaken"));
  out.overtaken_by = pick(n.overtaken_by, of("overtaken_by"));
  out.partition = pick(n.partition, of("partition"));
  out.partition_for = pick(n.partition_for, of("partition_for"));
  out.crash = pick(n.crash, of("crash"));
  out.head_crash = pick(n.head_crash, of("head_crash"));
  out.down_for = pick(n.down_for, of("down_for"));
  out.pause = pick(n.pause, of("pause"));
  out.pause_for = pick(n.pause_for, of("pause_for"));
  out.clock_jump = pick(n.clock_jump, of("clock_jump"));
  out.clock_jump_by = pick(n.clock_jump_by, of("clock_jump_by"));
  out.intensity = w.intensity;
  out.kill = pick(f.kill, of("kill"));
  out.power_cut = pick(f.power_cut, of("power_cut"));
  out.stall = pick(f.stall, of("stall"));
  out.stall_by = pick(f.stall_by, of("stall_by"));
  out.late_timer = pick(f.late_timer, of("late_timer"));
  out.late_by = pick(f.late_by, of("late_by"));
  out.disk_full = pick(f.disk_full, of("disk_full"));
  out.cut_at_checkpoint = pick(f.cut_at_checkpoint, of("cut_at_checkpoint"));
  out.damaged_checkpoint = pick(f.damaged_checkpoint, of("damaged_checkpoint"));
  out.buggify = pick(f.buggify, of("buggify"));
  out.quiet_after = f.quiet_after;
  out.plan = f.plan;
  out.minutes = minutes;
  if (out.mode == "sync") out.eta = 0;
  return out;
}

drawn_world drawn_world::calm() const {
  drawn_world out;
  out.mode = "sync";
  out.eta = 0;
  out.steps = steps;
  out.groups = groups;
  out.group_size = group_size;
  out.turns = turns;
  out.eval_every = 0;
  out.tool_failing = tool_failing;
  out.tool_poisonous = tool_poisonous;
  out.tool_effects = tool_effects;
  out.calls = calls;
  out.poisonous = poisonous;
  out.intensity = intensity;
  return out;
}

json::object drawn_world::to_json() const {
  json::object out{{"mode", mode},
                   {"eta", eta},
                   {"steps", steps},
                   {"groups", groups},
                   {"group_size", group_size},
                   {"slots", slots},
                   {"turns", turns},
                   {"eval_every", eval_every},
                   {"time_budget", time_budget},
                   {"tool_latency", tool_latency},
                   {"tool_tail", tool_tail},
                   {"tool_failing", tool_failing},
                   {"tool_poisonous", tool_poisonous},
                   {"tool_effects", tool_effects},
                   {"calls", calls},
                   {"token_time", token_time},
                   {"journal_interval", journal_interval},
                   {"poisonous", poisonous},
                   {"checkpoint_every", checkpoint_every},
                   {"checkpoint_keep", checkpoint_keep},
                   {"kill", kill},
                   {"power_cut", power_cut},
                   {"stall", stall},
                   {"stall_by", stall_by},
                   {"late_timer", late_timer},
                   {"late_by", late_by},
                   {"disk_full", disk_full},
                   {"cut_at_checkpoint", cut_at_checkpoint},
                   {"damaged_checkpoint", damaged_checkpoint},
                   {"buggify", buggify},
                   {"lost", lost},
                   {"twice", twice},
                   {"overtaken", overtaken},
                   {"overtaken_by", overtaken_by}};
  if (workers == 0) return out;
  out["workers"] = workers;
  out["delay"] = delay;
  out["jitter"] = jitter;
  out["partition"] = partition;
  out["partition_for"] = partition_for;
  out["crash"] = crash;
  out["head_crash"] = head_crash;
  out["down_for"] = down_for;
  out["pause"] = pause;
  out["pause_for"] = pause_for;
  out["clock_jump"] = clock_jump;
  out["clock_jump_by"] = clock_jump_by;
  return out;
}

// -- files

namespace {

expected<std::vector<std::string>> names_in(const fs::path& folder) {
  std::error_code failed;
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder, failed))
    if (entry.path().extension() == ".yaml") out.push_back(entry.path().stem().string());
  if (failed)
    return fail(errc::not_found, "no worlds in " + folder.string() + ": " + failed.message() +
                                     " (--worlds names their folder)");
  std::sort(out.begin(), out.end());
  return out;
}

} // namespace

expected<std::vector<named_world>> all_worlds(const fs::path& folder) {
  auto names = names_in(folder);
  if (!names) return fail(names.error());
  std::vector<named_world> out;
  for (const auto& name : *names) {
    auto one = load_world(folder, name);
    if (!one) return fail(one.error());
    out.push_back({name, std::move(*one)});
  }
  return out;
}

expected<world> load_world(const fs::path& folder, const std::string& name) {
  auto names = names_in(folder);
  if (!names) return fail(names.error());
  if (std::find(names->begin(), names->end(), name) == names->end())
    return fail(errc::not_found, "no world \"" + name + "\"; the nearest is " +
                                     std::string(nearest_word(name, {names->begin(), names->end()})) +
                                     " (`troupe sim --list` names all)");
  return load_config<world>(folder / (name + ".yaml"));
}

} // namespace troupe::sim

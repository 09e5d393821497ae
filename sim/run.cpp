#include "sim/run.hpp"

#include "actors/cluster/cluster_messages.hpp"
#include "actors/fault_injector/fault_points.hpp"
#include "actors/tree.hpp"
#include "runtime/base/buggify.hpp"
#include "sim/context.hpp"
#include "sim/fleet.hpp"
#include "sim/lossy_actors.hpp"
#include "sim/machine.hpp"

#include <algorithm>

namespace troupe::sim {

namespace {

constexpr duration second = std::chrono::seconds(1);

/// Rare points of one run: each is on with a chance from the seed, and fires then one time in four (FoundationDB's numbers).
class points_by_seed final : public rare_points {
public:
  points_by_seed(std::uint64_t seed, double chance, std::map<std::string, std::uint64_t>& reached)
      : seed_(derive_seed(seed, "rare points")), chance_(chance), reached_(reached), draw_(seed_) {
    points_of_thread() = this;
  }
  ~points_by_seed() override { points_of_thread() = nullptr; }
  bool fires(std::string_view point) override {
    return chance_ > 0 && uniform_at(derive_seed(seed_, point), 0, 0) < chance_ && draw_.chance(0.25);
  }
  void reached(std::string_view point) override { ++reached_[std::string(point)]; }
  void quiet() { chance_ = 0; }

private:
  std::uint64_t seed_;
  double chance_;
  std::map<std::string, std::uint64_t>& reached_;
  random_stream draw_;
};

class simulated_run {
public:
  simulated_run(const drawn_world& drawn, std::uint64_t seed, std::function<void(const delivery&)> watch)
      : drawn_(drawn),
        seed_(seed),
        watch_(std::move(watch)),
        machine_(seed, {drawn.disk_full, drawn.cut_at_checkpoint, drawn.damaged_checkpoint},
                 static_cast<int>(drawn.checkpoint_keep)) {
    out_.drawn = drawn;
  }

  evidence run(duration most) {
    duration now = std::chrono::hours(1);
    const auto end = now + most;
    points_by_seed points(seed_, drawn_.buggify, out_.reached);
    points_ = &points;
    for (std::uint64_t life = 0; !out_.ended && now < end; ++life) now = live(life, now, end);
    out_.virtual_time = now - std::chrono::hours(1);
    collect();
    return std::move(out_);
  }

private:
  /// From one power-on to the next power cut, or to the end. Gives the virtual time then.
  duration live(std::uint64_t life, duration start, duration end) {
    std::unique_ptr<fleet> nodes;
    simulation sim(derive_seed(seed_, life), {}, start);
    machine_.on_cut([&sim] { sim.cut_power(); });
    if (watch_) sim.observe(watch_);
    sim.limit_instant(100'000);
    context_ptr ctx; // the head's; null while it is down
    std::unique_ptr<weather> sky;
    std::unique_ptr<lossy_actors> lossy;
    if (drawn_.workers == 0) {
      machine_.power_on(sim.time());
      auto made = make_context(sim, sim.time());
      keep_rules(*made);
      lossy = std::make_unique<lossy_actors>(sim, *made, drawn_, derive_seed(seed_, life));
      ctx = made;
      sim.own(spawn_supervisor(sim.system(), tree(ctx, sim), tree_children(ctx)));
      sim.inject(faults({ctx->names}, {}));
    } else {
      nodes = start_nodes(sim);
      sky = std::make_unique<weather>(
          drawn_, derive_seed(seed_, life), start, sim.nodes(),
          weather::power{[&](auto node) { nodes->boot(node); }, [&](auto node) { nodes->crash(node); },
                         [&](auto node, duration by) { nodes->jump_clock(node, by); }});
    }
    for (auto next_look = start + second; !out_.ended && sim.powered() && sim.time().now() < end;) {
      const auto until = sky ? std::min(next_look, sky->next()) : next_look;
      sim.run_for(std::max(until - sim.time().now(), duration(0)));
      if (sky && !out_.ended && sim.powered()) sky->strike(sim.time().now());
      if (nodes) ctx = nodes->head();
      if (sim.time().now() < next_look) continue;
      next_look = sim.time().now() + second;
      if (!out_.ended && sim.powered() && ctx && !(sky && sim.nodes().paused(weather::head))) look(sim, *ctx);
      if (out_.deliveries + sim.steps() >= static_cast<std::size_t>(drawn_.quiet_after)) {
        machine_.quiet();
        points_->quiet();
        if (lossy) lossy->quiet();
        if (sky) sky->calm(sim.time().now());
      }
    }
    if (!out_.ended && sim.powered() && ctx) out_.state = diagnose(sim, *ctx);
    if (sky) note_weather(*sky, sim.nodes().links());
    if (lossy) note_losses(*lossy);
    ctx.reset();
    if (nodes) nodes->let_go();
    const auto now = sim.time().now();
    if (sim.endless()) {
      out_.state = "its actors send each other messages without end while no time passes";
      machine_.shut_down();
      return end;
    }
    const bool cut = !out_.ended && !sim.powered();
    cut ? machine_.lose_power() : machine_.shut_down(); // what actors do as they are taken down has no effect
    out_.deliveries += sim.steps();
    out_.kills += sim.kills();
    out_.stalls += sim.stalls();
    out_.cuts += cut;
    out_.trace = derive_seed(out_.trace, sim.trace());
    return now;
  }

  supervisor_options tree(const context_ptr& ctx, simulation& sim) {
    auto out = tree_options(ctx);
    out.intensity = static_cast<int>(drawn_.intensity);
    out.crash_loop.lives = static_cast<int>(drawn_.crash_loop);
    out.time = &sim.time();
    if (ctx->cluster && ctx->cluster->is_worker()) return out;
    out.observer = [this, then = out.observer, &sim](const supervision_event& event) {
      if (!machine_.on()) return;
      if (event.kind == supervision_kind::gave_up)
        finish(error{errc::exhausted, "the run's supervisor gave up"});
      if (event.kind == supervision_kind::ended || event.kind == supervision_kind::restarted ||
          event.kind == supervision_kind::gave_up)
        out_.restarts.push_back({sim.time().now(), event.kind, event.child});
      then(event);
    };
    return out;
  }

  std::unique_ptr<fleet> start_nodes(simulation& sim) {
    machine_.on_record([this, &sim](const new_record& what) { note_record(what, sim.time().now()); });
    fleet::parts parts;
    parts.head_context = [this, &sim](const clock& time) {
      auto made = make_context(sim, time);
      keep_rules(*made);
      return made;
    };
    parts.worker_context = [this, &sim](const clock& time, const std::string&, const cluster_ptr& part) {
      fakes_heard heard;
      heard.loaded = [this](std::uint64_t version, float state) { out_.loaded.emplace_back(version, state); };
      heard.effects = effects_;
      heard.sampled = [this, part, &sim] {
        ++out_.sampled;
        out_.epochs[part->lease.epoch()].sampled = sim.time().now();
      };
      return simulated_context(drawn_, time, sim.threads(), heard);
    };
    parts.tree = [this, &sim](const context_ptr& ctx, const clock&) { return tree(ctx, sim); };
    auto out = std::make_unique<fleet>(sim, machine_, drawn_, std::move(parts));
    out->on_change([this, &sim, nodes = out.get()] { inject(sim, *nodes); });
    out->start();
    return out;
  }

  void inject(simulation& sim, const fleet& nodes) const {
    sim.inject(faults(nodes.head() ? nodes.head()->names : nullptr, nodes.worker_names()));
  }

  void note_record(const new_record& what, duration now) {
    if (what.kind != "member" && what.kind != "fence") return;
    const auto body = json::parse(what.body)->get_object();
    auto& it = out_.epochs[body.at("epoch").to_number<std::uint64_t>()];
    if (what.kind == "fence") {
      it.to = now;
    } else {
      it.from = now;
      it.node = std::string(body.at("node").get_string());
    }
  }

  void note_weather(const weather& sky, const sim_links& links) {
    out_.weather_seen.partitions += sky.seen().partitions;
    out_.weather_seen.crashes += sky.seen().crashes;
    out_.weather_seen.pauses += sky.seen().pauses;
    out_.weather_seen.jumps += sky.seen().jumps;
    out_.messages_lost += links.lost();
    out_.messages_twice += links.doubled();
    out_.messages_overtaken += links.overtaken();
    out_.outages.insert(out_.outages.end(), sky.outages().begin(), sky.outages().end());
  }

  void note_losses(const lossy_actors& messages) {
    out_.messages_lost += messages.seen().lost;
    out_.messages_twice += messages.seen().twice;
    out_.messages_overtaken += messages.seen().overtaken;
  }

  simulation_faults faults(directory_ptr head, std::vector<directory_ptr> workers) const {
    simulation_faults out;
    out.kill_chance = drawn_.kill;
    out.cut_chance = drawn_.power_cut;
    out.stall_chance = drawn_.stall;
    out.stall_by = from_seconds(drawn_.stall_by);
    out.late_timer_chance = drawn_.late_timer;
    out.late_by = from_seconds(drawn_.late_by);
    out.quiet_after = static_cast<std::size_t>(drawn_.quiet_after) -
                      std::min(out_.deliveries, static_cast<std::size_t>(drawn_.quiet_after));
    if (out_.cuts == 0 && drawn_.strike_at >= 0) out.strike_at = static_cast<std::size_t>(drawn_.strike_at);
    out.strike_whom = drawn_.strike_whom;
    out.names = std::move(head);
    out.other_nodes = std::move(workers);
    out.victims = {names::store,     names::engine,   names::judge,     names::tools,
                   names::rollouts,  names::manager,  names::replay,    names::learner,
                   names::evaluator, names::recorder, names::experiment};
    if (drawn_.workers > 0) out.victims.insert(out.victims.end(), {names::cluster, names::node});
    for (std::int64_t g = 0; g < drawn_.steps * drawn_.groups; ++g)
      for (std::int64_t a = 0; a < drawn_.group_size; ++a)
        out.victims.push_back(
            stream_of({purpose::train, static_cast<std::uint64_t>(g), static_cast<std::uint32_t>(a)}));
    if (drawn_.tool_effects != "none") add_calls(out.victims);
    return out;
  }

  /// The calls with effects have names that a killer knows (the others bear their asker's number).
  void add_calls(std::vector<std::string>& victims) const {
    for (std::int64_t g = 0; g < drawn_.steps * drawn_.groups; ++g)
      for (std::int64_t a = 0; a < drawn_.group_size; ++a)
        for (std::int64_t t = 0; t < drawn_.turns; ++t)
          victims.push_back("tool/t" + std::to_string(g) + "." + std::to_string(a) + "/" + std::to_string(t) +
                            "/0");
  }

  std::shared_ptr<run_context> make_context(simulation& sim, const clock& time) {
    fakes_heard heard;
    heard.effects = effects_;
    heard.loaded = [this](std::uint64_t version, float state) {
      if (machine_.on()) out_.loaded.emplace_back(version, state);
    };
    heard.sampled = [this] { out_.sampled += machine_.on(); };
    heard.stepped = [this](const optimizer_step& step) {
      if (machine_.on()) out_.optimizer.push_back(step);
    };
    auto run = simulated_context(drawn_, time, sim.threads(), heard);
    auto& p = run->parts;
    p.open_store = machine_.store();
    p.save_checkpoint = machine_.save();
    p.load_checkpoint = machine_.load();
    p.save_warmup_part = machine_.save_part();
    p.load_warmup_part = machine_.load_part();
    p.drop_warmup_parts = machine_.drop_parts();
    run->on_end = [this](std::optional<error> why) {
      if (machine_.on()) finish(std::move(why));
    };
    if (!drawn_.plan.empty()) {
      run->config.faults.enabled = true;
      run->config.faults.seed = static_cast<std::int64_t>(seed_ % 1'000'000) + 1;
      run->config.faults.plan = drawn_.plan;
      (void)allow_faults(run); // the world has checked its rules
    }
    return run;
  }

  /// What the checks need of the context; its directory must not outlive the actors.
  void keep_rules(const run_context& ctx) {
    auto kept = std::make_shared<run_context>();
    kept->config = ctx.config;
    kept->rules = ctx.rules;
    kept->train = ctx.train;
    kept->order = ctx.order;
    out_.run = std::move(kept);
  }

  void finish(std::optional<error> why) {
    if (std::exchange(out_.ended, true)) return;
    out_.end_reason = std::move(why);
  }

  void look(simulation& sim, const run_context& ctx) {
    auto sheet = sim.ask<balance>(ctx.names->find(names::replay), balance_request{}, std::chrono::seconds(1));
    if (sheet) out_.sheets.push_back(*sheet);
  }

  std::string diagnose(simulation& sim, const run_context& ctx) {
    std::string out;
    auto say = [&out](const std::string& who, const auto& got, auto text) {
      out += who + ": " + (got ? text(*got) : to_string(got.error())) + "\n";
    };
    say("experiment",
        sim.ask<metric_record>(ctx.names->find(names::experiment), experiment_status_request{}, second),
        [](const metric_record& state) { return json::dump(state.body); });
    say("manager", sim.ask<manager_status>(ctx.names->find(names::manager), manager_status_request{}, second),
        [](const manager_status& slots) {
          return "admitted " + std::to_string(slots.admitted_groups) + ", running " +
                 std::to_string(slots.running) + ", version " + std::to_string(slots.version);
        });
    say("replay", sim.ask<balance>(ctx.names->find(names::replay), balance_request{}, second),
        [](const balance& sheet) { return json::dump(to_json(sheet)); });
    if (ctx.cluster)
      say("cluster",
          sim.ask<cluster_status>(ctx.names->find(names::cluster), cluster_status_request{}, second),
          [](const cluster_status& it) {
            std::string nodes;
            for (const auto& node : it.nodes) nodes += " " + node;
            return "members" + nodes + ", epochs " + std::to_string(it.epochs) + ", placed " +
                   std::to_string(it.placed) + ", moved " + std::to_string(it.moved);
          });
    for (const auto& name : {names::rollouts, names::tools})
      say(name, sim.ask<std::vector<child_status>>(ctx.names->find(name), list_children{}, second),
          [](const std::vector<child_status>& list) {
            std::string children;
            for (const auto& child : list)
              children += " " + child.id + "=" + child.state + "(" + child.last_reason + ")";
            return children.empty() ? std::string("no child") : children;
          });
    out += "board: version " + std::to_string(ctx.board->current().version) + "\n";
    return out;
  }

  void collect() {
    out_.admissions = machine_.read("admission");
    out_.consumptions = machine_.read("consumption");
    out_.retirements = machine_.read("retirement");
    out_.rollbacks = machine_.read("rollback");
    out_.metrics = machine_.read("metric");
    out_.failures = machine_.read("failed");
    out_.parks = machine_.read("park");
    out_.faults = machine_.read("fault");
    out_.placements = machine_.read("placement");
    out_.fences = machine_.read("fence");
    out_.trace = derive_seed(out_.trace, machine_.contents());
    out_.journal = machine_.read("tokens");
    for (const char* kind : {"turn", "started", "tool", "verdict", "failed"})
      for (auto& r : machine_.read(kind)) out_.rollouts[r.stream].push_back(std::move(r));
    for (auto& [stream, records] : out_.rollouts)
      std::sort(records.begin(), records.end(),
                [](const record& a, const record& b) { return a.seq < b.seq; });
    out_.checkpoints = machine_.checkpoints();
    out_.disk_full = machine_.full();
    out_.damaged = machine_.damaged();
    out_.effects = *effects_;
  }

  const drawn_world drawn_;
  const std::uint64_t seed_;
  std::function<void(const delivery&)> watch_;
  evidence out_;
  machine machine_;
  std::shared_ptr<outside_world> effects_ = std::make_shared<outside_world>();
  points_by_seed* points_ = nullptr;
};

} // namespace

evidence run_seed(const drawn_world& drawn, std::uint64_t seed,
                  const std::function<void(const delivery&)>& watch) {
  return simulated_run(drawn, seed, watch).run(std::chrono::minutes(drawn.minutes));
}

} // namespace troupe::sim

#pragma once

#include "actors/ledger.hpp"
#include "actors/tree.hpp"
#include "runtime/simulation.hpp"
#include "tests/simulation/fake_policy.hpp"

namespace troupe::fakes {

/// A whole run in one thread: the real tree of actors over a fake policy, a store and checkpoints in memory that survive every
/// actor, and a virtual clock.
class training_world {
public:
  struct options {
    std::string mode = "async";
    int eta = 2, steps = 4, groups = 2, group_size = 3, slots = 5;
    double latency = 0, tail = 10;
    double kill_chance = 0;
    double time_budget = 600;
    std::function<void(run_context&)> change; ///< a last word on the context, before the first actor
  };

  training_world(std::uint64_t seed, const options& wanted) : sim(seed), opts(wanted) {
    auto run = std::make_shared<run_context>();
    run->config.seed = 7; // the run's own seed: equal for all schedules
    auto& c = run->config;
    c.rl.mode = wanted.mode;
    c.rl.eta = wanted.eta;
    c.rl.steps = wanted.steps;
    c.rl.groups_per_step = wanted.groups;
    c.rl.group_size = wanted.group_size;
    c.rl.negative_keep = 0.5;
    c.rollout.max_turns = 3;
    c.warmup.steps = 2;
    c.eval.questions = 3;
    c.eval.samples = 2;
    c.eval.every = 2;
    c.eval.curve_questions = 2;
    c.tools.simulated_latency = wanted.latency;
    c.rollout.time_budget = wanted.time_budget;
    c.rollout.max_parked_groups = wanted.groups;
    c.tools.simulated_tail = wanted.tail;
    c.rollout.max_concurrent = wanted.slots;
    c.control.enabled = false;
    run->rules.words = words();
    run->rules.limits = c.episode_shape();
    run->rules.max_turn_tokens = 64;
    run->rules.context = 600;
    run->tools = {std::make_shared<echo_tool>()};
    run->rules.tools = {{"search", run->tools[0]->spec().parameters}};
    for (int i = 0; i < 6; ++i) {
      task t;
      t.id = "q" + std::to_string(i);
      t.question = "Is " + std::to_string(i) + " right?";
      t.answers = {"yes"};
      t.hops = 1 + i % 3;
      run->train.push_back(t);
      t.id = "h" + std::to_string(i);
      run->heldout.push_back(t);
    }
    run->order = task_order(run->train.size(), run->seed_for("tasks"));
    run->time = &sim.time();
    run->threads = sim.threads();
    run->warmup_batch = [](std::int64_t) { return std::vector<sft_sample>{}; };
    auto& p = run->parts;
    p.make_engine = [w = run->rules.words]() -> expected<std::unique_ptr<engine_core>> {
      return std::make_unique<scripted_engine>(w);
    };
    p.make_learner = [](const model_weights& start) -> expected<std::unique_ptr<learner>> {
      auto w = start;
      if (!w.tensors.contains("state")) w.tensors = {{"state", {{1}, {0.0f}}}};
      return std::make_unique<hashing_learner>(std::move(w));
    };
    p.open_store = memory_store(sim.time());
    p.save_checkpoint = [this](const checkpoint& what) -> expected<void> {
      checkpoints.push_back(what);
      return {};
    };
    p.load_checkpoint = [this]() -> expected<checkpoint> {
      if (checkpoints.empty()) return fail(errc::not_found, "no checkpoint");
      return checkpoints.back();
    };
    run->on_end = [this](std::optional<error> why) {
      ended = true;
      end_reason = why ? to_string(*why) : "";
    };
    run->on_record = [this](const json::object& r) {
      if (r.at("kind") == "step") steps.push_back(r);
    };
    if (wanted.change) wanted.change(*run);
    ctx = run;
    auto tree = tree_options(ctx);
    tree.intensity = 100000; // here many deaths are the point; escalation has its own tests
    tree.time = &sim.time();
    sim.own(spawn_supervisor(sim.system(), tree, tree_children(ctx)));
    if (wanted.kill_chance > 0) {
      simulation_faults faults;
      faults.kill_chance = wanted.kill_chance;
      faults.names = ctx->names;
      faults.victims = {names::store,     names::engine,   names::judge,     names::tools,
                        names::rollouts,  names::manager,  names::replay,    names::learner,
                        names::evaluator, names::recorder, names::experiment};
      for (int g = 0; g < wanted.steps * wanted.groups; ++g)
        for (int a = 0; a < wanted.group_size; ++a)
          faults.victims.push_back(
              stream_of({purpose::train, static_cast<std::uint64_t>(g), static_cast<std::uint32_t>(a)}));
      sim.inject(faults);
    }
  }

  /// Runs until the experiment has ended, or for so much virtual time.
  bool run(duration most = std::chrono::minutes(60)) {
    for (duration spent{0}; !ended && spent < most; spent += std::chrono::seconds(1))
      sim.run_for(std::chrono::seconds(1));
    return ended;
  }

  /// The books, folded from what is durable.
  ledger books() {
    auto store = ctx->parts.open_store();
    std::vector<record> kinds[4];
    int i = 0;
    for (const char* kind : {"admission", "consumption", "retirement", "rollback"})
      kinds[i++] = *(*store)->read_kind(kind);
    return *fold_ledger(kinds[0], kinds[1], kinds[2], kinds[3]);
  }
  std::vector<record> records(const std::string& kind) {
    return *(*ctx->parts.open_store())->read_kind(kind);
  }
  float weights() const {
    return checkpoints.empty() ? -1.0f : checkpoints.back().weights.tensors.at("state").data[0];
  }

  /// Who is where, for a run that does not end.
  std::string diagnose() {
    std::string out;
    const auto second = std::chrono::seconds(1);
    auto state =
        sim.ask<metric_record>(ctx->names->find(names::experiment), experiment_status_request{}, second);
    out += "experiment: " + (state ? json::dump(state->body) : to_string(state.error())) + "\n";
    auto slots = sim.ask<manager_status>(ctx->names->find(names::manager), manager_status_request{}, second);
    out += "manager: " +
           (slots ? "admitted " + std::to_string(slots->admitted_groups) + ", running " +
                        std::to_string(slots->running) + ", version " + std::to_string(slots->version)
                  : to_string(slots.error())) +
           "\n";
    auto sheet = sim.ask<balance>(ctx->names->find(names::replay), balance_request{}, second);
    out += "replay: " + (sheet ? json::dump(to_json(*sheet)) : to_string(sheet.error())) + "\n";
    for (const auto& name : {names::rollouts, names::tools}) {
      auto list = sim.ask<std::vector<child_status>>(ctx->names->find(name), list_children{}, second);
      out += name + ":";
      if (list)
        for (const auto& child : *list)
          out += " " + child.id + "=" + child.state + "(" + child.last_reason + ")";
      out += "\n";
    }
    const auto book = books();
    out += "books: steps " + std::to_string(book.steps) + ", admitted " + std::to_string(book.admitted) +
           ", open:";
    for (auto g : book.open_groups) out += " " + std::to_string(g);
    out += "\nboard: " + std::to_string(ctx->board->current().version) + "\n";
    return out;
  }

  static std::shared_ptr<const tokenizer> words() {
    static const auto it =
        std::make_shared<const tokenizer>(*tokenizer::train({"yes no A: yes or no."}, 300, special_tokens()));
    return it;
  }

  simulation sim;
  options opts;
  context_ptr ctx;
  std::vector<checkpoint> checkpoints;
  std::vector<json::object> steps;
  bool ended = false;
  std::string end_reason;
};

} // namespace troupe::fakes

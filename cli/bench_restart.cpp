#include "cli/bench_actors.hpp"

#include "actors/tree.hpp"
#include "cli/commands.hpp"
#include "cli/restart_watch.hpp"
#include "cli/tables.hpp"
#include "gpu/machine.hpp"
#include "runtime/log.hpp"
#include "runtime/system.hpp"
#include "sim/context.hpp"

#include <algorithm>
#include <cstdio>
#include <iostream>
#include <thread>

namespace troupe::cli {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// In the fault injector's place.
class listener {
public:
  static constexpr const char* name = "listener";
  listener(self_ptr, std::shared_ptr<restart_watch> board) : board_(std::move(board)) {}
  behavior make_behavior() {
    return {[this](const life_news& news) {
      board_->note(news.kind == supervision_kind::ended ? life_step::ended : life_step::restarted, news.child,
                   news.at);
    }};
  }

private:
  std::shared_ptr<restart_watch> board_;
};

/// Checkpoints that outlive the learner, in memory.
struct kept_checkpoint {
  std::mutex mutex;
  std::optional<checkpoint> newest;
};

std::shared_ptr<run_context> restart_context(const actor_bench_arguments& arguments,
                                             const std::shared_ptr<restart_watch>& board) {
  sim::drawn_world drawn;
  drawn.steps = 1'000'000;
  drawn.groups = 8;
  drawn.group_size = 8;
  drawn.slots = 32;
  drawn.turns = 12;
  drawn.calls = 0.95; // long ones: whoever is killed has most often a next turn
  drawn.eval_every = 0;
  drawn.journal_interval = run_config{}.rollout.journal_interval;
  drawn.tool_latency = 0; // a rollout that waits for a slow tool has no next turn to be late with
  auto ctx = sim::simulated_context(drawn, system_clock(), node::threads());
  ctx->config.eval.before = false;
  auto& p = ctx->parts;
  p.open_store = [open = file_store(arguments.folder / "run.db", system_clock()),
                  board]() -> expected<std::unique_ptr<event_store>> {
    auto inner = open();
    if (!inner) return inner;
    return watched(std::move(*inner), board);
  };
  p.make_engine = [made = p.make_engine, board]() -> expected<std::unique_ptr<engine_core>> {
    auto inner = made();
    if (!inner) return inner;
    return watched(std::move(*inner), board);
  };
  auto kept = std::make_shared<kept_checkpoint>();
  p.save_checkpoint = [kept](const checkpoint& what) -> expected<void> {
    std::scoped_lock lock(kept->mutex);
    kept->newest = what;
    return {};
  };
  p.load_checkpoint = [kept]() -> expected<checkpoint> {
    std::scoped_lock lock(kept->mutex);
    if (!kept->newest) return fail(errc::not_found, "none yet");
    return *kept->newest;
  };
  ctx->on_record = [](const json::object&) {};
  ctx->on_end = [](std::optional<error> why) {
    if (why) std::cerr << "the run ended: " << why->message << '\n';
  };
  ctx->faults = std::make_shared<fault_plan>(1); // so that the tree tells of ends and restarts
  return ctx;
}

std::string kind_of(const std::string& name) {
  const auto key = parse_rollout_stream(name);
  return key ? "rollout" : name.starts_with("tool/") ? "tool call" : name;
}

/// Milliseconds, each from the instant that its name says.
struct times {
  std::vector<double> taken;          ///< kill sent -> the victim takes it (what it does is not broken off)
  std::vector<double> detected;       ///< taken -> its supervisor knows
  std::vector<double> restarted;      ///< taken -> the next life has its name
  std::vector<double> after_back_off; ///< the same of those that had to wait it (SUP-4)
  std::vector<double> next_turn_alone, next_turn_after_another; ///< taken -> the next turn is durable
  std::vector<double> next_turn, from_sending;                  ///< taken, sent -> the next turn is durable
  std::vector<double> read, asked, sampled, kept; ///< of a next turn, each step from the one before
};

std::string at_share(std::vector<double> all, double share) {
  if (all.empty()) return "–";
  std::sort(all.begin(), all.end());
  char text[32];
  std::snprintf(text, sizeof text, "%.3f",
                all[static_cast<std::size_t>(share * static_cast<double>(all.size() - 1))]);
  return text;
}

class killing {
public:
  killing(const actor_bench_arguments& arguments, context_ptr ctx, std::shared_ptr<restart_watch> board)
      : ctx_(std::move(ctx)),
        board_(std::move(board)),
        random_(derive_seed(static_cast<std::uint64_t>(arguments.seed), "bench restart")) {}

  void kill_some(std::int64_t count) {
    for (std::int64_t i = 0; i < count;) {
      // Half of the rollouts are killed while what was killed before them is still taken up again, half on their own.
      const bool alone = random_.below(3) == 0;
      if (alone) std::this_thread::sleep_for(milliseconds(30));
      const auto victim = choose(alone);
      if (victim.empty()) continue;
      i += strike(victim, alone);
      if (i % 500 == 0) std::cerr << '\r' << i << " kills   ";
    }
    std::cerr << '\n';
  }

  /// Actors that take no more messages; whoever watches them finds them.
  void stall_some(int count) {
    for (int i = 0; i < count;) {
      const auto victim = choose(false);
      const auto kind = kind_of(victim);
      // Not watched, or with a longer patience, or the watch itself.
      if (victim.empty() || kind == "tool call" || kind == names::store || kind == names::learner ||
          kind == names::health)
        continue;
      board_->clear();
      const auto at = ctx_->time->now();
      tell(ctx_->names->find(victim), inject_stall{});
      const auto found = board_->wait({life_step::ended}, victim, at, milliseconds(3000));
      if (!found) continue; // it had ended before
      stalled_.push_back(1e3 * seconds(*found - at));
      ++i;
    }
  }

  void print() const {
    table_rows rows{{"actor", "kills", "sent-taken p50 ms", "p99", "taken-noticed p50", "p99",
                     "taken-restarted p50", "p99"}};
    times all;
    const auto add = [&](const std::string& kind, const times& t) {
      rows.push_back({kind, std::to_string(t.detected.size()), at_share(t.taken, 0.5),
                      at_share(t.taken, 0.99), at_share(t.detected, 0.5), at_share(t.detected, 0.99),
                      at_share(t.restarted, 0.5), at_share(t.restarted, 0.99)});
    };
    for (const auto& [kind, t] : by_kind_) {
      add(kind, t);
      for (auto part : {&times::taken, &times::detected, &times::restarted})
        (all.*part).insert((all.*part).end(), (t.*part).begin(), (t.*part).end());
    }
    add("all", all);
    rows.push_back({"asked", "10000", "", "", "", "<= 1", "", ""});
    std::cout << render_table(rows);
    std::cout << "A kill overtakes all messages, and waits for the handler that runs: until then it is sent, "
                 "then taken.\n";
    print_turns(by_kind_.contains("rollout") ? by_kind_.at("rollout") : times{});
    std::cout << stalled_.size() << " actors that took no messages: found after " << at_share(stalled_, 0.5)
              << " ms (p50), " << at_share(stalled_, 1) << " ms (longest); asked: <= 1000\n";
    std::cout << missed_ << " kills met an actor that was just ending by itself: not counted\n";
  }

private:
  void print_turns(const times& t) const {
    table_rows rows{{"a killed rollout's next turn", "turns", "p50 ms", "p90", "p99", "longest"}};
    for (const auto& [name, part] :
         std::initializer_list<std::pair<const char*, std::vector<double> times::*>>{
             {"durable, from the taken kill (asked: p99 <= 10)", &times::next_turn},
             {"where nothing else was killed in the last 30 ms", &times::next_turn_alone},
             {"where something else was", &times::next_turn_after_another},
             {"the same from the sent kill", &times::from_sending},
             {"killed again before it got on: after its back-off", &times::after_back_off},
             {"of it: the new life to its records", &times::read},
             {"records to the turn's request", &times::asked},
             {"request to the sampled turn", &times::sampled},
             {"sampled to durable", &times::kept}})
      rows.push_back({name, std::to_string((t.*part).size()), at_share(t.*part, 0.5), at_share(t.*part, 0.9),
                      at_share(t.*part, 0.99), at_share(t.*part, 1)});
    std::cout << render_table(rows);
    std::cout << needed_none_ << " killed rollouts had had their last turn and needed none\n";
  }

  /// A kind by chance, then one of it: the few are killed as often as the many.
  std::string choose(bool rollout) {
    std::map<std::string, std::vector<std::string>> kinds;
    for (auto& name : ctx_->names->names())
      if (name != names::faults) kinds[kind_of(name)].push_back(std::move(name));
    if (kinds.empty()) return {};
    rollout = rollout || random_.below(2) == 0; // most: the promise about turns is theirs
    auto it = rollout && kinds.contains("rollout")
                  ? kinds.find("rollout")
                  : std::next(kinds.begin(), static_cast<std::ptrdiff_t>(random_.below(kinds.size())));
    return it->second[random_.below(it->second.size())];
  }

  bool strike(const std::string& victim, bool alone) {
    const auto who = ctx_->names->find(victim);
    if (!who) return false;
    const bool is_rollout = parse_rollout_stream(victim).has_value();
    board_->clear();
    const auto at = ctx_->time->now();
    kill(who);
    const auto again =
        board_->wait({life_step::restarted}, victim, at, milliseconds(is_rollout ? 100 : 2000));
    const auto taken = board_->took(who->id());
    const auto noticed = board_->when(life_step::ended, victim, at);
    if (!again || !taken || !noticed) return ++missed_, false;
    auto& t = by_kind_[kind_of(victim)];
    const auto note = [](std::vector<double>& to, duration from, duration until) {
      to.push_back(1e3 * seconds(until - from));
    };
    note(t.taken, at, *taken);
    note(t.detected, *taken, *noticed);
    note(t.restarted, *taken, *again);
    if (!is_rollout) {
      std::this_thread::sleep_for(milliseconds(3)); // what it left behind is taken up again
      return true;
    }
    board_->wait({life_step::turn, life_step::over, life_step::ended}, victim, *again, milliseconds(5000));
    const auto turn = board_->when(life_step::turn, victim, *again);
    if (!turn) return ++needed_none_, true;
    constexpr auto backed_off = milliseconds(7); // its supervisor's back-off is 10 ms, give or take a fifth
    if (*again - *noticed > backed_off) return note(t.after_back_off, *taken, *turn), true;
    note(alone ? t.next_turn_alone : t.next_turn_after_another, *taken, *turn);
    note(t.next_turn, *taken, *turn);
    note(t.from_sending, at, *turn);
    const auto read = board_->when(life_step::read, victim, *again);
    const auto asked = board_->when(life_step::asked, victim, *again);
    const auto sampled = board_->when(life_step::sampled, victim, *again);
    if (!read || !asked || !sampled) return true; // the engine knew the turn already
    note(t.read, *again, *read);
    note(t.asked, *read, *asked);
    note(t.sampled, *asked, *sampled);
    note(t.kept, *sampled, *turn);
    return true;
  }

  context_ptr ctx_;
  std::shared_ptr<restart_watch> board_;
  random_stream random_;
  std::map<std::string, times> by_kind_;
  std::vector<double> stalled_;
  std::uint64_t missed_ = 0, needed_none_ = 0;
};

} // namespace

int bench_restart(const actor_bench_arguments& arguments) {
  const auto count = arguments.count > 0 ? arguments.count : 10'000;
  std::error_code failed;
  fs::remove_all(arguments.folder, failed);
  fs::create_directories(arguments.folder, failed);
  if (failed)
    return complain({errc::io, "cannot create " + arguments.folder.string() + ": " + failed.message()});
  // The fake learner's logprobs are not the fake engine's; what is logged of that is no news here.
  if (auto ok = open_log({arguments.folder / "run.log", log_level::info, nullptr, [](std::string_view) {}});
      !ok)
    return complain(ok.error());
  static const auto board = std::make_shared<restart_watch>(); // outlives every actor
  watch_of_ends = [](std::uint64_t actor) { board->took_its_end(actor); };
  auto ctx = restart_context(arguments, board);
  auto started = node::start({});
  if (!started) return complain(started.error());
  auto& node = **started;
  ctx->names->set(names::faults, spawn_state<listener>(node.system(), board));
  auto options = tree_options(ctx);
  options.intensity = 1'000'000'000; // hundreds of kills a second are the plan here
  options.crash_loop.lives = 0;
  options.backoff = {duration(0), duration(0), duration(0), 0};
  auto children = tree_children(ctx);
  std::erase_if(children, [](const child_spec& spec) { return spec.id == names::faults; });
  node.supervise(options, std::move(children));
  for (auto patience = ctx->time->now() + std::chrono::seconds(30); ctx->board->confirmed() < 3;
       std::this_thread::sleep_for(milliseconds(10)))
    if (ctx->time->now() > patience) return complain({errc::timeout, "the run does not get going"});
  std::printf("%s; %u cores\n", machine_description().c_str(), std::thread::hardware_concurrency());
  killing bench(arguments, ctx, board);
  bench.kill_some(count);
  bench.stall_some(static_cast<int>(std::max<std::int64_t>(10, count / 250)));
  bench.print();
  std::cout << std::flush;
  std::_Exit(ok); // the run has no end
}

} // namespace troupe::cli

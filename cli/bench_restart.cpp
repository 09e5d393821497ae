#include "cli/bench_actors.hpp"

#include "actors/tree.hpp"
#include "cli/commands.hpp"
#include "cli/tables.hpp"
#include "gpu/machine.hpp"
#include "runtime/system.hpp"
#include "sim/context.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <iostream>
#include <thread>

namespace troupe::cli {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// What the tree says of its actors' ends and restarts, and the engine of turns, for whoever waits for it.
class news_board {
public:
  void hear(const life_news& news) {
    std::scoped_lock lock(mutex_);
    (news.kind == supervision_kind::ended ? ended_ : restarted_)[news.child] = news.at;
    wake_.notify_all();
  }
  void turn(std::uint64_t sequence, duration at) {
    std::scoped_lock lock(mutex_);
    turns_[sequence] = at;
    wake_.notify_all();
  }
  void clear() {
    std::scoped_lock lock(mutex_);
    ended_.clear(), restarted_.clear(), turns_.clear();
  }
  /// When it happened after `since`; nothing: not within `patience`.
  std::optional<duration> ended(const std::string& who, duration since, milliseconds patience) {
    return wait(ended_, who, since, patience);
  }
  std::optional<duration> restarted(const std::string& who, duration since, milliseconds patience) {
    return wait(restarted_, who, since, patience);
  }
  std::optional<duration> turn_of(std::uint64_t sequence, duration since, milliseconds patience) {
    return wait(turns_, sequence, since, patience);
  }

private:
  template <class Key>
  std::optional<duration> wait(const std::map<Key, duration>& from, const Key& key, duration since,
                               milliseconds patience) {
    std::unique_lock lock(mutex_);
    std::optional<duration> out;
    wake_.wait_for(lock, patience, [&] {
      const auto found = from.find(key);
      if (found == from.end() || found->second < since) return false;
      out = found->second;
      return true;
    });
    return out;
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, duration> ended_, restarted_;
  std::map<std::uint64_t, duration> turns_;
};

/// In the fault injector's place.
class listener {
public:
  static constexpr const char* name = "listener";
  listener(self_ptr, std::shared_ptr<news_board> board) : board_(std::move(board)) {}
  behavior make_behavior() {
    return {[this](const life_news& news) { board_->hear(news); }};
  }

private:
  std::shared_ptr<news_board> board_;
};

/// Tells when a turn came out.
class watched_engine final : public engine_core {
public:
  watched_engine(std::unique_ptr<engine_core> inner, std::shared_ptr<news_board> board)
      : inner_(std::move(inner)), board_(std::move(board)) {}
  void set_weights(weights_ptr weights, std::uint64_t version, kv_policy policy) override {
    inner_->set_weights(std::move(weights), version, policy);
  }
  expected<void> submit(generate_request request) override { return inner_->submit(std::move(request)); }
  bool cancel(std::uint64_t sequence) override { return inner_->cancel(sequence); }
  void forget(std::uint64_t sequence) override { inner_->forget(sequence); }
  bool step(std::vector<generated>& finished, std::vector<token_news>* told) override {
    const auto had = finished.size();
    const bool more = inner_->step(finished, told);
    for (auto i = had; i < finished.size(); ++i) board_->turn(finished[i].sequence, system_clock().now());
    return more;
  }
  engine_stats stats() const override { return inner_->stats(); }

private:
  std::unique_ptr<engine_core> inner_;
  std::shared_ptr<news_board> board_;
};

/// Checkpoints that outlive the learner, in memory.
struct kept_checkpoint {
  std::mutex mutex;
  std::optional<checkpoint> newest;
};

std::shared_ptr<run_context> restart_context(const actor_bench_arguments& arguments,
                                             const std::shared_ptr<news_board>& board) {
  sim::drawn_world drawn;
  drawn.steps = 1'000'000;
  drawn.groups = 8;
  drawn.group_size = 8;
  drawn.slots = 32;
  drawn.turns = 5;
  drawn.eval_every = 0;
  drawn.tool_latency = 0; // a rollout that waits for a slow tool has no next turn to be late with
  auto ctx = sim::simulated_context(drawn, system_clock(), node::threads());
  ctx->config.eval.before = false;
  auto& p = ctx->parts;
  p.open_store = [folder = arguments.folder] { return event_store::open(folder / "run.db", system_clock()); };
  p.make_engine = [made = p.make_engine, board]() -> expected<std::unique_ptr<engine_core>> {
    auto inner = made();
    if (!inner) return inner;
    return std::make_unique<watched_engine>(std::move(*inner), board);
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

struct times {
  std::vector<double> detected, restarted, next_turn; ///< milliseconds
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
  killing(const actor_bench_arguments& arguments, context_ptr ctx, std::shared_ptr<news_board> board)
      : ctx_(std::move(ctx)),
        board_(std::move(board)),
        random_(derive_seed(static_cast<std::uint64_t>(arguments.seed), "bench restart")) {}

  void kill_some(std::int64_t count) {
    for (std::int64_t i = 0; i < count;) {
      const auto victim = choose();
      if (victim.empty()) continue;
      i += strike(victim);
      if (i % 500 == 0) std::cerr << '\r' << i << " kills   ";
    }
    std::cerr << '\n';
  }

  /// Actors that take no more messages; whoever watches them finds them.
  void stall_some(int count) {
    for (int i = 0; i < count;) {
      const auto victim = choose();
      const auto kind = kind_of(victim);
      // Not watched, or with a longer patience, or the watch itself.
      if (victim.empty() || kind == "tool call" || kind == names::store || kind == names::learner ||
          kind == names::health)
        continue;
      board_->clear();
      const auto at = ctx_->time->now();
      tell(ctx_->names->find(victim), inject_stall{});
      const auto found = board_->ended(victim, at, milliseconds(3000));
      if (!found) continue; // it had ended before
      stalled_.push_back(1e3 * seconds(*found - at));
      ++i;
    }
  }

  void print() const {
    table_rows rows{
        {"actor", "kills", "noticed p50 ms", "p99", "restarted p50 ms", "p99", "next turn p50 ms", "p99"}};
    times all;
    const auto add = [&](const std::string& kind, const times& t) {
      rows.push_back({kind, std::to_string(t.detected.size()), at_share(t.detected, 0.5),
                      at_share(t.detected, 0.99), at_share(t.restarted, 0.5), at_share(t.restarted, 0.99),
                      at_share(t.next_turn, 0.5), at_share(t.next_turn, 0.99)});
    };
    for (const auto& [kind, t] : by_kind_) {
      add(kind, t);
      for (auto [from, to] : {std::pair{&t.detected, &all.detected},
                              {&t.restarted, &all.restarted},
                              {&t.next_turn, &all.next_turn}})
        to->insert(to->end(), from->begin(), from->end());
    }
    add("all", all);
    rows.push_back({"asked", "10000", "", "<= 1", "", "", "", "<= 10"});
    std::cout << render_table(rows);
    std::cout << stalled_.size() << " actors that took no messages: found after " << at_share(stalled_, 0.5)
              << " ms (p50), " << at_share(stalled_, 1) << " ms (longest); asked: <= 1000\n";
    std::cout << missed_ << " kills met an actor that was just ending by itself: not counted\n";
  }

private:
  /// A kind by chance, then one of it: the few are killed as often as the many.
  std::string choose() {
    std::map<std::string, std::vector<std::string>> kinds;
    for (auto& name : ctx_->names->names())
      if (name != names::faults) kinds[kind_of(name)].push_back(std::move(name));
    if (kinds.empty()) return {};
    const auto half =
        random_.below(2) == 0 && kinds.contains("rollout"); // half of all: the promise about turns is theirs
    auto it = half ? kinds.find("rollout")
                   : std::next(kinds.begin(), static_cast<std::ptrdiff_t>(random_.below(kinds.size())));
    return it->second[random_.below(it->second.size())];
  }

  bool strike(const std::string& victim) {
    const auto who = ctx_->names->find(victim);
    if (!who) return false;
    board_->clear();
    const auto at = ctx_->time->now();
    kill(who);
    const auto noticed = board_->ended(victim, at, milliseconds(1000));
    if (!noticed) return ++missed_, false;
    auto& t = by_kind_[kind_of(victim)];
    t.detected.push_back(1e3 * seconds(*noticed - at));
    const auto again = board_->restarted(victim, at, milliseconds(200));
    if (!again) return true; // quarantined, or ended by itself at the same time
    t.restarted.push_back(1e3 * seconds(*again - at));
    const auto key = parse_rollout_stream(victim);
    if (!key) {
      std::this_thread::sleep_for(milliseconds(3)); // what it left behind is taken up again
      return true;
    }
    // A rollout that has its last turn needs none.
    if (const auto turn = board_->turn_of(key->number(), *again, milliseconds(60)))
      t.next_turn.push_back(1e3 * seconds(*turn - at));
    return true;
  }

  context_ptr ctx_;
  std::shared_ptr<news_board> board_;
  random_stream random_;
  std::map<std::string, times> by_kind_;
  std::vector<double> stalled_;
  std::uint64_t missed_ = 0;
};

} // namespace

int bench_restart(const actor_bench_arguments& arguments) {
  const auto count = arguments.count > 0 ? arguments.count : 10'000;
  std::error_code failed;
  fs::remove_all(arguments.folder, failed);
  fs::create_directories(arguments.folder, failed);
  if (failed)
    return complain({errc::io, "cannot create " + arguments.folder.string() + ": " + failed.message()});
  auto board = std::make_shared<news_board>();
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

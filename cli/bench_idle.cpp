#include "cli/bench_actors.hpp"

#include "actors/rollout/rollout_actor.hpp"
#include "actors/tree.hpp"
#include "cli/commands.hpp"
#include "cli/tables.hpp"
#include "gpu/machine.hpp"
#include "runtime/system.hpp"
#include "sim/context.hpp"

#include <cstdio>
#include <deque>
#include <fstream>
#include <iostream>
#include <malloc.h>
#include <thread>
#include <unistd.h>

namespace troupe::cli {
struct start_some {
  std::uint64_t first = 0, last = 0;
};
struct ask_all {
  std::uint64_t count = 0;
};
struct start_bare {
  std::uint64_t count = 0;
};
} // namespace troupe::cli

TROUPE_LOCAL_TYPE(troupe::cli::start_some)
TROUPE_LOCAL_TYPE(troupe::cli::ask_all)
TROUPE_LOCAL_TYPE(troupe::cli::start_bare)

namespace troupe::cli {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

/// Resident bytes of this process, after the allocator has given back what it can.
double resident() {
  ::malloc_trim(0);
  std::ifstream in("/proc/self/statm");
  double size = 0, pages = 0;
  in >> size >> pages;
  return pages * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

/// Bytes that are allocated now, the allocator's own words between them included.
double allocated() { return static_cast<double>(::mallinfo2().uordblks); }

/// Takes no messages.
class bare {
public:
  static constexpr const char* name = "bare";
  explicit bare(self_ptr) {}
  behavior make_behavior() {
    return {[](const ask_all&) {}};
  }
};

/// Writes one search call for whoever asks, at once.
class searching_engine final : public engine_core {
public:
  explicit searching_engine(const tokenizer& words)
      : script_(words.encode(
            std::vector<text_piece>{{true, "<tool_call>"},
                                    {false, R"({"name":"search","arguments":{"queries":["a"]}})"},
                                    {true, "</tool_call>"},
                                    {true, std::string(end_token)}})) {}
  void set_weights(weights_ptr, std::uint64_t version, kv_policy) override { version_ = version; }
  expected<void> submit(generate_request request) override {
    waiting_.push_back(request.sequence);
    return {};
  }
  bool cancel(std::uint64_t sequence) override { return std::erase(waiting_, sequence) > 0; }
  void forget(std::uint64_t) override {}
  bool step(std::vector<generated>& finished, std::vector<token_news>*) override {
    for (auto sequence : std::exchange(waiting_, {})) {
      auto& turn = finished.emplace_back();
      turn.sequence = sequence;
      turn.tokens = script_;
      turn.logprobs.assign(script_.size(), -1.0f);
      turn.versions.assign(script_.size(), version_);
    }
    return false;
  }
  engine_stats stats() const override { return {}; }

private:
  std::vector<token> script_;
  std::deque<std::uint64_t> waiting_;
  std::uint64_t version_ = 0;
};

/// Starts rollouts as the manager does, and sends a message to each of them and back.
class driver {
public:
  static constexpr const char* name = "driver";
  driver(self_ptr self, context_ptr ctx) : self_(self), ctx_(std::move(ctx)) {}
  behavior make_behavior() {
    return {
        [this](const start_some& which) {
          for (auto i = which.first; i < which.last; ++i)
            start_rollout(self_, ctx_, {key(i), shared_task(ctx_, ctx_->train_task(i)), {}, 0, names::replay},
                          [](const error& why) { give_up("starting a rollout", why); });
          return done{};
        },
        [this](const ask_all& which) -> result<done> {
          answer_.emplace(self_);
          left_ = which.count;
          for (std::uint64_t i = 0; i < which.count; ++i)
            ask(
                self_, ctx_->names->find(stream_of(key(i))), std::chrono::minutes(5), unpark_rollout{},
                [this](const done&) { one_less(); }, [](error why) { give_up("asking a rollout", why); });
          return answer_->promise();
        },
        [this](const start_bare& which) -> result<done> {
          answer_.emplace(self_);
          left_ = which.count;
          for (std::uint64_t i = 0; i < which.count; ++i) {
            child_spec spec;
            spec.id = "bare/t" + std::to_string(i) + "/0/0@12345"; // as long as a tool call's
            spec.start = [](self_ptr above) { return spawn_state<bare>(above); };
            ask(
                self_, ctx_->names->find(names::tools), std::chrono::minutes(5), start_child{std::move(spec)},
                [this](const actor_ref&) { one_less(); },
                [](error why) { give_up("starting a child", why); });
          }
          return answer_->promise();
        },
        resume_handler(),
    };
  }

private:
  static rollout_key key(std::uint64_t i) {
    return {purpose::train, i / 8, static_cast<std::uint32_t>(i % 8)};
  }
  void one_less() {
    if (--left_ > 0) return;
    answer_->deliver(done{});
    answer_.reset();
  }
  self_ptr self_;
  context_ptr ctx_;
  std::uint64_t left_ = 0;
  std::optional<reply<done>> answer_;
};

std::shared_ptr<run_context> idle_context(const fs::path& folder) {
  sim::drawn_world drawn;
  drawn.tool_latency = 100'000; // nobody's tool answers while we measure
  drawn.tool_tail = 1.01;
  auto ctx = sim::simulated_context(drawn, system_clock(), node::threads());
  ctx->config.tools.timeout = 1'000'000;
  ctx->config.rollout.time_budget = 1'000'000;
  for (auto& t : ctx->train) // as long as the quickstart's
    t.question = "What is the population of the capital of the country whose currency is called question " +
                 t.id + "?";
  ctx->parts.make_engine = [words = ctx->rules.words]() -> expected<std::unique_ptr<engine_core>> {
    return std::make_unique<searching_engine>(*words);
  };
  ctx->parts.open_store = file_store(folder / "run.db", system_clock());
  ctx->board->publish(std::make_shared<const model_weights>(), 0);
  ctx->on_record = [](const json::object&) {};
  return ctx;
}

/// Bytes each of `count` that `make` makes one by one, and keeps.
template <class Make>
double bytes_each(std::uint64_t count, Make make) {
  std::vector<decltype(make(0))> kept;
  kept.reserve(count);
  const auto before = allocated();
  for (std::uint64_t i = 0; i < count; ++i) kept.push_back(make(i));
  return (allocated() - before) / static_cast<double>(count);
}

/// The parts that can be had alone.
struct part_bytes {
  double actor = 0, supervised = 0, trajectory = 0;
};
expected<part_bytes> measure_parts(node& node, const actor_ref& who, const run_context& ctx) {
  constexpr std::uint64_t count = 10'000;
  part_bytes out;
  out.actor = bytes_each(count, [&](std::uint64_t) { return spawn_state<bare>(node.system()); });
  std::this_thread::sleep_for(std::chrono::seconds(1)); // they are gone
  const auto before = allocated();
  if (auto ok = node.ask<done>(who, start_bare{count}, std::chrono::minutes(1)); !ok) return fail(ok.error());
  std::this_thread::sleep_for(std::chrono::seconds(2)); // so are the requests that started them
  out.supervised = (allocated() - before) / static_cast<double>(count) - out.actor;
  const auto words = ctx.rules.words;
  auto engine = searching_engine(*words);
  if (auto ok = engine.submit({}); !ok) return fail(ok.error());
  std::vector<generated> turns;
  engine.step(turns, nullptr);
  out.trajectory = bytes_each(count, [&](std::uint64_t i) {
    auto it = std::make_unique<trajectory>(
        rollout_key{purpose::train, i, 0},
        std::shared_ptr<const task>(std::shared_ptr<void>(), &ctx.train_task(i)), ctx.rules, 1.0);
    it->add_turn(turns.at(0));
    return it;
  });
  return out;
}

} // namespace

int bench_idle(const actor_bench_arguments& arguments) {
  const auto count = static_cast<std::uint64_t>(arguments.count > 0 ? arguments.count : 100'000);
  std::error_code failed;
  fs::remove_all(arguments.folder, failed);
  fs::create_directories(arguments.folder, failed);
  if (failed)
    return complain({errc::io, "cannot create " + arguments.folder.string() + ": " + failed.message()});
  auto ctx = idle_context(arguments.folder);
  auto started = node::start({});
  if (!started) return complain(started.error());
  auto& node = **started;
  node.supervise(tree_options(ctx), evaluation_children(ctx));
  auto who = spawn_state<driver>(node.system(), context_ptr(ctx));
  auto& names = *ctx->names;
  while (!names.find(names::rollouts)) std::this_thread::sleep_for(milliseconds(10));
  const auto parts = measure_parts(node, who, *ctx);
  if (!parts) return complain(parts.error());
  const auto others = names.size();

  auto& time = system_clock();
  const auto waiting = [&](std::uint64_t rollouts) { // each has its name, and its tool call one
    for (auto patience = time.now() + std::chrono::minutes(2); time.now() < patience;
         std::this_thread::sleep_for(milliseconds(20)))
      if (names.size() >= others + 2 * rollouts) return true;
    return false;
  };
  // A first few warm the allocator and the code up: what all share is not theirs.
  const std::uint64_t first = 256, chunk = 2048;
  auto begin = [&](std::uint64_t from, std::uint64_t to) -> expected<void> {
    if (auto ok = node.ask<done>(who, start_some{from, to}, std::chrono::minutes(1)); !ok)
      return fail(ok.error());
    if (!waiting(to)) return fail(errc::timeout, "the rollouts do not come to wait for their tools");
    return {};
  };
  if (auto ok = begin(0, first); !ok) return complain(ok.error());
  const auto before = resident(), allocated_before = allocated();
  const auto start = time.now();
  for (auto from = first; from < first + count; from += chunk)
    if (auto ok = begin(from, std::min(from + chunk, first + count)); !ok) return complain(ok.error());
  const auto spawned = seconds(time.now() - start);
  const auto after = resident(), allocated_after = allocated();
  const double each = (after - before) / static_cast<double>(count);
  std::printf("%s; %u cores\n", machine_description().c_str(), std::thread::hardware_concurrency());
  std::printf("%llu rollouts wait for their tools: %.0f bytes each (asked: 4096), %.0f MiB in all\n",
              static_cast<unsigned long long>(count), each, after / 1048576.0);
  const double heap = (allocated_after - allocated_before) / static_cast<double>(count);
  const double rest = heap - 2 * (parts->actor + parts->supervised) - parts->trajectory;
  table_rows rows{{"bytes of one waiting rollout", "each", "of them", "bytes"}};
  const auto row = [&](const char* what, double each_of_it, int of_them) {
    char one[32], all[32];
    std::snprintf(one, sizeof one, "%.0f", each_of_it);
    std::snprintf(all, sizeof all, "%.0f", each_of_it * of_them);
    rows.push_back({what, one, std::to_string(of_them), all});
  };
  row("an actor without state (of the rollout, of its tool call)", parts->actor, 2);
  row("its entry in a supervisor, monitor and name", parts->supervised, 2);
  row("the trajectory: tokens, logprobs, versions, the calls it waits for", parts->trajectory, 1);
  row("both States and behaviors, jobs, timers, the store's index of a turn", rest, 1);
  row("what the allocator cannot give back: pages in part used, caches", each - heap, 1);
  std::cout << render_table(rows) << std::flush;
  std::printf("started in %.1f s: %.0f a second, each with a turn sampled and durable\n", spawned,
              static_cast<double>(count) / spawned);
  constexpr int rounds = 5;
  const auto asked = time.now();
  for (int i = 0; i < rounds; ++i)
    if (auto ok = node.ask<done>(who, ask_all{first + count}, std::chrono::minutes(5)); !ok)
      return complain(ok.error());
  const auto took = seconds(time.now() - asked);
  std::printf("a question to each and its answer, %d times: %.0f messages a second through all of them\n",
              rounds, 2.0 * rounds * static_cast<double>(first + count) / took);
  std::printf("then %.0f bytes each\n", (resident() - before) / static_cast<double>(count));
  std::fflush(stdout);
  std::_Exit(ok); // taking 200,000 actors down in order is not what is measured
}

} // namespace troupe::cli

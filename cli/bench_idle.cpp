#include "cli/bench_actors.hpp"

#include "actors/rollout/rollout_actor.hpp"
#include "actors/tree.hpp"
#include "cli/commands.hpp"
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
} // namespace troupe::cli

TROUPE_LOCAL_TYPE(troupe::cli::start_some)
TROUPE_LOCAL_TYPE(troupe::cli::ask_all)

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
  ctx->parts.open_store = [folder] { return event_store::open(folder / "run.db", system_clock()); };
  ctx->board->publish(std::make_shared<const model_weights>(), 0);
  ctx->on_record = [](const json::object&) {};
  return ctx;
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
  const auto others = names.names().size();

  auto& time = system_clock();
  const auto waiting = [&](std::uint64_t rollouts) { // each has its name, and its tool call one
    for (auto patience = time.now() + std::chrono::minutes(2); time.now() < patience;
         std::this_thread::sleep_for(milliseconds(20)))
      if (names.names().size() >= others + 2 * rollouts) return true;
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
  const auto before = resident();
  const auto start = time.now();
  for (auto from = first; from < first + count; from += chunk)
    if (auto ok = begin(from, std::min(from + chunk, first + count)); !ok) return complain(ok.error());
  const auto spawned = seconds(time.now() - start);
  const auto after = resident();
  const double each = (after - before) / static_cast<double>(count);
  std::printf("%s; %u cores\n", machine_description().c_str(), std::thread::hardware_concurrency());
  std::printf("%llu rollouts wait for their tools: %.0f bytes each (asked: 4096), %.0f MiB in all\n",
              static_cast<unsigned long long>(count), each, after / 1048576.0);
  std::printf(
      "  in it: the rollout, its supervision and name, its tool call's actor, supervision, name and timer, "
      "and the store's index of its turn\n");
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

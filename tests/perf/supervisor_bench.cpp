#include "runtime/system.hpp"

#include <algorithm>
#include <benchmark/benchmark.h>
#include <thread>

/// From the kill of a child to the first answer of its next life, on real threads (docs/promises.md: p99 <=
/// 2 ms).
namespace {
using namespace troupe;
using namespace std::chrono_literals;

struct worker {
  static constexpr const char* name = "worker";
  worker(self_ptr, std::uint64_t) {}
  behavior make_behavior() {
    return {[](std::uint64_t x) { return x; }};
  }
};

/// Kills its child's current life, then asks the name until a new life answers.
struct killer {
  static constexpr const char* name = "killer";
  killer(self_ptr self, directory_ptr names) : self_(self), names_(std::move(names)) {}
  behavior make_behavior() {
    return {
        [this](const std::string& child) {
          answer_.emplace(self_);
          child_ = child;
          old_ = names_->find(child);
          kill(old_);
          again();
          return answer_->promise();
        },
        [this](done) { again(); },
    };
  }
  void again() {
    auto now = names_->find(child_);
    if (!now || now == old_) return tell(self_, self_, done{});
    ask(
        self_, now, 1s, std::uint64_t{1}, [this](std::uint64_t x) { answer_->deliver(x); },
        [this](error) { again(); });
  }
  self_ptr self_;
  directory_ptr names_;
  std::optional<reply<std::uint64_t>> answer_;
  std::string child_;
  actor_ref old_;
};

void kill_to_first_reply(benchmark::State& state) {
  auto it = node::start({}).value();
  supervisor_options options;
  options.names = std::make_shared<directory>();
  options.intensity = 1'000'000'000;
  options.backoff = {0ms, 0ms, 0ms, 0};
  std::vector<child_spec> children;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    child_spec spec;
    spec.id = "worker " + std::to_string(i);
    spec.start = [](self_ptr s) { return spawn_state<worker>(s, std::uint64_t{1}); };
    children.push_back(std::move(spec));
  }
  auto root = it->supervise(options, std::move(children));
  (void)it->ask<std::vector<child_status>>(root, list_children{}, 60s);
  std::vector<double> microseconds;
  {
    auto who = spawn_state<killer>(it->system(), options.names);
    std::size_t i = 0;
    for (auto _ : state) {
      const auto start = std::chrono::steady_clock::now();
      auto got = it->ask<std::uint64_t>(
          who, "worker " + std::to_string(i++ % static_cast<std::size_t>(state.range(0))), 5s);
      if (!got) state.SkipWithError(got.error().message.c_str());
      microseconds.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count());
    }
    kill(who);
  }
  std::sort(microseconds.begin(), microseconds.end());
  const auto at = [&](double share) {
    return microseconds[static_cast<std::size_t>(share * static_cast<double>(microseconds.size() - 1))];
  };
  state.counters["p50_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
  state.counters["max_us"] = microseconds.back();
  if (auto stopped = it->stop(); !stopped) state.SkipWithError(stopped.error().message.c_str());
}
BENCHMARK(kill_to_first_reply)->Arg(1)->Arg(1000)->Iterations(10'000)->Unit(benchmark::kMicrosecond);

/// What supervision costs per spawned child: start_child to its answer.
void start_and_stop_child(benchmark::State& state) {
  auto it = node::start({}).value();
  supervisor_options options;
  options.names = std::make_shared<directory>();
  auto root = it->supervise(options, {});
  for (auto _ : state) {
    child_spec spec;
    spec.id = "rollout";
    spec.restart = restart_kind::temporary;
    spec.start = [](self_ptr s) { return spawn_state<worker>(s, std::uint64_t{1}); };
    if (!it->ask<actor_ref>(root, start_child{std::move(spec)}, 5s)) state.SkipWithError("start failed");
    if (!it->ask<done>(root, stop_child{"rollout"}, 5s)) state.SkipWithError("stop failed");
  }
  (void)it->stop();
}
BENCHMARK(start_and_stop_child)->Unit(benchmark::kMicrosecond);

} // namespace

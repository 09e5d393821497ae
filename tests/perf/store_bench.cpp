// How fast the store makes records durable: 1 KiB bodies, a commit per group (an fsync each), in a folder of
// the current directory. Figures to hold: 50,000 records a second through the actor; p99 of an append in the
// counters.
#include "runtime/base/hash.hpp"
#include "runtime/store.hpp"
#include "runtime/system.hpp"
#include <algorithm>
#include <benchmark/benchmark.h>
#include <filesystem>
#include <unistd.h>

namespace troupe {
namespace {

struct folder {
  std::filesystem::path path = "store_bench." + std::to_string(::getpid());
  folder() { std::filesystem::create_directories(path); }
  ~folder() { std::filesystem::remove_all(path); }
  std::filesystem::path file() const { return path / "run.db"; }
};

/// As a run writes them: one stream a rollout, a few kinds, keys that no order is in.
new_record turn(std::uint64_t i) {
  const auto rollout = std::to_string(i % 64);
  return {"rollout/" + rollout, i % 3 ? "turn" : "tool_result", "turn/" + rollout + "/" + std::to_string(i),
          std::string(1024, 'x')};
}

double quantile(std::vector<double>& values, double q) {
  if (values.empty()) return 0;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

/// The core alone, groups of the given size.
void append_groups(benchmark::State& state) {
  folder place;
  auto store = *event_store::open(place.file(), system_clock());
  const auto group = static_cast<std::size_t>(state.range(0));
  std::uint64_t next = 0;
  std::vector<double> latencies;
  for (auto _ : state) {
    state.PauseTiming();
    std::vector<new_record> records;
    for (std::size_t i = 0; i < group; ++i) records.push_back(turn(next++));
    std::vector<append_request> requests;
    for (auto& one : records) requests.emplace_back(&one, 1);
    state.ResumeTiming();
    const auto start = system_clock().now();
    auto results = store->append_group(requests);
    latencies.push_back(seconds(system_clock().now() - start));
    if (!results.front()) return state.SkipWithError(results.front().error().message.c_str());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(next));
  state.counters["p50_ms"] = quantile(latencies, 0.5) * 1e3;
  state.counters["p99_ms"] = quantile(latencies, 0.99) * 1e3;
}
BENCHMARK(append_groups)->Arg(1)->Arg(16)->Arg(256)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();

/// Keeps `window` appends under way until it has sent its share.
struct writer {
  static constexpr const char* name = "writer";
  writer(self_ptr self, actor_ref store, std::uint64_t first, std::uint64_t n, int window,
         std::vector<double>* latencies)
      : self_(self),
        store_(std::move(store)),
        next_(first),
        end_(first + n),
        window_(window),
        latencies_(latencies) {}
  behavior make_behavior() {
    for (int i = 0; i < window_; ++i) send_one();
    return {[](done) {}};
  }
  void send_one() {
    if (next_ == end_) {
      if (under_way_ == 0) self_->quit();
      return;
    }
    ++under_way_;
    const auto start = system_clock().now();
    ask(
        self_, store_, std::chrono::seconds(60), append_records{{turn(next_++)}},
        [this, start](std::vector<append_outcome>&) {
          latencies_->push_back(seconds(system_clock().now() - start));
          --under_way_;
          send_one();
        },
        [this](error why) { self_->quit(to_caf(why)); });
  }
  self_ptr self_;
  actor_ref store_;
  std::uint64_t next_, end_;
  int window_, under_way_ = 0;
  std::vector<double>* latencies_;
};

/// Through the actor: 8 writers with the given number of appends under way each.
void append_through_actor(benchmark::State& state) {
  constexpr std::uint64_t writers = 8, share = 5000;
  folder place;
  auto node = *troupe::node::start({.threads = 2});
  auto store = spawn_detached<store_actor>(node->system(), file_store(place.file(), system_clock()));
  std::uint64_t next = 0;
  std::vector<double> all;
  double busy = 0, commits = 0;
  for (auto _ : state) {
    std::vector<std::vector<double>> latencies(writers);
    caf::scoped_actor self{node->system()};
    std::vector<actor_ref> lives;
    for (std::uint64_t w = 0; w < writers; ++w, next += share)
      lives.push_back(spawn_state<writer>(node->system(), store, next, share,
                                          static_cast<int>(state.range(0)), &latencies[w]));
    self->wait_for(lives);
    for (auto& some : latencies) all.insert(all.end(), some.begin(), some.end());
  }
  if (auto metrics = node->ask<store_metrics>(store, store_metrics_request{}, std::chrono::seconds(10));
      metrics)
    busy = metrics->busy_seconds, commits = static_cast<double>(metrics->commits);
  state.SetItemsProcessed(static_cast<std::int64_t>(next));
  state.counters["records_a_commit"] = static_cast<double>(next) / commits;
  state.counters["store_busy_s"] = busy;
  state.counters["p50_ms"] = quantile(all, 0.5) * 1e3;
  state.counters["p99_ms"] = quantile(all, 0.99) * 1e3;
  kill(store);
  store = {};
  (void)node->stop();
}
BENCHMARK(append_through_actor)->Arg(1)->Arg(16)->Arg(128)->Unit(benchmark::kMillisecond)->UseRealTime();

void checksum(benchmark::State& state) {
  const std::string body(1024, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(state.range(0) ? crc32c(body) : crc32c_portable(body));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * 1024);
}
BENCHMARK(checksum)->Arg(0)->Arg(1);

} // namespace
} // namespace troupe

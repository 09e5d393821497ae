// How fast the store makes records durable: 1 KiB bodies, a commit per group (an fsync each), in a folder of
// the current directory. Figures to hold: 50,000 records a second through the actor with a p99 below 20 ms.
// beside_redis runs the same load against redis-server (appendfsync always) in turns with ours, if it is
// installed; nothing of Troupe needs it otherwise.
#include "runtime/base/hash.hpp"
#include "runtime/store.hpp"
#include "runtime/system.hpp"
#include "tests/perf/redis.hpp"
#include <algorithm>
#include <atomic>
#include <benchmark/benchmark.h>
#include <filesystem>
#include <sys/syscall.h>
#include <unistd.h>

namespace {
std::atomic<std::uint64_t> syncs{0}; ///< of this process, whoever calls
}
/// SQLite's syncs come through here, to be counted.
extern "C" int fdatasync(int fd) {
  ++syncs;
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

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

/// A store actor on its own thread, and 8 writers with `window` appends under way each.
class store_load {
public:
  static constexpr std::uint64_t writers = 8, share = 5000, round = writers * share;
  explicit store_load(int window) : window_(window), node_(std::move(*troupe::node::start({.threads = 2}))) {
    store_ = spawn_detached<store_actor>(node_->system(), file_store(place_.file(), system_clock()),
                                         thread_policy{});
    (void)metrics(); // it is open
  }
  ~store_load() {
    kill(store_);
    store_ = {};
    (void)node_->stop();
  }
  void run() {
    std::vector<std::vector<double>> some(writers);
    caf::scoped_actor self{node_->system()};
    std::vector<actor_ref> lives;
    for (std::uint64_t w = 0; w < writers; ++w, next_ += share)
      lives.push_back(spawn_state<writer>(node_->system(), store_, next_, share, window_, &some[w]));
    self->wait_for(lives);
    for (auto& one : some) latencies.insert(latencies.end(), one.begin(), one.end());
  }
  store_metrics metrics() {
    auto got = node_->ask<store_metrics>(store_, store_metrics_request{}, std::chrono::seconds(10));
    return got ? *got : store_metrics{};
  }
  std::uint64_t records() const { return next_; }
  std::vector<double> latencies;

private:
  folder place_;
  int window_;
  std::unique_ptr<troupe::node> node_;
  actor_ref store_;
  std::uint64_t next_ = 0;
};

void append_through_actor(benchmark::State& state) {
  store_load load(static_cast<int>(state.range(0)));
  const auto syncs_before = syncs.load();
  for (auto _ : state) load.run();
  const auto metrics = load.metrics();
  using benchmark::Counter;
  state.SetItemsProcessed(static_cast<std::int64_t>(load.records()));
  state.counters["commits"] = Counter(static_cast<double>(metrics.commits), Counter::kIsRate);
  state.counters["fsyncs"] = Counter(static_cast<double>(syncs - syncs_before), Counter::kIsRate);
  state.counters["store_busy"] = Counter(metrics.busy_seconds, Counter::kIsRate);
  state.counters["p50_ms"] = quantile(load.latencies, 0.5) * 1e3;
  state.counters["p99_ms"] = quantile(load.latencies, 0.99) * 1e3;
}
BENCHMARK(append_through_actor)
    ->Arg(1)
    ->Arg(16)
    ->Arg(64)
    ->Arg(128)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// The same records under way against both, in turns.
void beside_redis(benchmark::State& state) {
  if (!redis_server::installed())
    return state.SkipWithError("no redis-server (apt-get install redis-server)");
  const auto window = static_cast<int>(state.range(0));
  folder place;
  std::filesystem::create_directories(place.path / "redis");
  redis_server redis(place.path / "redis");
  std::vector<double> theirs;
  double our_seconds = 0, their_seconds = 0;
  store_load load(window);
  std::uint64_t sent = 0;
  for (auto _ : state) {
    auto start = system_clock().now();
    load.run();
    our_seconds += seconds(system_clock().now() - start);
    start = system_clock().now();
    if (!set_many(redis, static_cast<int>(store_load::writers), window, sent, store_load::round, theirs))
      return state.SkipWithError("redis-server failed");
    their_seconds += seconds(system_clock().now() - start);
    sent += store_load::round;
  }
  const auto n = static_cast<double>(sent);
  state.counters["ours_per_s"] = n / our_seconds;
  state.counters["redis_per_s"] = n / their_seconds;
  state.counters["ratio"] = their_seconds / our_seconds;
  state.counters["our_p99_ms"] = quantile(load.latencies, 0.99) * 1e3;
  state.counters["redis_p99_ms"] = quantile(theirs, 0.99) * 1e3;
}
BENCHMARK(beside_redis)->Arg(1)->Arg(16)->Arg(64)->Arg(128)->Unit(benchmark::kMillisecond)->UseRealTime();

/// Opening reads and checks every row.
void open_again(benchmark::State& state) {
  constexpr std::uint64_t rows = 100'000;
  folder place;
  {
    auto store = *event_store::open(place.file(), system_clock());
    for (std::uint64_t i = 0; i < rows;) {
      std::vector<new_record> records;
      for (std::uint64_t end = i + 1000; i < end; ++i) records.push_back(turn(i));
      (void)store->append(records);
    }
  }
  for (auto _ : state)
    if (!event_store::open_reader(place.file(), system_clock())) return state.SkipWithError("does not open");
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * rows));
}
BENCHMARK(open_again)->Unit(benchmark::kMillisecond)->UseRealTime();

void checksum(benchmark::State& state) {
  const std::string body(1024, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(state.range(0) ? crc32c(body) : crc32c_portable(body));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * 1024);
}
BENCHMARK(checksum)->Arg(0)->Arg(1);

} // namespace
} // namespace troupe

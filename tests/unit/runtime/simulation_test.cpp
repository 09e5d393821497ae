#include "supervisor_fixture.hpp"

#include <set>

namespace {
using namespace troupe;
using namespace troupe::probe_world;

struct cell { // the test reads *value
  static constexpr const char* name = "cell";
  cell(self_ptr, int* value) : value_(value) {}
  behavior make_behavior() {
    return {[this](hello) { return *value_; }, [this](int x) { *value_ = x; }};
  }
  int* value_;
};
struct incrementer { // reads, then writes: two of them race
  static constexpr const char* name = "incrementer";
  incrementer(self_ptr self, actor_ref whom) : self_(self), whom_(std::move(whom)) {}
  behavior make_behavior() {
    return {[this](done) {
      ask(
          self_, whom_, 1s, hello{}, [this](int value) { tell(self_, whom_, value + 1); }, [](error) {});
    }};
  }
  self_ptr self_;
  actor_ref whom_;
};
struct ticker { // a timer that never ends
  static constexpr const char* name = "ticker";
  ticker(self_ptr self, duration every, std::vector<duration>* fired)
      : self_(self), every_(every), fired_(fired) {}
  behavior make_behavior() {
    send_later(self_, every_, done{});
    return {[this](done) {
      fired_->push_back(duration(self_->clock().now().time_since_epoch()));
      send_later(self_, every_, done{});
    }};
  }
  self_ptr self_;
  duration every_;
  std::vector<duration>* fired_;
};

std::pair<int, std::uint64_t> race(std::uint64_t seed) {
  int value = 0;
  simulation sim{seed};
  auto whom = sim.spawn<cell>(&value);
  for (int i = 0; i < 2; ++i) tell(sim.spawn<incrementer>(whom), done{});
  sim.run();
  return {value, sim.trace()};
}

TEST(ASimulation, RepeatsItsTraceForTheSameSeed) { // SIM-1
  std::set<std::uint64_t> traces;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    EXPECT_EQ(race(seed), race(seed)) << "seed " << seed;
    traces.insert(race(seed).second);
  }
  EXPECT_GT(traces.size(), 10u) << "the seed must choose the order";
}

TEST(ASimulation, FindsALostUpdateByTryingSeeds) { // SIM-3
  int lost = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) lost += race(seed).first == 1;
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 200);
}

TEST(ASimulation, FiresTimersInVirtualTimeOnly) { // SIM-2
  std::vector<duration> fired;
  simulation sim{1};
  sim.spawn<ticker>(10min, &fired);
  const auto start = sim.time().now();
  sim.run();
  EXPECT_EQ(sim.time().now(), start);
  EXPECT_TRUE(fired.empty());
  sim.run_for(1h);
  EXPECT_EQ(sim.time().now() - start, duration(1h));
  ASSERT_EQ(fired.size(), 6u);
  EXPECT_EQ(fired.front() - start, duration(10min));
}

TEST(ASimulation, MayFireTimersLate) {
  std::vector<duration> fired;
  simulation sim{7};
  sim.inject({.late_timer_chance = 1, .late_by = 5s});
  sim.spawn<ticker>(1min, &fired);
  const auto start = sim.time().now();
  sim.run_for(10min);
  ASSERT_GE(fired.size(), 8u);
  EXPECT_GT(fired.front() - start, duration(1min));
  EXPECT_LT(fired.front() - start, duration(1min + 5s));
}

TEST(ASimulation, KillsNamedActorsAtMomentsTheSeedChooses) { // SIM-1
  auto run = [](std::uint64_t seed) {
    world w{seed};
    w.options.intensity = 1'000'000;
    w.start({"a", "b"});
    w.sim.inject({.kill_chance = 0.2, .victims = {"a"}, .names = w.names});
    for (int i = 0; i < 20; ++i) {
      w.answers("b");
      w.sim.run_for(100ms);
    }
    EXPECT_GT(w.sim.kills(), 0u);
    EXPECT_GT(w.probes.starts["a"], 1);
    EXPECT_EQ(w.probes.starts["b"], 1);
    return w.sim.trace();
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

TEST(ASimulation, SaysSoWhenNobodyCanAnswer) {
  struct nothing {};
  simulation sim{1};
  EXPECT_EQ(sim.ask<done>(actor_ref{}, hello{}).error().code, errc::unavailable);
}

} // namespace

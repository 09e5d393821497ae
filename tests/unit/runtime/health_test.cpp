#include "runtime/health.hpp"

#include "runtime/simulation.hpp"
#include "runtime/supervisor.hpp"

#include <gtest/gtest.h>

using namespace troupe;
using namespace std::chrono_literals;

namespace {

struct worker {
  static constexpr const char* name = "worker";
  explicit worker(self_ptr) {}
  behavior make_behavior() {
    return {[](std::int32_t n) { return n + 1; }};
  }
};

/// A supervisor with two workers, one of them more patient, and the health actor over both.
struct watched_pair {
  explicit watched_pair(std::uint64_t seed) : sim(seed) {
    health_options health;
    health.names = names;
    health.time = &sim.time();
    health.patience = [](const std::string& who) { return who == "slow" ? duration(10s) : duration(500ms); };
    health.on_silent = [this](const std::string& who, duration) { silent.push_back(who); };
    auto spec = [](std::string id) {
      return child_spec{std::move(id), [](self_ptr s) { return spawn_state<worker>(*s); }};
    };
    supervisor_options options;
    options.names = names;
    options.time = &sim.time();
    options.observer = [this](const supervision_event& event) {
      if (event.kind == supervision_kind::restarted) restarted_at.push_back(sim.time().now());
    };
    sim.own(spawn_supervisor(sim.system(), options,
                             {spec("quick"), spec("slow"), {"health", [health](self_ptr s) {
                                                              return spawn_state<health_actor>(*s, health);
                                                            }}}));
    sim.run_for(3s);
  }
  simulation sim;
  directory_ptr names = std::make_shared<directory>();
  std::vector<std::string> silent;
  std::vector<duration> restarted_at;
};

} // namespace

TEST(ASilentActor, IsKilledAndRestartedWithinASecond) { // HEALTH-1
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    watched_pair pair(seed);
    ASSERT_TRUE(pair.silent.empty()) << "whoever answers is left alone";
    const auto start = pair.sim.time().now();
    tell(pair.names->find("quick"), inject_stall{});
    pair.sim.run_for(2s);
    EXPECT_EQ(pair.silent, std::vector<std::string>{"quick"});
    ASSERT_EQ(pair.restarted_at.size(), 1u);
    EXPECT_LE(pair.restarted_at[0] - start, 1s);
    EXPECT_EQ(pair.sim.ask<std::int32_t>(pair.names->find("quick"), std::int32_t{1}).value_or(0), 2);
  }
}

TEST(AStalledActor, GoesOnIfItIsPatientlyWaitedFor) {
  watched_pair pair(1);
  tell(pair.names->find("slow"), inject_stall{3s});
  const auto start = pair.sim.time().now();
  EXPECT_EQ(pair.sim.ask<std::int32_t>(pair.names->find("slow"), std::int32_t{1}).value_or(0), 2)
      << "what came meanwhile is not lost";
  EXPECT_GE(pair.sim.time().now() - start, 3s);
  EXPECT_TRUE(pair.silent.empty());
}

TEST(AnInjectedThrow, EndsTheActorWithItsReason) {
  watched_pair pair(1);
  tell(pair.names->find("quick"), inject_throw{"on purpose"});
  pair.sim.run_for(1s);
  EXPECT_EQ(pair.restarted_at.size(), 1u);
  EXPECT_TRUE(pair.silent.empty());
}

#include "supervisor_fixture.hpp"

/// Kills at moments the seed chooses, under every strategy, against a model that is simple enough to be
/// right.
namespace {
using namespace troupe;
using namespace troupe::probe_world;

const std::vector<std::string> ids = {"a", "b", "c", "d"};

std::vector<child_spec> four(world& w) {
  std::vector<child_spec> out;
  for (auto& id : ids) out.push_back(w.child(id));
  return out;
}

class AnyStrategy : public testing::TestWithParam<restart_strategy> {
protected:
  /// Which siblings go down with child i.
  static bool affected(std::size_t i, std::size_t other) {
    switch (GetParam()) {
    case restart_strategy::one_for_one: return other == i;
    case restart_strategy::one_for_all: return true;
    case restart_strategy::rest_for_one: return other >= i;
    }
    return false;
  }
};

TEST_P(AnyStrategy, RestartsExactlyTheAffectedChildrenInReverseThenInOrder) { // SUP-1, SUP-2, SUP-6
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream random{seed};
    world w{seed};
    w.options.strategy = GetParam();
    w.options.intensity = 1000;
    w.start(four(w));
    w.lines();
    for (int round = 0; round < 8; ++round) {
      const auto victim = random.below(ids.size());
      std::string down = "-" + ids[victim], up;
      for (std::size_t i = ids.size(); i-- > 0;)
        if (i != victim && affected(victim, i)) down += " -" + ids[i];
      for (std::size_t i = 0; i < ids.size(); ++i)
        if (affected(victim, i)) up += " +" + ids[i];
      if (random.chance(0.5))
        w.kill_child(ids[victim]);
      else
        tell(w.names->find(ids[victim]), crash{"planned"});
      w.sim.run_for(20s);
      ASSERT_EQ(w.lines(), down + up);
    }
    EXPECT_EQ(w.count(supervision_kind::ended), 8) << "each unasked end is acted on exactly once";
  }
}

TEST_P(AnyStrategy, SurvivesKillsAtRandomMoments) { // SUP-2, SUP-4, SUP-6
  std::size_t kills = 0, failures = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    world w{seed};
    w.options.strategy = GetParam();
    w.options.intensity = 1'000'000;
    w.options.backoff = {seed % 2 ? duration(5ms) : duration(0), 1ms, 20ms, 0.5};
    auto children = four(w);
    if (seed % 3 == 0) { // one that ignores its stop
      children[2] = w.child("c", true);
      children[2].stop_deadline = 30ms;
    }
    random_stream random{derive_seed(seed, "starts")};
    bool faults = false;
    int failed_starts = 0;
    for (auto& child : children)
      child.start = [&, good = child.start](self_ptr parent) {
        if (faults && random.chance(0.2)) {
          ++failed_starts;
          throw std::runtime_error("planned");
        }
        return good(parent);
      };
    w.start(std::move(children));
    faults = true;
    w.sim.inject(
        {.kill_chance = 0.1, .victims = ids, .names = w.names, .late_timer_chance = 0.2, .late_by = 40ms});
    for (int round = 0; round < 20; ++round) {
      for (auto& id : ids) w.answers(id);
      w.sim.run_for(7ms);
    }
    w.sim.inject({});
    faults = false;
    w.sim.run_for(1min);
    EXPECT_FALSE(w.probes.doubled) << "two lives of one child at a time";
    for (auto& id : ids) {
      EXPECT_EQ(w.probes.lives[id], 1) << id;
      EXPECT_TRUE(w.answers(id)) << id;
      EXPECT_EQ(w.state_of(id), "running") << id;
    }
    // every life that began has one end, and every restart follows one end
    EXPECT_EQ(w.count(supervision_kind::ended) - failed_starts + w.count(supervision_kind::stopped),
              w.count(supervision_kind::restarted));
    kills += w.sim.kills();
    failures += static_cast<std::size_t>(failed_starts);
    EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_all{}));
    for (auto& id : ids) EXPECT_EQ(w.probes.lives[id], 0) << id;
  }
  EXPECT_GT(kills, 3000u) << "the faults must really happen";
  EXPECT_GT(failures, 300u);
}

TEST_P(AnyStrategy, EndsAllChildrenWhenTheSupervisorIsKilledAtARandomMoment) { // SUP-2
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream random{seed};
    world w{seed};
    w.options.strategy = GetParam();
    w.options.intensity = 1000;
    w.start(four(w));
    for (auto& id : ids) w.kill_child(id);
    for (auto left = random.below(25); left > 0; --left) w.sim.step();
    kill(w.supervisor);
    w.sim.run_for(1min);
    for (auto& id : ids) {
      EXPECT_EQ(w.probes.lives[id], 0) << id;
      EXPECT_FALSE(w.names->find(id)) << id;
    }
  }
}

TEST_P(AnyStrategy, TakesStartsAndStopsInTheMiddleOfRestarts) { // SUP-2, SUP-6
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream random{seed};
    world w{seed};
    w.options.strategy = GetParam();
    w.options.intensity = 1000;
    w.options.backoff = {2ms, 2ms, 10ms, 0.5};
    w.start(four(w));
    std::map<std::string, bool> wanted; // the model: who was asked for last
    for (auto& id : ids) wanted[id] = true;
    std::map<std::string, int> answers;
    for (int i = 0; i < 40; ++i) {
      const std::string id = i % 4 ? ids[random.below(ids.size())] : "e" + std::to_string(random.below(3));
      switch (random.below(3)) {
      case 0: w.kill_child(id); break;
      case 1:
        if (wanted[id]) {
          EXPECT_TRUE(w.sim.ask<done>(w.supervisor, stop_child{id}));
          wanted[id] = false;
        }
        break;
      case 2:
        if (!wanted[id]) {
          EXPECT_TRUE(w.sim.ask<actor_ref>(w.supervisor, start_child{w.child(id)}));
          wanted[id] = true;
        }
        break;
      }
      for (auto left = random.below(6); left > 0; --left) w.sim.step();
    }
    w.sim.run_for(1min);
    EXPECT_FALSE(w.probes.doubled);
    for (auto& [id, is_wanted] : wanted) EXPECT_EQ(w.state_of(id), is_wanted ? "running" : "absent") << id;
    for (auto& [id, is_wanted] : wanted) EXPECT_EQ(w.probes.lives[id], is_wanted) << id;
  }
}

std::string strategy_name(const testing::TestParamInfo<restart_strategy>& of) {
  const char* all[] = {"OneForOne", "OneForAll", "RestForOne"};
  return all[static_cast<int>(of.param)];
}
INSTANTIATE_TEST_SUITE_P(Restarts, AnyStrategy,
                         testing::Values(restart_strategy::one_for_one, restart_strategy::one_for_all,
                                         restart_strategy::rest_for_one),
                         strategy_name);

} // namespace

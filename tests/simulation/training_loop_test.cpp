#include "tests/simulation/training_world.hpp"

#include <gtest/gtest.h>
#include <set>

using namespace troupe;
using fakes::training_world;

namespace {

/// Conservation and exactly-once, from the durable records alone.
void check_books(training_world& world) {
  const auto book = world.books();
  const auto size = static_cast<std::uint64_t>(world.opts.group_size);
  std::uint64_t retired = 0;
  for (const auto& [reason, count] : book.retired) retired += count;
  EXPECT_EQ(book.admitted * size, book.trained + retired + book.open_groups.size() * size);
  std::set<std::string> once;
  for (const auto& r : world.records("consumption")) {
    const auto body = json::parse(r.body)->get_object();
    for (const auto& id : body.at("trained").get_array())
      EXPECT_TRUE(once.insert(std::string(id.get_string())).second) << id << " was trained on twice";
    for (const auto& pair : body.at("retired").get_array())
      EXPECT_TRUE(once.insert(std::string(pair.get_array()[0].get_string())).second)
          << "trained on and retired";
  }
}

} // namespace

TEST(ATrainingRun, ReachesItsLastStepAndItsBooksBalance) { // REP-4, EXP-1
  training_world world(1, {});
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.end_reason, "");
  const auto book = world.books();
  EXPECT_EQ(book.steps, 4u);
  EXPECT_EQ(book.admitted, 8u); // MAN-2
  EXPECT_TRUE(book.open_groups.empty());
  EXPECT_EQ(world.records("metric").size(),
            4u /*steps*/ + 4 /*before, after*/ + 1 /*curve at 2*/ + 3 /*stages*/ + 1 /*rl*/);
  check_books(world);
}

TEST(ATrainingRun, TrainsOnNoTokenOlderThanEta) { // REP-1, LEARN-3
  for (int eta : {0, 1, 3})
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      training_world world(seed, {.eta = eta, .steps = 6, .latency = 0.2});
      ASSERT_TRUE(world.run()) << "seed " << seed;
      for (const auto& step : world.steps)
        EXPECT_LE(step.at("staleness_max").to_number<int>(), eta) << "seed " << seed;
      EXPECT_FALSE(world.books().retired.contains("stale")) << "seed " << seed;
    }
}

TEST(ATrainingRun, WithLongTailedToolsRetiresNothingAsStale) { // REP-1, CHOICE-1
  std::size_t stale = 0, over = 0;
  int highest = 0;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    training_world world(seed, {.eta = 3, .steps = 12, .slots = 24, .latency = 0.3, .tail = 30});
    ASSERT_TRUE(world.run()) << world.diagnose();
    for (const auto& step : world.steps) {
      const int most = step.at("staleness_max").to_number<int>();
      highest = std::max(highest, most);
      over += most > 3;
    }
    stale += world.books().retired.contains("stale");
    check_books(world);
  }
  EXPECT_EQ(stale, 0u) << "runs that retired groups as stale";
  EXPECT_EQ(over, 0u) << "steps with a token older than eta";
  EXPECT_EQ(highest, 3) << "the bound was never reached: the world is too easy";
}

TEST(ATrainingRun, InAsyncModeWithEtaZeroIsTheSynchronousRunWhateverTheSchedule) { // REP-3
  training_world sync(0, {.mode = "sync", .eta = 0});
  ASSERT_TRUE(sync.run());
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    training_world async(seed, {.mode = "async", .eta = 0, .latency = 0.1});
    ASSERT_TRUE(async.run()) << "seed " << seed;
    EXPECT_EQ(async.weights(), sync.weights()) << "seed " << seed;
  }
}

TEST(ATrainingRun, ThatLosesActorsAtRandomTrainsOnTheSameBatchesAndLosesNothing) { // ROLL-2, LEARN-1, REP-2
  training_world calm(0, {.mode = "sync", .eta = 0});
  ASSERT_TRUE(calm.run());
  std::size_t kills = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    training_world world(seed, {.mode = "async", .eta = 0, .latency = 0.05, .kill_chance = 0.002});
    ASSERT_TRUE(world.run(std::chrono::minutes(20))) << world.diagnose();
    ASSERT_EQ(world.end_reason, "");
    kills += world.sim.kills();
    EXPECT_EQ(world.books().steps, 4u);
    check_books(world);
    std::size_t steps = 0;
    for (const auto& r : world.records("metric")) steps += r.key.starts_with("metric/step/");
    EXPECT_EQ(steps, 4u) << "a step without its figures";
    if (world.records("failed").empty()) { // nobody was given up: not a bit differs
      EXPECT_EQ(world.weights(), calm.weights());
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(kills, 200u);
}

TEST(ATrainingRun, RepeatsItsTraceForTheSameSeed) { // SIM-1
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    training_world a(seed, {.kill_chance = 0.002}), b(seed, {.kill_chance = 0.002});
    a.run();
    b.run();
    EXPECT_EQ(a.sim.trace(), b.sim.trace()) << "seed " << seed;
  }
}

// -- parked rollouts -----------------------------------------------------------------------------------------------------------

namespace {

/// Every rollout's records without the order in which they came: what was sampled, observed and judged.
std::map<std::string, std::string> left_by_rollouts(training_world& world) {
  std::map<std::string, std::string> out;
  for (const char* kind : {"turn", "tool", "verdict"})
    for (const auto& r : world.records(kind))
      if (r.stream.starts_with("rollout/t")) out[r.key] = r.body;
  return out;
}

} // namespace

TEST(AParkedRollout, LeavesTheSameTokensAsOneThatWasNot) { // ROLL-4
  // eta = 0 and one step: no weights change in between, so that every token must be the same.
  training_world whole(0, {.eta = 0, .steps = 1, .groups = 4, .latency = 0.2});
  ASSERT_TRUE(whole.run());
  EXPECT_TRUE(whole.records("park").empty());
  const auto expected = left_by_rollouts(whole);
  for (std::uint64_t seed = 1; seed < 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    training_world parked(seed, {.eta = 0, .steps = 1, .groups = 4, .latency = 0.2, .time_budget = 0.05});
    ASSERT_TRUE(parked.run()) << parked.diagnose();
    EXPECT_GT(parked.records("park").size(), 4u);
    EXPECT_EQ(left_by_rollouts(parked), expected);
    check_books(parked);
  }
}

TEST(AParkedRollout, IsTrainedOnLaterAndNoTokenBeyondEtaCounts) { // REP-1, REP-4, MAN-4
  std::size_t parks = 0, beyond = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    training_world world(
        seed,
        {.eta = 1, .steps = 8, .latency = 0.2, .kill_chance = seed % 2 ? 0.001 : 0, .time_budget = 0.15});
    ASSERT_TRUE(world.run()) << world.diagnose();
    ASSERT_EQ(world.end_reason, "");
    parks += world.records("park").size();
    EXPECT_EQ(world.books().steps, 8u);
    check_books(world);
    for (const auto& step : world.steps) {
      EXPECT_LE(step.at("staleness_max").to_number<int>(), 1);
      beyond += step.at("tokens_beyond_eta").to_number<std::size_t>();
    }
  }
  EXPECT_GT(parks, 100u);
  EXPECT_GT(beyond, 0u); // otherwise the rule was not tried
}

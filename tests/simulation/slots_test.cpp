#include "sim/checks.hpp"
#include "sim/run.hpp"

#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

std::uint64_t times(const evidence& of, const std::string& point) {
  const auto found = of.reached.find(point);
  return found == of.reached.end() ? 0 : found->second;
}

TEST(AnEvaluation, TakesTheSlotsOfTheNewestTrainingRolloutsWhichGoOnAfterItAsIfNothingHadBeen) { // MAN-6
  drawn_world drawn;
  drawn.steps = 6;
  drawn.eta = 3; // training rollouts run while it evaluates
  drawn.eval_every = 1;
  drawn.slots = 4;
  drawn.calls = 0.8;
  drawn.turns = 8;
  drawn.tool_latency = 0.05;
  drawn.token_time = 0.001;
  std::uint64_t yields = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    drawn.kill = seed % 2 ? 0.001 : 0;
    const auto run = run_seed(drawn, seed);
    for (const char* check : {"liveness", "conservation", "once", "steps", "staleness", "nothing_stale",
                              "trained_as_sampled", "turns_as_written", "admission", "balance"})
      EXPECT_EQ(find_check(check)->look(run).value_or(""), "") << check;
    EXPECT_TRUE(run.parks.empty()); // it is not parked: its group stays in the window
    yields += times(run, "manager: a rollout yields its slot");
  }
  EXPECT_GT(yields, 30u);
}

} // namespace
} // namespace troupe::sim

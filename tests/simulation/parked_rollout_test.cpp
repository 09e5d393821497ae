#include "sim/checks.hpp"
#include "sim/run.hpp"

#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

/// Every rollout's records without the order in which they came: what was sampled, observed and judged.
std::map<std::string, std::string> left_by_rollouts(const evidence& of) {
  std::map<std::string, std::string> out;
  for (const auto& [stream, records] : of.rollouts)
    for (const auto& r : records)
      if (stream.starts_with("rollout/t")) out[r.key] = r.body;
  return out;
}

TEST(AParkedRollout, LeavesTheSameTokensAsOneThatWasNot) { // ROLL-4
  // eta = 0 and one step: no weights change in between, so that every token must be the same.
  drawn_world drawn;
  drawn.eta = 0;
  drawn.steps = 1;
  drawn.groups = 4;
  drawn.tool_latency = 0.2;
  const auto whole = run_seed(drawn, 0);
  EXPECT_TRUE(whole.parks.empty());
  const auto expected = left_by_rollouts(whole);
  EXPECT_GT(expected.size(), 20u);
  drawn.time_budget = 0.05;
  for (std::uint64_t seed = 1; seed < 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto parked = run_seed(drawn, seed);
    EXPECT_EQ(find_check("liveness")->look(parked).value_or(""), "");
    EXPECT_GT(parked.parks.size(), 4u);
    EXPECT_EQ(left_by_rollouts(parked), expected);
  }
}

TEST(AParkedRollout, IsTrainedOnLaterAndNoTokenBeyondEtaCounts) { // REP-1, REP-4, MAN-4
  drawn_world drawn;
  drawn.eta = 1;
  drawn.steps = 8;
  drawn.tool_latency = 0.2;
  drawn.time_budget = 0.15;
  std::size_t parks = 0, beyond = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    drawn.kill = seed % 2 ? 0.001 : 0;
    const auto run = run_seed(drawn, seed);
    for (const char* name : {"liveness", "conservation", "once", "steps", "staleness"})
      EXPECT_EQ(find_check(name)->look(run).value_or(""), "") << name;
    parks += run.parks.size();
    for (const auto& r : run.metrics)
      if (const auto body = json::parse(r.body)->get_object(); body.at("kind") == "step")
        beyond += body.at("tokens_beyond_eta").to_number<std::size_t>();
  }
  EXPECT_GT(parks, 100u);
  EXPECT_GT(beyond, 0u); // otherwise the rule was not tried
}

} // namespace
} // namespace troupe::sim

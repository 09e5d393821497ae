#include "sim/checks.hpp"
#include "sim/run.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <set>

namespace troupe::sim {
namespace {

drawn_world small(const std::string& effects) {
  drawn_world drawn;
  drawn.eta = 0;
  drawn.steps = drawn.groups = 1;
  drawn.group_size = 3;
  drawn.turns = 2;
  drawn.questions = 1;
  drawn.eval_every = 0;
  drawn.tool_effects = effects;
  drawn.tool_latency = 0.01;
  return drawn;
}

void expect_it_holds(const evidence& of) {
  for (const char* check : {"effects_once", "liveness", "conservation", "once", "trained_as_sampled"})
    EXPECT_EQ(find_check(check)->look(of).value_or(""), "") << check;
}

/// What rollouts left, without what only says that something had begun.
std::map<std::string, std::string> left(const evidence& of) {
  std::map<std::string, std::string> out;
  for (const auto& [stream, records] : of.rollouts)
    for (const auto& r : records)
      if (r.kind != "started") out[r.key] = r.body;
  return out;
}

/// One after the other: who dies before the n-th message of the run, for every n (for every third, but for the call itself, unless
/// TROUPE_ALL is set).
template <class Look>
void strike_everywhere(drawn_world drawn, Look look) {
  const auto messages = static_cast<std::int64_t>(run_seed(drawn, 0).deliveries);
  EXPECT_GT(messages, 500);
  for (const std::string whom : {"", "tool/", "rollout/", "tools", "rollouts", "store"})
    for (std::int64_t at = 0; at < messages; at += std::getenv("TROUPE_ALL") || whom == "tool/" ? 1 : 3) {
      drawn.strike_at = at;
      drawn.strike_whom = whom;
      SCOPED_TRACE("killed before message " + std::to_string(at) + ": " +
                   (whom.empty() ? "the power" : whom));
      look(run_seed(drawn, 0));
      if (testing::Test::HasFailure()) return;
    }
}

TEST(AnEffectThatTheToolCanTellOf, HappensOnceAndItsResultIsKeptWhoeverDiesAtWhateverMessage) { // TOOL-3
  const auto undisturbed = run_seed(small("told"), 0);
  expect_it_holds(undisturbed);
  EXPECT_GT(undisturbed.effects.size(), 4u);
  const auto expected = left(undisturbed);
  strike_everywhere(small("told"), [&](const evidence& struck) {
    expect_it_holds(struck);
    EXPECT_TRUE(struck.failures.empty());
    EXPECT_EQ(left(struck), expected);
  });
}

TEST(AnEffectThatNobodyCanTellOf, HappensAtMostOnceAndItsRolloutFailsWithThatReason) { // TOOL-3
  std::set<std::string> reasons;
  strike_everywhere(small("untold"), [&](const evidence& struck) {
    expect_it_holds(struck);
    for (const auto& r : struck.failures)
      reasons.emplace(json::parse(r.body)->get_object().at("code").get_string());
    EXPECT_LE(struck.failures.size(), 4u);
  });
  EXPECT_EQ(reasons, std::set<std::string>{"uncertain"});
}

TEST(ACrashBetweenEffectAndCommit, IsFoundByAskingTheTool) {
  drawn_world drawn = small("told");
  drawn.buggify = 1; // it dies right behind its effect, one time in four
  std::uint64_t found = 0;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto run = run_seed(drawn, seed);
    expect_it_holds(run);
    const auto times = run.reached.find("tool: an effect of an earlier life is found");
    if (times != run.reached.end()) found += times->second;
  }
  EXPECT_GT(found, 10u);
}

} // namespace
} // namespace troupe::sim

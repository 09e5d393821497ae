#include "sim/checks.hpp"
#include "sim/run.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

drawn_world with(std::int64_t crash_loop, const std::string& rule) {
  drawn_world drawn;
  drawn.steps = 12;
  drawn.tool_latency = 0.5;
  drawn.minutes = 3;
  drawn.crash_loop = crash_loop;
  drawn.plan = {rule};
  return drawn;
}

evidence run_of(std::int64_t crash_loop, const std::string& rule) {
  return run_seed(with(crash_loop, rule), 1);
}

std::size_t restarts_of(const evidence& run, const std::string& child) {
  return static_cast<std::size_t>(
      std::count_if(run.restarts.begin(), run.restarts.end(), [&](const evidence::restart& it) {
        return it.child == child && it.kind == supervision_kind::restarted;
      }));
}

TEST(ALearnerThatRefusesEveryBatch, EndsTheRunAfterSomeLivesAndNotNever) { // SUP-7
  const auto endless = run_of(0, "throw learner at=before_step");
  EXPECT_FALSE(endless.ended);
  EXPECT_GT(restarts_of(endless, "learner"), 50u);

  const auto bounded = run_of(8, "throw learner at=before_step");
  ASSERT_TRUE(bounded.ended);
  ASSERT_TRUE(bounded.end_reason);
  EXPECT_EQ(bounded.end_reason->code, errc::exhausted);
  EXPECT_GE(restarts_of(bounded, "learner"), 7u);
  EXPECT_LE(restarts_of(bounded, "learner"), 20u);
  EXPECT_LT(bounded.virtual_time, std::chrono::seconds(30));
  EXPECT_EQ(find_check("conservation")->look(bounded).value_or(""), "");
}

TEST(ALearnerThatNeverMakesAStepOfItsWarmUp, EndsTheRunToo) {
  const auto run = run_of(8, "throw learner at=warm_up_step");
  ASSERT_TRUE(run.ended);
  ASSERT_TRUE(run.end_reason);
  EXPECT_EQ(run.end_reason->code, errc::exhausted);
}

TEST(ALearnerThatDiesBetweenItsSteps, IsNoCrashLoop) {
  for (const auto* rule : {"throw learner at=after_booking", "kill learner every=2s", "kill any every=1s"}) {
    SCOPED_TRACE(rule);
    const auto run = run_of(8, rule);
    EXPECT_TRUE(run.ended);
    EXPECT_FALSE(run.end_reason) << to_string(*run.end_reason);
    for (const char* name : {"liveness", "conservation", "once", "steps"})
      EXPECT_EQ(find_check(name)->look(run).value_or(""), "") << name;
  }
}

} // namespace
} // namespace troupe::sim

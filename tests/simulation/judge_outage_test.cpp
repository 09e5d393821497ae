#include "actors/fault_injector/fault_points.hpp"
#include "actors/judge/judge_actor.hpp"
#include "runtime/simulation.hpp"
#include "sim/context.hpp"

#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

/// Asks for one verdict and notes when it came, in seconds of virtual time; -1: none came.
struct asker {
  static constexpr const char* name = "asker";
  asker(self_ptr self, actor_ref judge, std::shared_ptr<const episode> what, std::vector<double>* heard)
      : self_(self), judge_(std::move(judge)), what_(std::move(what)), heard_(heard) {}
  behavior make_behavior() {
    ask(
        self_, judge_, std::chrono::minutes(30), judge_request{what_},
        [this](const verdict& given) {
          EXPECT_EQ(fault_of(given), "");
          heard_->push_back(seconds(duration(self_->clock().now().time_since_epoch())));
        },
        [this](const error&) { heard_->push_back(-1); });
    return {[](done) {}};
  }
  self_ptr self_;
  actor_ref judge_;
  std::shared_ptr<const episode> what_;
  std::vector<double>* heard_;
};

class AJudgeThatIsAway : public testing::TestWithParam<std::string> {};

TEST_P(AJudgeThatIsAway,
       GivesNoRewardAndIsSparedAndAllAreJudgedWithinFiveSecondsOfItsReturn) { // JUDGE-1, JUDGE-2
  simulation sim(1);
  auto ctx = simulated_context(drawn_world{}, sim.time(), sim.threads());
  ctx->config.faults.enabled = true;
  ctx->config.faults.plan = {GetParam() + " judge at=verdict"};
  auto plan = make_fault_plan(ctx->config, 1);
  ASSERT_TRUE(plan);
  int tries = 0;
  (*plan)->on_strike = [&](const fault_strike&) { ++tries; };
  ctx->faults = *plan;
  const auto judge = sim.spawn<judge_actor>(context_ptr(ctx));
  std::vector<double> heard;
  for (int i = 0; i < 20; ++i) {
    auto finished = std::make_shared<episode>(ctx->train[0], ctx->rules.limits, ctx->rules.tools);
    finished->turn("<answer>yes</answer>", true);
    sim.spawn<asker>(judge, std::shared_ptr<const episode>(finished), &heard);
  }
  sim.run_for(std::chrono::seconds(60));
  EXPECT_TRUE(heard.empty()) << "nobody is judged, nobody fails";
  EXPECT_GE(tries, 30);
  EXPECT_LE(tries, 3 + 60) << "three failures open the breaker, then one try a second";
  const auto back = seconds(sim.time().now());
  ctx->faults->remove(0);
  sim.run_for(std::chrono::seconds(5));
  ASSERT_EQ(heard.size(), 20u);
  for (double at : heard) EXPECT_GE(at, back);
}
INSTANTIATE_TEST_SUITE_P(Ways, AJudgeThatIsAway, testing::Values("fail", "garbage"));

} // namespace
} // namespace troupe::sim

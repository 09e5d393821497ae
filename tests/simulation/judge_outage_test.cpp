#include "actors/fault_injector/fault_points.hpp"
#include "actors/judge/judge_actor.hpp"
#include "runtime/simulation.hpp"
#include "sim/checks.hpp"
#include "sim/context.hpp"
#include "sim/run.hpp"

#include <algorithm>
#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

/// One minute without a judge, from two seconds after training has begun, in a run that takes longer.
drawn_world outage(const std::string& how) {
  drawn_world drawn;
  drawn.eta = 1;
  drawn.steps = 12;
  drawn.groups = 3;
  drawn.group_size = 4;
  drawn.slots = 12;
  drawn.tool_latency = 0.5;
  drawn.plan = {how + " judge at=verdict after=2s until=62s"};
  return drawn;
}

double number_in(const record& r, std::string_view key) {
  return json::number_at(json::parse(r.body)->get_object(), key).value_or(-1);
}

std::vector<double> verdict_times(const evidence& of) { // seconds of wall time
  std::vector<double> out;
  for (const auto& [stream, records] : of.rollouts)
    for (const auto& r : records)
      if (r.kind == "verdict" && stream.starts_with("rollout/t"))
        out.push_back(static_cast<double>(r.wall_ms) / 1000);
  std::sort(out.begin(), out.end());
  return out;
}

struct asker {
  static constexpr const char* name = "asker";
  asker(self_ptr self, actor_ref judge, std::shared_ptr<const episode> what, std::vector<std::string>* heard,
        std::string me)
      : self_(self), judge_(judge), what_(std::move(what)), heard_(heard), me_(std::move(me)) {}
  behavior make_behavior() {
    ask(
        self_, judge_, std::chrono::minutes(5), judge_request{what_},
        [this](const verdict&) { heard_->push_back(me_ + " judged"); },
        [this](const error& why) { heard_->push_back(me_ + " " + why.message); });
    return {[](done) {}};
  }
  self_ptr self_;
  actor_ref judge_;
  std::shared_ptr<const episode> what_;
  std::vector<std::string>* heard_;
  std::string me_;
};

class AJudgeThatIsAway : public testing::TestWithParam<const char*> {};

TEST_P(AJudgeThatIsAway,
       GivesNoRewardAndIsSparedAndAllAreJudgedWithinFiveSecondsOfItsReturn) { // JUDGE-1, JUDGE-2
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const auto run = run_seed(outage(GetParam()), seed);
    for (const char* name : {"liveness", "conservation", "once", "steps", "baselines"})
      EXPECT_EQ(find_check(name)->look(run).value_or(""), "") << name;
    EXPECT_TRUE(run.failures.empty()) << run.failures.front().body; // they waited
    // Three failures open the breaker; after that one try a second.
    EXPECT_GE(run.faults.size(), 10u);
    EXPECT_LE(run.faults.size(), 3u + 61u);
    // Nobody is judged for a minute, and then everybody who waits.
    const auto times = verdict_times(run);
    double gap = 0, back = 0;
    for (std::size_t i = 1; i < times.size(); ++i)
      if (times[i] - times[i - 1] > gap) gap = times[i] - times[i - 1], back = times[i];
    EXPECT_GT(gap, 57);
    EXPECT_LT(gap, 62 + 5);
    const auto in_time =
        std::count_if(times.begin(), times.end(), [&](double t) { return t >= back && t < back + 5; });
    EXPECT_GE(in_time, 12) << "all slots were waiting";
    for (const auto& [stream, records] : run.rollouts)
      for (const auto& r : records)
        if (r.kind == "verdict") {
          EXPECT_TRUE(number_in(r, "reward") == 0 || number_in(r, "reward") == 1 ||
                      number_in(r, "reward") == -0.2)
              << r.body;
        }
  }
}
INSTANTIATE_TEST_SUITE_P(Ways, AJudgeThatIsAway, testing::Values("fail", "garbage", "wrong"));

TEST(AVerdictThatFailsNowAndThen, IsAskedForAgain) {
  drawn_world drawn;
  drawn.steps = 6;
  drawn.plan = {"fail judge at=verdict share=0.1"};
  const auto run = run_seed(drawn, 1);
  EXPECT_EQ(find_check("liveness")->look(run).value_or(""), "");
  EXPECT_GT(run.faults.size(), 0u);
  EXPECT_TRUE(run.failures.empty());
}

TEST(AnEpisodeThatNobodyCanJudge, FailsAloneWhileTheOthersAreJudged) { // JUDGE-3
  simulation sim(1);
  auto ctx = simulated_context(drawn_world{}, sim.time(), sim.threads());
  ctx->config.faults.enabled = true;
  // Whoever comes first fails at every try; the fifth try is the second episode's, and only late.
  ctx->config.faults.plan = {"slow judge at=verdict nth=5 for=1ms", "fail judge at=verdict"};
  ctx->parts.open_store = memory_store(sim.time());
  ctx->parts.save_checkpoint = [](const checkpoint&) { return expected<void>{}; };
  ASSERT_TRUE(allow_faults(ctx));
  const auto judge = sim.spawn<judge_actor>(context_ptr(ctx));
  auto finished = [&] {
    auto it = std::make_shared<episode>(ctx->train[0], ctx->rules.limits, ctx->rules.tools);
    it->turn("<answer>yes</answer>", true);
    return it;
  };
  std::vector<std::string> heard;
  sim.spawn<asker>(judge, finished(), &heard, std::string("first"));
  sim.run_for(std::chrono::milliseconds(10));
  sim.spawn<asker>(judge, finished(), &heard, std::string("second"));
  sim.run_for(std::chrono::seconds(20));
  ASSERT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard[0], "second judged");
  EXPECT_NE(heard[1].find("first the judge failed"), std::string::npos) << heard[1];
}

} // namespace
} // namespace troupe::sim

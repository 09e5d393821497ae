#include "sim/checks.hpp"

#include "sim/run.hpp"
#include <gtest/gtest.h>

namespace troupe::sim {
namespace {

/// A run as it should be, to be spoiled: a check that cannot fail finds nothing.
evidence good() {
  static const auto it = [] {
    drawn_world drawn;
    drawn.eta = 0;
    drawn.group_size = 4;
    return run_seed(drawn, 1);
  }();
  return it;
}
bool holds(std::string_view name, const evidence& of) { return !find_check(name)->look(of); }

std::size_t first_trained(const evidence& of) {
  for (std::size_t i = 0; i < of.optimizer.size(); ++i)
    if (!of.optimizer[i].samples.empty()) return i;
  ADD_FAILURE() << "nothing was trained on";
  return 0;
}

TEST(Checks, HoldOfARunAsItShouldBe) {
  const auto run = good();
  for (const auto& check : all_checks()) EXPECT_EQ(check.look(run).value_or(""), "") << check.name;
}

TEST(Checks, FindARunThatDoesNotEnd) {
  auto run = good();
  run.ended = false;
  EXPECT_FALSE(holds("liveness", run));
  run = good();
  run.end_reason = error{errc::exhausted, "gave up"};
  EXPECT_FALSE(holds("liveness", run));
}

TEST(Checks, FindWhatIsBookedTwiceOrNotAtAll) {
  auto run = good();
  run.consumptions.push_back(run.consumptions.back());
  EXPECT_FALSE(holds("once", run));
  EXPECT_FALSE(holds("steps", run));
  run = good();
  run.consumptions.pop_back();
  EXPECT_FALSE(holds("conservation", run));
  EXPECT_FALSE(holds("steps", run));
  EXPECT_FALSE(holds("weights_as_booked", run));
  run = good();
  for (auto& r : run.metrics)
    if (r.key.starts_with("metric/step/")) {
      run.metrics.push_back(r);
      break;
    }
  EXPECT_FALSE(holds("figures", run));
}

TEST(Checks, FindStaleTokensAndGroups) {
  auto run = good();
  auto& late = run.optimizer.back();
  ASSERT_GT(late.version, 0u);
  for (auto& v : late.samples.at(0).versions) v = 0;
  EXPECT_FALSE(holds("staleness", run));
  run = good();
  run.retirements.push_back(
      {1, "retirement", "retirement", "retirement/1", R"({"group":1,"reason":"stale","rollouts":4})", 0});
  EXPECT_FALSE(holds("nothing_stale", run));
}

TEST(Checks, FindTrainingOnWhatIsNotCommitted) {
  auto run = good();
  const auto at = first_trained(run);
  run.optimizer[at].samples[0].tokens.back() += 1;
  EXPECT_FALSE(holds("trained_as_sampled", run));
  run = good();
  run.optimizer[at].samples[0].reward = 0.25;
  EXPECT_FALSE(holds("trained_as_sampled", run));
  run = good();
  run.optimizer[at].samples[0].baseline += 0.25;
  EXPECT_FALSE(holds("baselines", run));
  run = good();
  run.checkpoints.back().weights.tensors.at("state").data[0] += 1;
  EXPECT_FALSE(holds("weights_as_booked", run));
  EXPECT_FALSE(holds("weights_as_calm", run));
  run = good();
  run.loaded.emplace_back(2, -1.0f);
  EXPECT_FALSE(holds("known_weights", run));
}

TEST(Checks, FindABalanceAndAnAdmissionThatDoNotHold) {
  auto run = good();
  run.sheets.push_back({5, 1, 1, 1, {}});
  EXPECT_FALSE(holds("balance", run));
  run = good();
  run.admissions.push_back(run.admissions.back());
  EXPECT_FALSE(holds("admission", run));
}

TEST(Checks, FindASupervisorThatGivesUpTooEarlyOrTooLate) {
  auto run = good();
  run.drawn.intensity = 2;
  auto at = [](int s, supervision_kind kind) {
    return evidence::restart{std::chrono::seconds(s), kind, "store"};
  };
  run.restarts = {at(1, supervision_kind::ended), at(2, supervision_kind::ended),
                  at(20, supervision_kind::ended)};
  EXPECT_TRUE(holds("restart_window", run));
  run.ended = true;
  run.end_reason = error{errc::exhausted, "gave up"};
  run.restarts = {at(1, supervision_kind::ended), at(2, supervision_kind::ended),
                  at(2, supervision_kind::gave_up)};
  EXPECT_FALSE(holds("restart_window", run)) << "too early";
  run.restarts = {at(1, supervision_kind::ended), at(2, supervision_kind::ended),
                  at(3, supervision_kind::ended), at(3, supervision_kind::gave_up)};
  EXPECT_TRUE(holds("restart_window", run));
  run.restarts = {at(1, supervision_kind::ended), at(2, supervision_kind::ended),
                  at(3, supervision_kind::ended), at(4, supervision_kind::ended)};
  EXPECT_FALSE(holds("restart_window", run)) << "too late";
}

TEST(Checks, FindWhatANodeDoesAfterItsEpoch) {
  drawn_world drawn;
  drawn.workers = 2;
  drawn.tool_latency = 1;
  const auto good = run_seed(drawn, 1);
  for (const char* check : {"liveness", "fencing", "leases", "losses_seen"})
    EXPECT_EQ(find_check(check)->look(good).value_or(""), "") << check;
  ASSERT_FALSE(good.placements.empty());
  auto run = good;
  const auto epoch = json::dump(json::parse(run.placements[0].body)->get_object().at("epoch"));
  run.fences.push_back({1, "cluster", "fence", "fence/" + epoch, "{\"epoch\":" + epoch + "}", 0});
  EXPECT_FALSE(holds("fencing", run));
  run = good;
  run.placements.push_back({run.placements[0].seq, run.placements[0].stream, "placement", "placement/x/9",
                            R"({"number":9,"epoch":1})", 0});
  EXPECT_FALSE(holds("fencing", run));
  run = good;
  for (auto& [number, life] : run.epochs)
    if (life.sampled) life.to = *life.sampled - std::chrono::milliseconds(1);
  EXPECT_FALSE(holds("leases", run));
  run = good;
  const auto from = run.epochs.rbegin()->second.from;
  for (sim_nodes::node_id node : {2, 3}) run.outages.push_back({node, from, from + std::chrono::seconds(3)});
  EXPECT_FALSE(holds("losses_seen", run));
}

} // namespace
} // namespace troupe::sim

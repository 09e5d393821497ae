#include "actors/tree.hpp"
#include "runtime/simulation.hpp"
#include "sim/checks.hpp"
#include "sim/context.hpp"
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

/// The real tree, with what a person may ask it.
TEST(AQuarantinedRollout, CanBeTriedAgainWhileItsGroupIsOpenAndNotLater) { // promise 16
  drawn_world drawn;
  drawn.eta = 0;
  drawn.steps = 2;
  drawn.groups = 2;
  drawn.eval_every = 0;
  drawn.questions = 0;
  drawn.poisonous = 0.35;
  drawn.tool_latency = 2; // the group stays open for a while
  drawn.calls = 0.8;
  simulation sim(5);
  auto ctx = simulated_context(drawn, sim.time(), sim.threads());
  auto disk = memory_store(sim.time());
  ctx->parts.open_store = disk;
  std::vector<checkpoint> saved;
  ctx->parts.save_checkpoint = [&](const checkpoint& what) -> expected<void> {
    saved.push_back(what);
    return {};
  };
  ctx->parts.load_checkpoint = [&]() -> expected<checkpoint> {
    if (saved.empty()) return fail(errc::not_found, "none");
    return saved.back();
  };
  double poisonous = drawn.poisonous;
  ctx->parts.make_engine = [&]() -> expected<std::unique_ptr<engine_core>> {
    return scripted_engine({poisonous, drawn.calls}, [](std::uint64_t, float) {});
  };
  bool ended = false;
  ctx->on_end = [&](std::optional<error> why) { ended = !why; };
  auto options = tree_options(ctx);
  options.time = &sim.time();
  sim.own(spawn_supervisor(sim.system(), options, tree_children(ctx)));
  auto failures = [&] { return *(*disk())->read_kind("failed"); };
  for (int i = 0; i < 1000 && failures().empty(); ++i) sim.run_for(std::chrono::milliseconds(10));
  ASSERT_FALSE(failures().empty());
  const auto key = *parse_rollout_stream(failures()[0].stream);
  auto retry = [&](const rollout_key& which) {
    return sim.ask<done>(ctx->names->find(names::manager), retry_rollout{which});
  };
  const rollout_key healthy{purpose::train, key.group, 99};
  EXPECT_EQ(retry(healthy).error().code, errc::not_found);
  EXPECT_EQ(retry({purpose::train, 77, 0}).error().code, errc::not_found);

  ASSERT_TRUE(retry(key)) << "as long as nothing has changed, it fails again, and is listed again";
  sim.run_for(std::chrono::seconds(1));
  const auto of_it = [&] {
    std::size_t n = 0;
    for (const auto& r : failures()) n += r.stream == stream_of(key);
    return n;
  };
  EXPECT_EQ(of_it(), 2u);

  poisonous = 0; // mended
  kill(ctx->names->find(names::engine));
  sim.run_for(std::chrono::milliseconds(100));
  const auto again = retry(key);
  ASSERT_TRUE(again) << to_string(again.error());
  for (int i = 0; i < 1000 && !ended; ++i) sim.run_for(std::chrono::seconds(1));
  EXPECT_TRUE(ended);
  const auto records = *(*disk())->read_stream(stream_of(key));
  EXPECT_EQ(records.back().kind, "verdict");
  EXPECT_FALSE(failure_in(records).failed);
  const auto sheet = sim.ask<balance>(ctx->names->find(names::replay), balance_request{});
  ASSERT_TRUE(sheet);
  EXPECT_TRUE(sheet->holds());
  EXPECT_EQ(retry(key).error().code, errc::conflict) << "it is trained on";
  ctx->names->clear();
}

} // namespace
} // namespace troupe::sim

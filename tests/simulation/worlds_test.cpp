#include "runtime/log.hpp"
#include "sim/checks.hpp"
#include "sim/run.hpp"
#include "sim/sweep.hpp"

#include <cstdlib>
#include <gtest/gtest.h>
#include <set>

namespace troupe::sim {
namespace {

const auto folder = std::filesystem::path(TROUPE_SOURCE_DIR) / "configs" / "worlds";

const bool quiet = open_log({.level = log_level::error, .on_warning = [](std::string_view) {}}).has_value();

/// TROUPE_SIM_FACTOR times the seeds of a normal run.
std::uint64_t factor() {
  const char* wish = std::getenv("TROUPE_SIM_FACTOR");
  return wish ? std::strtoull(wish, nullptr, 10) : 1;
}

class AWorld : public testing::TestWithParam<std::string> {};

std::vector<std::string> names() {
  std::vector<std::string> out;
  if (auto worlds = all_worlds(folder))
    for (const auto& one : *worlds) out.push_back(one.name);
  return out;
}

TEST_P(AWorld, HoldsItsChecksForEverySeed) {
  const auto what = load_world(folder, GetParam());
  ASSERT_TRUE(what) << to_string(what.error());
  const auto seeds = static_cast<std::uint64_t>(what->seeds) * factor();
  const auto result = sweep(*what, 0, seeds - 1, 2);
  if (result.broken)
    for (const auto& [check, found] : result.broken->findings)
      ADD_FAILURE() << check << ": " << found << "\n  replay it: ./troupe sim " << GetParam() << " --seeds "
                    << result.broken->seed << ".." << result.broken->seed << " --trace";
  EXPECT_EQ(result.seeds, seeds);
  // What a world sets out to do, it does.
  auto wants = [](const std::vector<double>& chances) { return chances.back() > 0; };
  if (wants(what->faults.kill)) {
    EXPECT_GT(result.kills, seeds / 4);
  }
  if (wants(what->faults.power_cut)) {
    EXPECT_GT(result.cuts, seeds / 4);
  }
  if (wants(what->faults.stall)) {
    EXPECT_GT(result.stalls, seeds / 4);
  }
  if (wants(what->faults.disk_full)) {
    EXPECT_GT(result.disk_full, seeds / 4);
  }
  if (wants(what->network.lost) && what->workload.workers.back() == 0) {
    EXPECT_GT(result.messages_lost, seeds);
    EXPECT_GT(result.messages_twice, seeds);
    EXPECT_GT(result.messages_overtaken, seeds);
  }
  if (wants(what->network.partition)) {
    EXPECT_GT(result.partitions, seeds / 4);
  }
  if (wants(what->network.crash)) {
    EXPECT_GT(result.node_crashes, seeds / 4);
  }
  if (wants(what->network.pause)) {
    EXPECT_GT(result.node_pauses, seeds / 4);
  }
  if (wants(what->network.clock_jump)) {
    EXPECT_GT(result.clock_jumps, seeds / 4);
  }
  if (wants(what->network.lost)) {
    EXPECT_GT(result.messages_lost, seeds / 4);
  }
  if (wants(what->faults.damaged_checkpoint)) {
    EXPECT_GT(result.damaged, 0u);
  }
}
INSTANTIATE_TEST_SUITE_P(Worlds, AWorld, testing::ValuesIn(names()), [](const auto& it) { return it.param; });

TEST(Worlds, AreThereAndSayWhatTheyAreFor) {
  const auto worlds = all_worlds(folder);
  ASSERT_TRUE(worlds) << to_string(worlds.error());
  EXPECT_GE(worlds->size(), 5u);
  std::set<std::string_view> used;
  for (const auto& [name, what] : *worlds) {
    EXPECT_FALSE(what.about.empty()) << name;
    for (const auto& check : what.checks) used.insert(find_check(check)->name);
  }
  for (auto check : check_names()) EXPECT_TRUE(used.contains(check)) << "no world checks " << check;
}

TEST(ASeed, GivesTheSameTraceWheneverAndBesideWhateverItRuns) { // SIM-1
  for (const char* name : {"kills", "rollbacks"}) {
    const auto what = *load_world(folder, name);
    const auto alone = sweep(what, 0, 9, 1), together = sweep(what, 0, 9, 2);
    EXPECT_EQ(alone.trace, together.trace) << name;
    EXPECT_NE(alone.trace, sweep(what, 1, 10, 1).trace) << name;
  }
}

TEST(ASeed, DrawsItsKnobsFromTheirRanges) {
  const auto what =
      load_config_text<world>("workload: {eta: [1, 4], mode: [sync, async], tool_latency: [0.5, 0.1, 2]}\n"
                              "checks: [liveness]\n");
  ASSERT_TRUE(what) << to_string(what.error());
  std::set<std::int64_t> etas;
  std::set<double> latencies;
  std::set<std::string> modes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto drawn = what->draw(seed);
    modes.insert(drawn.mode);
    if (drawn.mode == "async") etas.insert(drawn.eta); // sync has no staleness
    latencies.insert(drawn.tool_latency);
    EXPECT_EQ(drawn.steps, 4);
    EXPECT_EQ(drawn.to_json(), what->draw(seed).to_json());
  }
  EXPECT_EQ(etas, (std::set<std::int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(latencies, (std::set<double>{0.1, 0.5, 2}));
  EXPECT_EQ(modes.size(), 2u);
}

TEST(AWorldFile, IsRefusedWithWhatIsWrongInIt) {
  auto error_of = [](const std::string& text) {
    auto loaded = load_config_text<world>(text, {}, "x.yaml");
    return loaded ? std::string() : loaded.error().message;
  };
  EXPECT_NE(error_of("faults: {kil: 0.1}\nchecks: [liveness]\n").find("faults.kill"), std::string::npos);
  EXPECT_NE(error_of("checks: [livenes]\n").find("the nearest is liveness"), std::string::npos);
  EXPECT_NE(error_of("about: nothing\n").find("checks is empty"), std::string::npos);
  EXPECT_NE(
      error_of("faults: {kill: [0, 2]}\nchecks: [liveness]\n").find("x.yaml:1:20: faults.kill: found 2"),
      std::string::npos);
  const auto unknown = load_world(folder, "kill");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("the nearest is kills"), std::string::npos)
      << unknown.error().message;
}

} // namespace
} // namespace troupe::sim
